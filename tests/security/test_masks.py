"""Masks cancel in the cohort's total, and nowhere else."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import IdentityError, RefusedError
from edge_node.network.wire.segments import Segments
from edge_node.security.masks import MaskingKey, PairwiseMasks
from tests.support.words import wide_words

PLAN = bytes(range(32))
RUNS = [(8, True)]


def cohort_masks(size: int, epoch: int = 1) -> list[PairwiseMasks]:
    """The masks of ``size`` nodes that know each other's keys."""
    keys = {f"node-{i:02d}": MaskingKey.generate() for i in range(size)}
    publics = {node: key.public for node, key in keys.items()}
    return [PairwiseMasks(node, key, publics, epoch, PLAN) for node, key in keys.items()]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 16), st.randoms())
def test_masks_cancel_in_the_total_in_any_order(size: int, random) -> None:
    """Bit for bit the plain total."""
    vectors = np.random.default_rng(size).normal(size=(size, 5)) * 1e6
    segments = Segments.of(5, [(1, None), (3, 1e9), (1, None)])
    words, runs = [segments.encode(vector) for vector in vectors], segments.runs
    masked = [m.mask(w, runs, "step") for m, w in zip(cohort_masks(size), words, strict=True)]
    random.shuffle(masked)
    np.testing.assert_array_equal(reduce(segments.add, masked), reduce(segments.add, words))


def test_a_partial_sum_looks_random() -> None:
    """With one node's words missing, bytes are uniform: chi-square below its 99.99 % quantile."""
    segments = Segments.of(70_000, [(30_000, None), (40_000, 1.0)])
    zeros = np.zeros(segments.limbs, dtype=np.uint64)
    masked = [masks.mask(zeros, segments.runs, "step") for masks in cohort_masks(3)]
    for part in (masked[0], segments.add(masked[0], masked[1])):
        counts = np.bincount(np.frombuffer(part.tobytes(), dtype=np.uint8), minlength=256)
        expected = part.nbytes / 256
        assert ((counts - expected) ** 2 / expected).sum() < 347.7


def test_every_step_and_epoch_has_its_own_mask() -> None:
    """No keystream serves twice."""
    zeros = np.zeros(8, dtype=np.uint64)
    keys = {"a": MaskingKey.generate(), "b": MaskingKey.generate()}
    publics = {node: key.public for node, key in keys.items()}
    seen = {
        PairwiseMasks("a", keys["a"], publics, epoch, plan).mask(zeros, RUNS, step).tobytes()
        for epoch in (1, 2)
        for plan in (PLAN, bytes(32))
        for step in ("s", "t")
    }
    assert len(seen) == 8


def test_a_mask_serves_one_vector() -> None:
    """The same vector again gives the same bytes; another is refused."""
    masks = cohort_masks(3)[0]
    words, other = (wide_words(np.array([1.0, number, 3.0, 4.0])) for number in (2.0, 2.5))
    np.testing.assert_array_equal(masks.mask(words, RUNS, "s"), masks.mask(words, RUNS, "s"))
    with pytest.raises(RefusedError, match="two different vectors"):
        masks.mask(other, RUNS, "s")


def test_a_swapped_key_is_noticed_by_its_owner() -> None:
    """A parent that replaces a child's key can't stay unseen."""
    key, other = MaskingKey.generate(), MaskingKey.generate()
    with pytest.raises(IdentityError, match="another masking key"):
        PairwiseMasks("a", key, {"a": other.public, "b": other.public}, 1, PLAN)


def test_a_weak_key_is_refused() -> None:
    """A point of small order would make the secret known to all."""
    key = MaskingKey.generate()
    with pytest.raises(IdentityError, match="usable"):
        PairwiseMasks("a", key, {"a": key.public, "b": bytes(32)}, 1, PLAN)
