"""Fixed-point words against Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NetworkError, NumericalError
from edge_node.network.wire import fixed_point

FITTING = st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True)


def as_integers(words: fixed_point.Words) -> list[int]:
    """Each word as a signed integer."""
    unsigned = [int(low) + (int(high) << 64) for low, high in words]
    return [value - (1 << 128) if value >> 127 else value for value in unsigned]


@given(st.lists(FITTING, max_size=30))
def test_a_word_is_the_nearest_multiple_of_the_resolution(values: list[float]) -> None:
    """Python's integers are the oracle: numerator * 2^60 / denominator, rounded."""
    words = fixed_point.encode(np.array(values, dtype=float))
    for value, word in zip(values, as_integers(words), strict=True):
        numerator, denominator = value.as_integer_ratio()
        assert abs(word * denominator - (numerator << 60)) * 2 <= denominator


@given(st.lists(FITTING, min_size=1, max_size=64))
def test_sums_equal_integer_sums_in_any_order(values: list[float]) -> None:
    """Ring addition is integer addition: associative and commutative, bit for bit."""
    words = [fixed_point.encode(np.array([value])) for value in values]
    total = words[0]
    for word in words[1:]:
        total = fixed_point.add(total, word)
    backwards = words[-1]
    for word in words[-2::-1]:
        backwards = fixed_point.add(word, backwards)
    assert as_integers(total) == [sum(as_integers(word)[0] for word in words)]
    np.testing.assert_array_equal(total, backwards)


@given(st.lists(FITTING, max_size=30))
def test_decoding_is_accurate_to_the_last_place(values: list[float]) -> None:
    """For a number with few enough digits after the point: the number itself."""
    vector = np.array(values, dtype=float)
    decoded = fixed_point.decode(fixed_point.encode(vector))
    np.testing.assert_allclose(decoded, vector, rtol=2.3e-16, atol=2.0**-61)


def test_many_words_against_the_oracle() -> None:
    """Ten thousand random words of all magnitudes, in both directions and on the wire."""
    random = np.random.default_rng(0)
    vector = random.normal(size=10_000) * 2.0 ** random.uniform(-70, 50, 10_000)
    words = fixed_point.encode(vector)
    expected = [round(float(value) * 2**60) if abs(value) < 2**-8 else None for value in vector]
    for word, integer in zip(as_integers(words), expected, strict=True):
        assert integer is None or word == integer
    again = fixed_point.from_bytes(fixed_point.to_bytes(words))
    np.testing.assert_array_equal(again, words)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**53, -(2.0**53), 1e300])
def test_what_does_not_fit_is_refused_by_position(bad: float) -> None:
    """Never clipped."""
    with pytest.raises(NumericalError, match="position 1 of 3"):
        fixed_point.encode(np.array([0.0, bad, 1.0]))


def test_a_torn_word_is_refused() -> None:
    """A length that is no multiple of a word's."""
    with pytest.raises(NetworkError, match="17 bytes"):
        fixed_point.from_bytes(bytes(17))
