"""A site's refinement by its kernel graph: against one block of all its rows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge_node.config import KernelKind
from edge_node.inference.features.kernel_graph import KernelGraph, random_order
from edge_node.inference.features.metric import metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.regression import graph_refinement
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.graph_refinement import GraphRefinement, refine_by_graph
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine
from edge_node.inference.regression.student import RowPrecisions
from edge_node.inference.regression.vecchia import SiteRows, local_vecchia
from tests.inference.problems import normal, regression

NOISE = 0.2
METRIC = metric_from(normal(0, 5, 3).T @ normal(0, 5, 3))
SMOOTH = StationaryKernel(KernelKind.RBF, 1.0)
WIDE = StationaryKernel(KernelKind.RBF, 4.0)
FEATURES = Features.build(WIDE, normal(1, 12, 3) @ METRIC.T, METRIC)
X, Y = regression(2, rows=150)
OWN = slice(0, 100)
NEAR = X[OWN][:40] + 0.05


def shared(y: np.ndarray = Y, precisions: RowPrecisions | None = None):
    """The global posterior, and the total that it is made of."""
    (total,) = local_conditional([(X, y)], FEATURES, [NOISE], precisions)
    posterior = Posterior.of(total.message, FEATURES, total.evidence(NOISE), precisions)
    return posterior, total


def own_rows(y: np.ndarray = Y, precisions: RowPrecisions | None = None) -> OwnRows:
    """All of the site's."""
    return OwnRows.together([(X[OWN], y[OWN])], FEATURES, precisions=precisions)


def by_graph(neighbours: int) -> GraphRefinement:
    """The site's."""
    return refine_by_graph(*shared(), own_rows(), neighbours, SMOOTH)


