"""Fixed-point words against Python's integers; which words a vector takes, and what is refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NetworkError, NumericalError
from edge_node.network.wire.fixed_point import Limbs, from_bytes, to_bytes
from edge_node.network.wire.segments import Segments

FITTING = st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True)
BOUNDS = st.floats(2.0**-900, 2.0**900)
LARGEST_COHORT = 1 << 14


def integers(words: Limbs, segments: Segments) -> list[int]:
    """Each word as a signed integer, without the check word."""
    found = []
    for stretch in segments.stretches[:-1]:
        limbs = [int(each) for each in words[stretch.limbs]]
        if stretch.wide:
            limbs = [low + (high << 64) for low, high in zip(limbs[::2], limbs[1::2], strict=True)]
        ring = 1 << (128 if stretch.wide else 64)
        found += [each - ring if 2 * each >= ring else each for each in limbs]
    return found


@given(st.lists(FITTING, max_size=30))
def test_a_wide_word_is_the_nearest_multiple_of_the_resolution(values: list[float]) -> None:
    """Python's integers are the oracle: numerator * 2^60 / denominator, rounded."""
    segments = Segments.of(len(values))
    words = integers(segments.encode(np.array(values, dtype=float)), segments)
    for value, word in zip(values, words, strict=True):
        numerator, denominator = value.as_integer_ratio()
        assert abs(word * denominator - (numerator << 60)) * 2 <= denominator


@given(BOUNDS, st.lists(st.floats(-1, 1), max_size=30))
def test_a_narrow_word_is_the_nearest_unit(bound: float, shares: list[float]) -> None:
    """A unit is at most 2^-61 of the bound."""
    segments = Segments.of(len(shares), [(len(shares), bound)])
    values = [share * bound for share in shares]
    words = integers(segments.encode(np.array(values, dtype=float)), segments)
    for value, word in zip(values, words, strict=True):
        exponent = segments.parts[0].exponent
        assert exponent is not None
        assert 2.0**-exponent <= bound * 2.0**-61
        assert abs(Fraction(word) - Fraction(value) * Fraction(2) ** exponent) <= Fraction(1, 2)


@given(BOUNDS, st.integers(1, LARGEST_COHORT))
def test_a_total_within_its_bound_fits_and_is_read(bound: float, nodes: int) -> None:
    """Whatever the cohort, although each part is rounded, and up or down to the bound itself."""
    segments = Segments.of(2, [(2, bound)])
    part = segments.encode(np.array([bound, -bound]) / nodes)
    total = segments.decode(part * np.uint64(nodes), nodes)
    np.testing.assert_allclose(total, [bound, -bound], rtol=1e-12)


def test_counts_are_exact() -> None:
    """With a bound of 2^62 a unit is one."""
    segments = Segments.of(3, [(3, 2.0**62)])
    counts = np.array([0.0, 1.0, 2.0**53 - 1])
    words = segments.encode(counts)
    assert integers(words, segments) == counts.tolist()
    np.testing.assert_array_equal(segments.decode(words, 1), counts)


MIXED: list[tuple[int, float | None]] = [
    (2, None),
    (0, 1.0),
    (3, 10.0),
    (1, 2.0**62),
    (1, None),
]


@given(st.lists(st.lists(st.integers(-9, 9), min_size=7, max_size=7), min_size=1, max_size=20))
def test_sums_equal_integer_sums_in_any_order(vectors: list[list[int]]) -> None:
    """Ring addition is integer addition, word by word: carries stay within their words."""
    segments = Segments.of(7, MIXED)
    words = [segments.encode(np.array(each) / len(vectors)) for each in vectors]
    forwards, backwards = words[0], words[-1]
    for one, other in zip(words[1:], words[-2::-1], strict=True):
        forwards, backwards = segments.add(forwards, one), segments.add(other, backwards)
    columns = zip(*(integers(each, segments) for each in words), strict=True)
    assert integers(forwards, segments) == [sum(column) for column in columns]
    np.testing.assert_array_equal(forwards, backwards)


