"""An independent implementation agrees: GTSAM's elimination of the same factor graphs."""

from typing import Any

import numpy as np
import pytest

from edge_node.inference.messages.guarantees.automatic import answer
from edge_node.inference.messages.guarantees.double_loop import double_loop
from edge_node.inference.messages.propagation.factors import Couplings, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import Method, Solution, Variances
from tests.inference.messages.propagation.graphs import definite, forest, observations

gtsam = pytest.importorskip("gtsam", reason="GTSAM has wheels for Linux and macOS only")


def as_gtsam(graph: FactorGraph) -> Any:
    """The same factors; observations are of three variables at most."""
    factors = gtsam.GaussianFactorGraph()
    n, d, _ = graph.shift.shape
    for i in range(n):
        root = np.linalg.cholesky(graph.precision[i]).T
        factors.add(i, root, np.linalg.solve(root.T, graph.shift[i, :, 0]), unit(d))
    for family in graph.families:
        for f, scope in enumerate(family.scope):
            if isinstance(family, Couplings):
                nothing, none = np.zeros((d, d)), np.zeros(d)
                pair = nothing, family.coupling[f], none, nothing, none, 0.0
                factors.add(gtsam.HessianFactor(*scope, *pair))
            elif isinstance(family, Observations):
                white = np.linalg.inv(np.linalg.cholesky(family.noise[f]))
                slots = np.flatnonzero(scope >= 0)
                terms = [x for k in slots for x in (scope[k], white @ family.design[f, k])]
                target = white @ family.target[f, :, 0]
                factors.add(*terms, target, unit(len(target)))
    return factors


def unit(size: int) -> Any:
    """White noise."""
    return gtsam.noiseModel.Unit.Create(size)


def assert_eliminated(found: Solution, graph: FactorGraph) -> None:
    """Means, and variances if they are called exact."""
    factors = as_gtsam(graph)
    tree, means = factors.eliminateMultifrontal(), factors.optimize()
    for i in range(graph.size):
        np.testing.assert_allclose(found.mean[i, :, 0], means.at(i), atol=1e-8)
        if found.variances is Variances.EXACT:
            covariance = np.linalg.inv(tree.marginalFactor(i).information())
            np.testing.assert_allclose(found.covariance[i], covariance, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_forests(seed: int) -> None:
    """Couplings and observations of variables in the plane, two passes."""
    graph = forest(np.random.default_rng(seed), 25, 2, 1, 2)
    found = answer(graph)
    assert found.method is Method.TWO_PASSES
    assert_eliminated(found, graph)


@pytest.mark.parametrize("n", [12, 60])
def test_graphs_with_loops(n: int) -> None:
    """A few loops with feedback, variances too; many with the double loop."""
    rng = np.random.default_rng(n)
    scope = np.stack([rng.permutation(n)[:3] for _ in range(n)])
    own, shift = definite(rng, n, 2), rng.standard_normal((n, 2, 1))
    graph = FactorGraph(own, shift, (observations(rng, scope, 1, 2, 1),))
    found = answer(graph)
    assert (found.variances is Variances.EXACT) == (n == 12)
    assert_eliminated(found, graph)
    assert_eliminated(double_loop(graph, tolerance=1e-12), graph)
