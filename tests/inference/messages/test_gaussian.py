"""Messages in canonical form: products are sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.inference.messages.gaussian import Gaussian
from tests.inference.messages.products import assert_same, product
from tests.inference.problems import normal

SIZES = st.integers(1, 7)


def message(seed: int, size: int, outputs: int | None = None, rows: int = 20) -> Gaussian:
    """The message of ``rows`` random rows: proper only if there are at least ``size``."""
    Phi = normal(seed, rows, size)
    Y = normal(seed + 1, rows) if outputs is None else normal(seed + 1, rows, outputs)
    return Gaussian(Phi.T @ Phi, Phi.T @ Y)


@given(SIZES, st.permutations(range(4)))
def test_a_product_does_not_depend_on_order(size: int, order: list[int]) -> None:
    """Products commute and associate; the flat message is neutral; parameters subtract again."""
    parts = [message(10 * i, size) for i in range(4)]
    whole, other = product(parts), product([parts[i] for i in order])
    assert_same(other, whole, 1e-12)
    assert_same(whole * Gaussian.flat(size), whole, 0.0)
    assert_same(whole / parts[0], product(parts[1:]), 1e-11)


def test_moments_are_those_of_the_density() -> None:
    """Mean = Lambda^-1 eta and L L' = Lambda, for one output or several."""
    single, several = message(3, 5), message(3, 5, outputs=2)
    inverse = np.linalg.inv(single.precision)
    np.testing.assert_allclose(single.factor @ single.factor.T, single.precision, rtol=1e-10)
    np.testing.assert_allclose(single.mean, inverse @ single.shift, rtol=1e-10)
    np.testing.assert_allclose(several.mean, inverse @ several.shift, rtol=1e-10)


@pytest.mark.parametrize("outputs", [None, 2])
def test_the_prior_is_a_gaussian_around_zero(outputs: int | None) -> None:
    """Times N(0, v I): the precision grows by I / v, the shift is the rows' own."""
    rows = message(3, 5, outputs)
    belief = rows.with_prior(4.0)
    np.testing.assert_allclose(belief.precision, rows.precision + np.eye(5) / 4.0)
    assert np.array_equal(belief.shift, rows.shift)
    np.testing.assert_allclose(rows.with_prior().precision, rows.precision + np.eye(5))


def test_an_improper_message_has_no_moments_but_times_a_prior_has() -> None:
    """Fewer rows than features: refused without jitter, fine with a proper prior."""
    improper = message(0, 6, rows=2)
    with pytest.raises(NumericalError, match="not positive definite"):
        _ = Gaussian(np.diag([1.0, -1.0]), np.zeros(2)).mean
    with pytest.raises(NumericalError, match="not finite"):
        _ = Gaussian(np.full((2, 2), np.nan), np.zeros(2)).factor
    assert np.isfinite(improper.with_prior().mean).all()


def test_sizes_that_do_not_fit_are_refused() -> None:
    """A precision and a shift of different sizes are no message."""
    with pytest.raises(NumericalError, match="differ in size"):
        Gaussian(np.eye(3), np.zeros(2))