@given(st.lists(FITTING, max_size=30))
def test_decoding_is_accurate_to_the_last_place(values: list[float]) -> None:
    """For a number with few enough digits after the point: the number itself."""
    vector, segments = np.array(values, dtype=float), Segments.of(len(values))
    decoded = segments.decode(segments.encode(vector), 1)
    np.testing.assert_allclose(decoded, vector, rtol=2.3e-16, atol=2.0**-61)


def test_many_words_go_over_the_wire() -> None:
    """Of all magnitudes and both widths."""
    random = np.random.default_rng(0)
    vector = random.normal(size=20_000) * 2.0 ** random.uniform(-70, 3, 20_000)
    segments = Segments.of(20_000, [(9_000, None), (11_000, 100.0)])
    words = segments.encode(vector)
    assert len(to_bytes(words)) == segments.bytes == 16 * 9_000 + 8 * 11_000 + 16
    np.testing.assert_array_equal(from_bytes(to_bytes(words)), words)
    np.testing.assert_allclose(segments.decode(words, 1), vector, rtol=2.3e-16, atol=1e-16)


UNFIT = [
    (None, 2.0**53),
    (None, -(2.0**53)),
    (None, 1e300),
    (4.0, 4.005),
    (4.0, -5.0),
    (0.0, 5e-324),
]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bound", [None, 4.0])
def test_what_is_no_number_is_refused_by_position(bound: float | None, number: float) -> None:
    """Never clipped."""
    with pytest.raises(NumericalError, match=r"position 1 of 3.*found no finite number"):
        Segments.of(3, [(3, bound)]).encode(np.array([0.0, number, 1.0]))


@pytest.mark.parametrize(("bound", "number"), UNFIT)
def test_what_breaks_its_bound_is_refused_by_position(bound: float | None, number: float) -> None:
    """Never clipped; the bound of another number doesn't matter."""
    segments = Segments.of(3, [(1, 2.0**100), (1, bound), (1, None)])
    with pytest.raises(NumericalError, match=r"position 1 of 3.*found a larger one"):
        segments.encode(np.array([2.0**99, number, 1.0]))


def test_a_bound_that_was_rounded_refuses_nobody() -> None:
    """It comes from a total, and a single site may have all rows."""
    segments = Segments.of(1, [(1, 4.0)])
    assert segments.decode(segments.encode(np.array([4.0 * (1 + 2e-4)])), 1) > 4.0


@pytest.mark.parametrize("bound", [None, 4.0])
def test_a_total_beyond_what_nodes_can_give_is_refused(bound: float | None) -> None:
    """Of wide words by the number of nodes, of narrow ones by the bound."""
    segments = Segments.of(1, [(1, bound)])
    most = segments.encode(np.array([4.0 if bound else math.nextafter(2.0**53, 0)]))
    assert segments.decode(most, 1)
    with pytest.raises(NetworkError, match="larger than they can be"):
        segments.decode(segments.add(most, most), 1)


@pytest.mark.parametrize("bounds", [[(2, 1.0)], [(3, -1.0)], [(3, math.nan)], [(3, math.inf)]])
def test_bounds_that_are_none(bounds: list[tuple[int, float | None]]) -> None:
    """A programming error: another length, or no bound."""
    with pytest.raises(ValueError, match=r"bounds for|no segment"):
        Segments.of(3, bounds)


def test_the_label_names_the_words() -> None:
    """The same for the same words, however they were told; another for another scale."""
    assert Segments.of(7, MIXED).label == "2@wide,3@58,1@0,1@wide"
    assert Segments.of(4, [(1, 1.0), (3, 0.9)]).label == Segments.of(4, [(4, 1.0)]).label == "4@62"
    assert Segments.of(4, [(4, 1.1)]).label == "4@61"
    assert Segments.of(0).label == ""


def test_a_torn_word_is_refused() -> None:
    """A length that is no multiple of a limb's."""
    with pytest.raises(NetworkError, match="17 bytes"):
        from_bytes(bytes(17))
