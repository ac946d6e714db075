"""A site's rows as one sparse model: the message against dense matrices."""

import numpy as np
import pytest

from edge_node.inference.features.blocks import Block
from edge_node.inference.features.kernel_graph import KernelGraph
from edge_node.inference.features.metric import metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.joining import with_kernel
from edge_node.inference.regression.refinement import local_refinement
from edge_node.inference.regression.vecchia import SiteRows, local_vecchia
from tests.inference.problems import NTK, SMOOTH, normal, regression

NOISES = [0.01, 0.2]
METRIC = metric_from(normal(0, 5, 3).T @ normal(0, 5, 3))
FEATURES = Features.build(NTK, normal(1, 12, 3) @ METRIC.T, METRIC)
OTHER = with_kernel(FEATURES, SMOOTH)
X, Y = regression(2, rows=90)
ROWS = Block(FEATURES.place(X), Y)
SHARES = np.linspace(0.8, 3.0, 90)


def assert_same(found: ConditionalStatistics, expected: ConditionalStatistics) -> None:
    """All that is summed."""
    assert found.count == expected.count
    for name in ("quadratic", "log_determinant", "uncovered"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-8)
    for name in ("precision", "shift"):
        ours, theirs = (getattr(each.message, name) for each in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("left", [None, OTHER], ids=["shared kernel", "another"])
@pytest.mark.parametrize("shares", [None, SHARES], ids=["gaussian", "student-t"])
def test_all_rows_before_give_the_message_of_one_block(
    left: Features | None, shares: np.ndarray | None
) -> None:
    """PIC with all rows in one block, for each noise."""
    rows = Block(ROWS.inputs, Y, shares)
    graph = KernelGraph.of(rows.inputs, 90)
    expected = local_refinement([rows], [], FEATURES, NOISES, left=left)
    found = local_vecchia(SiteRows.of(rows, FEATURES, left), graph, NOISES)
    for ours, theirs in zip(found, expected, strict=True):
        assert_same(ours, theirs)


def test_no_neighbours_give_the_message_of_each_row_by_itself() -> None:
    """FITC."""
    graph = KernelGraph(np.arange(90), np.empty((90, 0), dtype=np.int32))
    found = local_vecchia(SiteRows.of(ROWS, FEATURES), graph, NOISES)
    for ours, theirs in zip(found, local_conditional([(X, Y)], FEATURES, NOISES), strict=True):
        assert_same(ours, theirs)


def test_few_neighbours_give_the_message_of_the_dense_model_that_they_are() -> None:
    """With B and D written out."""
    graph = KernelGraph.of(ROWS.inputs, 6)
    Phi = FEATURES(X)
    R = NTK(ROWS.inputs, ROWS.inputs) - Phi @ Phi.T + 0.2 * np.eye(90)
    B, D = np.eye(90), np.empty(90)
    for i, near in enumerate(graph.neighbours):
        near = near[near >= 0]
        B[i, near] = -np.linalg.solve(R[np.ix_(near, near)], R[near, i])
        D[i] = R[i, i] + R[i, near] @ B[i, near]
    inverse = B.T @ np.diag(1 / D) @ B
    (found,) = local_vecchia(SiteRows.of(ROWS, FEATURES), graph, [0.2])
    np.testing.assert_allclose(found.message.precision, Phi.T @ inverse @ Phi, atol=1e-8)
    np.testing.assert_allclose(found.message.shift, Phi.T @ inverse @ Y, atol=1e-8)
    assert found.quadratic == pytest.approx(Y @ inverse @ Y)
    assert found.log_determinant == pytest.approx(-np.linalg.slogdet(inverse)[1])


def test_how_rows_are_taken_together_doesnt_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor how many covariances are computed at once."""
    site, graph = SiteRows.of(ROWS, FEATURES, OTHER), KernelGraph.of(ROWS.inputs, 9)
    (expected,) = local_vecchia(site, graph, [0.2])
    inference = "edge_node.inference"
    vecchia, numbers = f"{inference}.regression.vecchia", 7 * len(FEATURES.landmarks)
    monkeypatch.setattr(f"{vecchia}._FEATURES_AT_ONCE", numbers)
    monkeypatch.setattr(f"{inference}.features.conditionals._NUMBERS_AT_ONCE", 250)
    (found,) = local_vecchia(site, graph, [0.2])
    assert_same(found, expected)


def test_copies_of_rows_are_no_trouble() -> None:
    """With the smallest noise that is considered, too."""
    rows = Block(np.repeat(ROWS.inputs[:30], 3, axis=0), np.repeat(Y[:30], 3))
    graph = KernelGraph.of(rows.inputs, 20)
    (found,) = local_vecchia(SiteRows.of(rows, FEATURES), graph, [1e-6])
    assert np.isfinite(found.message.precision).all()
    assert np.linalg.eigvalsh(found.message.precision).min() > -1e-6
    assert np.isfinite([found.quadratic, found.log_determinant]).all()
