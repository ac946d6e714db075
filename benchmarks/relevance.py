"""Few inputs that matter among many: whether they are found, and how well is predicted.

    friedman-K     Friedman's first function of five inputs, with K more that don't matter
    products       x1 x2 + x3 x4, with 28 more
    one-of-200     sin 2 x1, with 199 more
    class-of-200   whether |x1| is large, with 199 more

Three ways of the same program, and two peers on the pooled rows:

    sites          four sites under the default ceiling
    pooled         one process that tells nobody anything
    plain          as sites, without a look at the inputs before there is a model
    boosting       scikit-learn's HistGradientBoosting, as it comes
    gp             scikit-learn's exact Gaussian process with a length for each input (RBF, by
                   marginal likelihood), given only the inputs that matter: no start is better

RMSE is in units of the test targets' sd.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.estimators import TangentMeshClassifier, TangentMeshRegressor
from edge_node.program.plan import planning

__all__ = ["RELEVANCE_PROBLEMS", "WAYS", "measure_relevance"]

WAYS = ("sites", "pooled", "plain", "boosting", "gp")

_SITES, _TEST = 4, 1000

Drawn: TypeAlias = tuple[Matrix, Vector, int]
"""Inputs (n, d), targets (n,), and how many inputs, from the first, matter."""


def _friedman(random: np.random.Generator, rows: int, more: int) -> Drawn:
    X = random.uniform(size=(rows, 5 + more))
    f = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, f + 10 * X[:, 3] + 5 * X[:, 4] + random.normal(size=rows), 5


def _products(random: np.random.Generator, rows: int) -> Drawn:
    X = random.normal(size=(rows, 32))
    return X, X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3] + 0.1 * random.normal(size=rows), 4


def _one(random: np.random.Generator, rows: int) -> Drawn:
    X = random.normal(size=(rows, 200))
    return X, np.sin(2 * X[:, 0]) + 0.1 * random.normal(size=rows), 1


def _class(random: np.random.Generator, rows: int) -> Drawn:
    X = random.normal(size=(rows, 200))
    return X, (np.abs(X[:, 0]) > 0.67).astype(np.float64), 1


_CLASSES = ("class-of-200",)

RELEVANCE_PROBLEMS: Mapping[str, tuple[int, Callable[[np.random.Generator, int], Drawn]]] = {
    "friedman-0": (500, lambda random, rows: _friedman(random, rows, 0)),
    "friedman-10": (500, lambda random, rows: _friedman(random, rows, 10)),
    "friedman-50": (500, lambda random, rows: _friedman(random, rows, 50)),
    "friedman-200": (800, lambda random, rows: _friedman(random, rows, 200)),
    "products": (1000, _products),
    "one-of-200": (800, _one),
    "class-of-200": (800, _class),
}
"""Each problem's rows to learn from, and how rows are drawn."""


def measure_relevance(
    names: tuple[str, ...], *, seeds: int, ways: tuple[str, ...], **model: Any
) -> Iterator[Row]:
    """A row of figures for each problem and way; mean and standard error over the seeds.

    Args:
        names: of the problems.
        seeds: how often rows are drawn.
        ways: see the module.
        model: the estimators' parameters.
    """
    for name in names:
        for way in ways:
            if way == "gp" and name in _CLASSES:
                continue
            started, told = time.process_time(), Row()
            scores = []
            for seed in range(seeds):
                score, told = _score(name, way, np.random.default_rng(seed), model)
                scores.append(score)
            yield {
                "problem": name,
                "rows": RELEVANCE_PROBLEMS[name][0],
                "way": way,
                "accuracy" if name in _CLASSES else "rmse": float(np.mean(scores)),
                "se": float(np.std(scores) / max(seeds - 1, 1) ** 0.5),
                "cpu": (time.process_time() - started) / seeds,
                **told,
            }


def _score(
    name: str, way: str, random: np.random.Generator, model: Mapping[str, Any]
) -> tuple[float, Row]:
    """RMSE or accuracy on rows that weren't learnt from, and facts of the model."""
    rows, draw = RELEVANCE_PROBLEMS[name]
    X, y, matter = draw(random, rows + _TEST)
    if way == "gp":
        X = X[:, :matter]
    fitted = _fitted(way, X[:rows], y[:rows], name in _CLASSES, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has learnt nothing: the figure says so
        answers, truth = fitted.predict(X[rows:]), y[rows:]
    told = Row()
    if hasattr(fitted, "model_"):
        provenance = fitted.model_.provenance
        told = {"r": provenance.landmarks, "kernel": provenance.kernel, "sums": provenance.sums}
    if name in _CLASSES:
        return float(np.mean(answers == truth)), told
    return float(np.sqrt(np.mean((answers - truth) ** 2)) / truth.std()), told


def _fitted(way: str, X: Matrix, y: Vector, classes: bool, model: Mapping[str, Any]) -> Any:
    if way == "boosting":
        peer = HistGradientBoostingClassifier() if classes else HistGradientBoostingRegressor()
        return peer.fit(X, y)
    if way == "gp":
        kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel(0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a length at the end of its range
            return GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
    ours = TangentMeshClassifier(**model) if classes else TangentMeshRegressor(**model)
    sites = None if way == "pooled" else np.arange(len(X)) % _SITES
    unscreened = planning.FEWEST_SCREENED if way != "plain" else X.shape[1] + 1
    with patch.object(planning, "FEWEST_SCREENED", unscreened):
        return ours.fit(X, y, sites=sites)
