"""Wild cells, heavy-tailed columns and outliers among targets: what they cost a regression.

A function of four inputs, with noise of .1; four nodes have equal shares of the rows, at random.
Errors are on 1,000 other rows, against the function itself, in the target's unit. ``shared`` is the
posterior that all nodes have, ``site`` the refined one of the node that is asked.
"""

from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, Likelihood, ModelSpec, Task, Which
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.model.model import Model
from edge_node.model.predictions import IntervalPredictions
from edge_node.program.simulation import simulate

__all__ = ["CASES", "measure_robustness"]

_NODES, _TEST = 4, 1000

Spoil = Callable[[Matrix, Vector, np.random.Generator], tuple[Matrix, Vector]]


def _wild_cells(share: float) -> Spoil:
    def spoil(X: Matrix, y: Vector, random: np.random.Generator) -> tuple[Matrix, Vector]:
        X[_some(len(y), share, random), 1] = 1e9
        return X, y

    return spoil


def _wild_targets(share: float) -> Spoil:
    def spoil(X: Matrix, y: Vector, random: np.random.Generator) -> tuple[Matrix, Vector]:
        y[_some(len(y), share, random)] = 1e9
        return X, y

    return spoil


def _errors(X: Matrix, y: Vector, random: np.random.Generator) -> tuple[Matrix, Vector]:
    wrong = _some(len(y), 0.05, random)
    y[wrong] += 9.0 * random.choice([-1.0, 1.0], len(wrong))
    return X, y


def _some(rows: int, share: float, random: np.random.Generator) -> np.ndarray:
    return random.choice(rows, max(1, round(share * rows)), replace=False)


def _bent(bend: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    """Two of the inputs bent."""
    return lambda X: np.column_stack([bend(X[:, :2]), X[:, 2:]])


def _cauchy(normal: Matrix) -> Matrix:
    shares = np.vectorize(NormalDist().cdf)(normal)
    cauchy: Matrix = np.tan(np.pi * (shares - 0.5))
    return cauchy


def _as_they_are(X: Matrix, y: Vector, _random: np.random.Generator) -> tuple[Matrix, Vector]:
    return X, y


CASES: dict[str, tuple[Spoil, Callable[[Matrix], Matrix]]] = {
    "clean": (_as_they_are, lambda X: X),
    "one input of 1e9": (_wild_cells(0.0), lambda X: X),
    "1 % of an input 1e9": (_wild_cells(0.01), lambda X: X),
    "1 % of the targets 1e9": (_wild_targets(0.01), lambda X: X),
    "5 % of the targets off by 9": (_errors, lambda X: X),
    "lognormal inputs, sigma 2": (_as_they_are, _bent(lambda X: np.exp(2.0 * X))),
    "lognormal inputs, sigma 3": (_as_they_are, _bent(lambda X: np.exp(3.0 * X))),
    "Cauchy inputs": (_as_they_are, _bent(_cauchy)),
}
"""How training rows are spoilt, and how inputs of all rows are bent."""


def measure_robustness(rows: int, splits: int) -> Iterator[Row]:
    """A row of figures per case and likelihood: RMSE, and the 95 % intervals' mean half-width."""
    for name, (spoil, bend) in CASES.items():
        for likelihood in (Likelihood.GAUSSIAN, Likelihood.AUTO):
            found = [_measure(spoil, bend, likelihood, rows, seed) for seed in range(splits)]
            means = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
            yield {"case": name, "likelihood": str(likelihood), **means}


def _measure(
    spoil: Spoil, bend: Callable[[Matrix], Matrix], likelihood: Likelihood, rows: int, seed: int
) -> Row:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows + _TEST, 4))
    f = np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.3 * X[:, 3]
    y = f + 0.1 * random.normal(size=len(f))
    X = bend(X)
    own, targets = spoil(X[:rows].copy(), y[:rows].copy(), random)
    parts = np.array_split(np.arange(rows), _NODES)
    sources = {
        f"node-{i}": MemorySource((_batch(own[each], targets[each]),))
        for i, each in enumerate(parts)
    }
    models = simulate(_spec(likelihood), sources)
    asked = dict(zip(models, np.array_split(np.arange(rows, len(f)), _NODES), strict=True))
    return {
        f"{way}_{key}": value
        for way, which in (("shared", Which.GLOBAL), ("site", Which.SITE))
        for key, value in _figures(models, asked, X, f, which).items()
    }


def _figures(
    models: dict[str, Model], asked: dict[str, np.ndarray], X: Matrix, f: Vector, which: Which
) -> Row:
    errors, widths = [], []
    for name, own in asked.items():
        answers = models[name].predict(_batch(X[own], None), which=which)
        assert isinstance(answers, IntervalPredictions)  # noqa: S101 - a regression's
        errors.append(answers.mean - f[own])
        widths.append((answers.upper - answers.lower) / 2.0)
    squares = np.square(np.concatenate(errors))
    return {
        "rmse": float(np.sqrt(squares.mean())),
        "half_width": float(np.concatenate(widths).mean()),
    }


def _spec(likelihood: Likelihood) -> FederationSpec:
    columns = tuple(Column(name=f"x{i}") for i in range(4))
    return FederationSpec(
        name="robust",
        data=DataSpec(task=Task.REGRESSION, target="y", columns=columns),
        model=ModelSpec(likelihood=likelihood),
        minimum_rows=0,
    )


def _batch(X: Matrix, y: Vector | None) -> Batch:
    return Batch(X, np.empty((len(X), 0), dtype=object), y)