def assert_alike(found: GraphRefinement, expected: Refinement, rtol: float = 1e-6) -> None:
    """Model and answers."""
    ours, theirs = found.posterior, expected.posterior
    assert ours.noise == pytest.approx(theirs.noise, rel=rtol)
    assert ours.amplitude == pytest.approx(theirs.amplitude, rel=rtol)
    assert ours.log_evidence == pytest.approx(theirs.log_evidence, rel=rtol)
    mean, variance, answered = found.predict(NEAR)
    assert answered.all()
    exact, spread, _ = expected.predict(NEAR)
    np.testing.assert_allclose(mean, exact, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(variance, spread, rtol=rtol)


def test_with_all_neighbours_it_is_one_block_of_all_rows() -> None:
    """Noise, amplitude, kernel and evidence as well."""
    found, expected = by_graph(100), refine(*shared(), own_rows(), SMOOTH)
    assert_alike(found, expected)
    assert found.left is not None
    assert expected.left is not None
    assert found.left.kernel == expected.left.kernel == SMOOTH


def test_with_a_few_it_is_close() -> None:
    """More are closer, and all are closer than the posterior that all share."""
    exact, spread, _ = refine(*shared(), own_rows(), SMOOTH).predict(NEAR)
    plain, wide = shared()[0].predict(NEAR)
    off = [(np.abs(plain - exact).max(), np.abs(wide - spread).max())]
    for neighbours in (10, 40, 80):
        mean, variance, _ = by_graph(neighbours).predict(NEAR)
        off.append((np.abs(mean - exact).max(), np.abs(variance - spread).max()))
    for nearer, farther in pairwise(reversed(off)):
        assert nearer < farther


def test_the_order_of_rows_doesnt_matter() -> None:
    """Nor do chunks: the graph's order is the rows' own."""
    order = np.random.default_rng(0).permutation(100)
    chunks = [(X[OWN][some], Y[OWN][some]) for some in np.array_split(order, 3)]
    shuffled = OwnRows.together(chunks, FEATURES)
    again = refine_by_graph(*shared(), shuffled, 8, SMOOTH)
    for ours, theirs in zip(again.predict(NEAR), by_graph(8).predict(NEAR), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_nor_does_it_of_copies_with_other_targets() -> None:
    """Of each row there are three, of which a row has some for neighbours."""
    copies, y = np.tile(X[:60], (3, 1)), np.concatenate([Y[:60], -Y[:60], Y[40:100]])
    (total,) = local_conditional([(copies, y), (X, Y)], FEATURES, [NOISE])
    posterior = Posterior.of(total.message, FEATURES, total.evidence(NOISE))

    def made(order: np.ndarray) -> GraphRefinement:
        rows = OwnRows.together([(copies[order], y[order])], FEATURES)
        return refine_by_graph(posterior, total, rows, 8, SMOOTH)

    expected = made(np.arange(180))
    for order in (np.random.default_rng(1).permutation(180), np.arange(180)[::-1]):
        for ours, theirs in zip(made(order).predict(NEAR), expected.predict(NEAR), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_answers_dont_depend_on_what_else_is_asked() -> None:
    """One by one, they are the same."""
    found = by_graph(10)
    together = found.predict(NEAR)
    for i in range(0, 40, 7):
        for ours, theirs in zip(found.predict(NEAR[i : i + 1]), together, strict=True):
            np.testing.assert_allclose(ours, theirs[i : i + 1], rtol=1e-9)


def test_regions_answer_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the rows around, or of all where these are few."""
    found = by_graph(30)
    whole = found.predict(NEAR)
    module = "edge_node.inference.features.regions"
    monkeypatch.setattr(f"{module}._OWN", 15)
    for around, close in ((100, 1e-7), (70, 0.2)):
        monkeypatch.setattr(f"{module}._AROUND", around)
        again = replace(found)
        for ours, theirs in zip(again.predict(NEAR), whole, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=close)
        assert len(again._regions.rows) > 4


def test_a_row_far_from_all_rows_is_not_answered() -> None:
    """All of the site's are; so are copies of a site's only row."""
    found = by_graph(10)
    mean, variance, answered = found.predict(np.vstack([np.full((1, 3), 50.0), X[OWN]]))
    assert answered.tolist() == [False] + 100 * [True]
    assert np.isnan([mean[0], variance[0]]).all()
    assert (variance[1:] > 0).all()
    one = OwnRows.together([(X[:1], Y[:1])], FEATURES)
    alone = refine_by_graph(*shared(), one, 10)
    assert alone.predict(X[:2])[2].tolist() == [True, False]


def test_arrays_are_lossless() -> None:
    """To disk and back: the same answers."""
    found = by_graph(10)
    again = GraphRefinement.from_arrays(found.to_arrays(), FEATURES)
    for ours, theirs in zip(again.predict(NEAR), found.predict(NEAR), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("wrong", ["targets", "shares", "neighbours", "all"])
def test_arrays_that_dont_fit_are_refused(wrong: str) -> None:
    """Rows of different numbers, none, or no neighbours."""
    arrays = by_graph(10).to_arrays()
    none = {"neighbours": np.array(0), "all": None}
    if wrong == "all":
        arrays |= {name: arrays[name][:0] for name in ("inputs", "targets", "shares")}
    else:
        arrays[wrong] = none.get(wrong, arrays[wrong][:-1] if arrays[wrong].ndim else None)
    with pytest.raises(ValueError, match="don't fit"):
        GraphRefinement.from_arrays(arrays, FEATURES)


def test_students_t_weights_rows_as_blocks_do() -> None:
    """With all neighbours; a wrong target gets the largest noise."""
    y = Y.copy()
    y[7] += 8.0
    precisions = RowPrecisions(FEATURES, normal(3, 12), 0.4)
    start = shared(y, precisions)
    found = refine_by_graph(*start, own_rows(y, precisions), 100)
    expected = refine(*start, own_rows(y, precisions))
    assert_alike(found, expected, rtol=1e-5)
    (block,) = expected.blocks
    assert found.rows.shares is not None
    assert block.shares is not None
    ours, theirs = np.argsort(found.rows.targets), np.argsort(block.targets)
    np.testing.assert_allclose(found.rows.shares[ours], block.shares[theirs], rtol=1e-5)
    assert int(np.argmax(found.rows.shares)) == int(np.flatnonzero(found.rows.targets == y[7])[0])


@pytest.mark.parametrize("neighbours", [1, 2, 4])
def test_few_neighbours_are_not_taken_for_noise(neighbours: int) -> None:
    """The noise is a block's, though the rows' terms, which see less, ask for more."""
    found = by_graph(neighbours)
    noise = refine(*shared(), own_rows(), SMOOTH).posterior.noise
    assert found.posterior.noise == pytest.approx(noise)
    site = SiteRows.of(found.rows, FEATURES, found.left)
    graph = KernelGraph.of(found.rows.inputs, neighbours)
    own, more = local_vecchia(site, graph, [noise, 8**0.5 * noise])
    assert more.evidence(8**0.5 * noise).log_evidence > own.evidence(noise).log_evidence


def test_a_few_copies_with_other_targets_say_what_the_noise_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is judged by blocks, in which they are together. A random sample has one of them."""
    copied = np.concatenate([X[OWN], X[10:12]])
    y = np.sin(copied[:, 0]) + np.append(np.zeros(100), [2.0, -2.0])
    (total,) = local_conditional([(copied, y)], FEATURES, [NOISE])
    start = Posterior.of(total.message, FEATURES, total.evidence(NOISE)), total
    rows = OwnRows.together([(copied, y)], FEATURES)

    def noise() -> float:
        return refine_by_graph(*start, rows, 20).posterior.noise

    expected = noise()
    monkeypatch.setattr(graph_refinement, "_JUDGED_ROWS", 30)
    assert expected / 3 < noise() < expected * 3
    sample = random_order(refine_by_graph(*start, rows, 20).rows.inputs)[::4]
    monkeypatch.setattr(graph_refinement, "_judges", lambda block: [block.some(sample)])
    assert noise() < expected / 3


def test_what_all_share_is_as_it_was() -> None:
    """The others' statistics and the total aren't touched."""
    posterior, total = shared()
    before = total.pack().copy()
    refine_by_graph(posterior, total, own_rows(), 10, SMOOTH)
    np.testing.assert_array_equal(total.pack(), before)
    assert isinstance(total, ConditionalStatistics)
