"""Masks cancel in the cohort's total, and nowhere else."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import IdentityError, RefusedError
from edge_node.network.wire import fixed_point
from edge_node.security.masks import MaskingKey, PairwiseMasks

PLAN = bytes(range(32))


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
    words = [fixed_point.encode(vector) for vector in vectors]
    masked = [m.mask(w, "step") for m, w in zip(cohort_masks(size), words, strict=True)]
    random.shuffle(masked)
    np.testing.assert_array_equal(reduce(fixed_point.add, masked), reduce(fixed_point.add, words))


def test_a_partial_sum_looks_random() -> None:
    """With one node's words missing, bytes are uniform: chi-square below its 99.99 % quantile."""
    zeros = np.zeros((50_000, 2), dtype=np.uint64)
    masked = [masks.mask(zeros, "step") for masks in cohort_masks(3)]
    for part in (masked[0], fixed_point.add(masked[0], masked[1])):
        counts = np.bincount(np.frombuffer(part.tobytes(), dtype=np.uint8), minlength=256)
        expected = part.nbytes / 256
        assert ((counts - expected) ** 2 / expected).sum() < 347.7


def test_every_step_and_epoch_has_its_own_mask() -> None:
    """No keystream serves twice."""
    zeros = np.zeros((4, 2), dtype=np.uint64)
    keys = {"a": MaskingKey.generate(), "b": MaskingKey.generate()}
    publics = {node: key.public for node, key in keys.items()}
    seen = {
        PairwiseMasks("a", keys["a"], publics, epoch, plan).mask(zeros, step).tobytes()
        for epoch in (1, 2)
        for plan in (PLAN, bytes(32))
        for step in ("s", "t")
    }
    assert len(seen) == 8


def test_a_mask_serves_one_vector() -> None:
    """The same vector again gives the same bytes; another is refused."""
    masks = cohort_masks(3)[0]
    words = fixed_point.encode(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(masks.mask(words, "s"), masks.mask(words, "s"))
    with pytest.raises(RefusedError, match="two different vectors"):
        masks.mask(fixed_point.encode(np.array([1.0, 2.5])), "s")


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
