"""A part that is missing from a total, and words that were altered on the way.

The check word shows both, whatever the cohort and the scale. The controls take it away: then a
large cohort takes any words for a total, and so do narrow words every other time.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NetworkError
from edge_node.network.base import Network
from edge_node.network.wire.check_word import read_total, sealed
from edge_node.network.wire.fixed_point import Limbs, from_bytes, to_bytes
from edge_node.network.wire.segments import CHECK_LIMBS, Segments
from edge_node.step import Step
from tests.attacks.tampering import outcomes
from tests.support.mesh import Mesh

LARGEST = 16_384  # nodes
LABEL = "3/statistics/0/00"
MIXED = Segments.of(60, [(20, None), (40, 100.0)])
VECTOR = np.random.default_rng(0).normal(size=60)


def noise(segments: Segments, seed: int = 0) -> Limbs:
    """What a total is if masks don't cancel."""
    return np.random.default_rng(seed).integers(0, 2**64, segments.limbs, np.uint64)


@pytest.mark.parametrize("nodes", [3, 8_192, LARGEST])
@pytest.mark.parametrize("bound", [None, 100.0])
def test_a_total_without_a_nodes_part_is_refused(bound: float | None, nodes: int) -> None:
    """Also where it has one number only, and any would be in range."""
    for length in (1, 1000):
        segments = Segments.of(length, [(length, bound)])
        for seed in range(20):
            with pytest.raises(NetworkError, match="a node's part is missing"):
                read_total(to_bytes(noise(segments, seed)), segments, LABEL, nodes)


def test_by_its_range_alone_a_total_of_a_large_cohort_could_be_anything() -> None:
    """The control: all wide words are what so many nodes could have given."""
    segments = Segments.of(501_505)
    segments.decode(noise(segments), LARGEST)
    with pytest.raises(NetworkError, match="larger than they can be"):
        segments.decode(noise(segments), LARGEST // 2)


def test_by_its_range_alone_every_other_narrow_word_could_be_a_total() -> None:
    """The control: a bit of 64 is left over, whatever the cohort."""
    segments, taken = Segments.of(1, [(1, 1.0)]), 0
    for seed in range(100):
        try:
            segments.decode(noise(segments, seed), 3)
        except NetworkError:
            continue
        taken += 1
    assert 30 < taken < 70


@given(st.integers(0, MIXED.limbs - 1), st.integers(1, 2**64 - 1))
def test_one_altered_limb_is_always_seen(place: int, change: int) -> None:
    """Coefficients are odd, so no change of a word is lost; the control is the honest total."""
    words = sealed(MIXED.encode(VECTOR), MIXED, LABEL)
    read_total(to_bytes(words), MIXED, LABEL, 1)
    words[place : place + 1] += np.uint64(change)
    with pytest.raises(NetworkError, match="changed on the way"):
        read_total(to_bytes(words), MIXED, LABEL, 1)


def test_words_that_change_places_are_seen() -> None:
    """Each has a coefficient of its own: with equal ones, they could."""
    words = sealed(MIXED.encode(VECTOR), MIXED, LABEL)
    for other in range(41, 80):
        swapped = words.copy()
        swapped[[40, other]] = swapped[[other, 40]]
        with pytest.raises(NetworkError, match="changed on the way"):
            read_total(to_bytes(swapped), MIXED, LABEL, 1)


def test_what_fits_one_step_fits_no_other() -> None:
    """Coefficients are bound to the label."""
    words = to_bytes(sealed(MIXED.encode(VECTOR), MIXED, LABEL))
    with pytest.raises(NetworkError, match="changed on the way"):
        read_total(words, MIXED, LABEL + "1", 1)


def test_a_member_that_computes_what_fits_is_not_noticed() -> None:
    """The stated limit: coefficients are public, and it could as well have given other rows."""
    words = sealed(MIXED.encode(VECTOR), MIXED, LABEL)
    more = sealed(MIXED.encode(np.eye(1, 60)[0]), MIXED, LABEL)
    total = read_total(to_bytes(MIXED.add(words, more)), MIXED, LABEL, 2)
    np.testing.assert_allclose(total, VECTOR + np.eye(1, 60)[0], rtol=1e-12)


def test_a_check_word_says_nothing_but_of_the_words() -> None:
    """It is linear: the sum of nodes' check words is that of their total, and nothing else."""
    vectors = np.random.default_rng(1).normal(size=(5, 60))
    parts = [sealed(MIXED.encode(vector), MIXED, LABEL) for vector in vectors]
    total = parts[0]
    for part in parts[1:]:
        total = MIXED.add(total, part)
    unsealed = from_bytes(to_bytes(total)).copy()
    unsealed[-CHECK_LIMBS:] = 0
    np.testing.assert_array_equal(sealed(unsealed, MIXED, LABEL), total)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("differs", [False, True])
async def test_nodes_that_scale_differently_get_an_error(mesh: Mesh, differs: bool) -> None:
    """What words mean is part of what masks are derived from. The control: the same scale."""

    async def program(network: Network) -> float:
        bound = 5.0 if differs and network.node == "a" else 4.0
        return float((await network.sum(Step("s"), np.ones(1), bounds=[(1, bound)]))[0])

    parents = {"a": "b", "b": ""}
    await mesh.start(parents)
    mesh.offer(mesh.plan(1, parents))
    for found in (await outcomes(mesh, program)).values():
        if differs:
            assert isinstance(found, NetworkError)
            assert "the total is invalid" in str(found)
        else:
            assert found == 2.0
