"""Sums that find inputs which matter: effects of one input, of a pair, or of none."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.screening import Screening

INPUTS, ROWS = 30, 600
SINGLE = Screening(INPUTS, targets=1, squared=True, pairs=False)
PAIRS = replace(SINGLE, pairs=True)


def found(screening: Screening, X: Matrix, y: Vector) -> list[int]:
    """The inputs that are taken."""
    y = (y - y.mean()) / y.std()
    return screening.relevant(screening.local([(X, y[:, None])]), len(X))


def inputs(seed: int, rows: int = ROWS) -> tuple[Matrix, Vector]:
    """Standardised inputs, and noise."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, INPUTS)), random.normal(size=rows)


@pytest.mark.parametrize("effect", [np.sin, np.abs, np.square])
def test_an_input_with_an_effect_of_its_own_is_found(effect: np.ufunc) -> None:
    """Odd or even, and no other is taken."""
    X, noise = inputs(0)
    assert found(SINGLE, X, effect(2 * X[:, 7]) + 0.3 * noise) == [7]


def test_a_product_is_found_by_the_target_s_variance() -> None:
    """The control doesn't look at it: no mean depends on either input."""
    X, noise = inputs(1, 2000)
    y = X[:, 3] * X[:, 11] + 0.1 * noise
    assert found(SINGLE, X, y) == [3, 11]
    assert found(replace(SINGLE, squared=False), X, y) == []


def test_a_product_is_found_by_pairs_from_fewer_rows() -> None:
    """And for classes, whose variance tells nothing that their mean doesn't."""
    X, noise = inputs(2, 300)
    y = X[:, 3] * X[:, 11] + 0.1 * noise
    assert found(PAIRS, X, y) == [3, 11]
    assert found(replace(PAIRS, squared=False), X, np.sign(y)) == [3, 11]
    assert found(replace(SINGLE, squared=False), X, np.sign(y)) == []


@pytest.mark.parametrize("screening", [SINGLE, PAIRS])
def test_where_nothing_matters_little_is_taken(screening: Screening) -> None:
    """In at most a few of a hundred sets, whatever the noise's tails."""
    wrong = 0
    for seed in range(100):
        X, noise = inputs(seed, 100)
        wrong += bool(found(screening, X, noise**3 if seed % 2 else noise))
    assert wrong <= 5


def test_sums_of_disjoint_rows_add() -> None:
    """With cells missing, too."""
    X, y = inputs(3)
    X[np.random.default_rng(4).random(X.shape) < 0.1] = np.nan
    halves = [PAIRS.local([(X[half], y[half, None])]) for half in (slice(200), slice(200, ROWS))]
    total = PAIRS.local([(X, y[:, None])])
    np.testing.assert_allclose(sum(halves), total, rtol=1e-9, atol=1e-9)
    assert total.shape == (PAIRS.numbers,)


def test_pairs_without_enough_rows_are_not_given() -> None:
    """The site's products of such columns are zeros; others are as they were."""
    X, y = inputs(5)
    enough = np.ones((INPUTS, INPUTS), dtype=bool)
    enough[3, 11] = enough[11, 3] = False
    y = X[:, 3] * X[:, 11] + X[:, 1] * X[:, 2] + 0.1 * y
    targets = [(X, (y / y.std())[:, None])]
    lean = replace(PAIRS, squared=False)
    assert lean.relevant(lean.local(targets), ROWS) == [1, 2, 3, 11]
    assert lean.relevant(lean.local(targets, enough), ROWS) == [1, 2]
