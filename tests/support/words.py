"""Payloads of sums, as nodes that tell no lies make them."""

import numpy as np

from edge_node.network.wire.check_word import sealed, step_label
from edge_node.network.wire.fixed_point import Limbs, to_bytes
from edge_node.network.wire.segments import Segments

__all__ = ["payload_of", "wide_words", "word_bytes"]


def wide_words(vector: np.ndarray) -> Limbs:
    """The wide words of numbers, without a check word."""
    return Segments.of(len(vector)).encode(vector)[:-2]


def payload_of(vector: np.ndarray, step: str, *, sequence: int = 0, bounds: object = None) -> bytes:
    """A vector's words without masks, with their check word, for a run's first step."""
    segments = Segments.of(len(vector), bounds)  # type: ignore[arg-type]
    label = step_label(sequence, step, bytes(32), segments)
    return to_bytes(sealed(segments.encode(vector), segments, label))


def word_bytes(number: float) -> bytes:
    """The low limb of a number's wide word, as it travels."""
    return to_bytes(wide_words(np.array([number])))[:8]
