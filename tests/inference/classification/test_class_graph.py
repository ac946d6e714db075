"""A site's classifier on its kernel graph, against the dense one of the same rows."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from edge_node.arrays import Matrix, Vector
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.dense import DensePosterior, Prior, fit
from edge_node.inference.classification.sites.graph_prior import GraphPrior, fit_on_graph
from edge_node.inference.classification.sites.graph_refinement import ClassGraphRefinement
from edge_node.inference.classification.sites.refinement import BlockModel, ClassRefinement
from edge_node.inference.classification.sites.site_classes import SiteClasses
from edge_node.inference.evaluation.metrics import ece, log_loss
from edge_node.inference.features.blocks import Block, first_blocks
from edge_node.inference.messages.propagation.solution import PropagationError
from edge_node.inference.messages.propagation.solve import solve
from tests.inference.classification.test_class_refinement import shared, sites_that_differ
from tests.inference.problems import classification, normal


def site_of(posterior: ClassPosterior, X: Matrix, y: Vector) -> SiteClasses:
    """All rows told."""
    return SiteClasses(posterior, Block(X, y), np.ones(len(y), dtype=bool))


def priors(
    posterior: ClassPosterior, X: Matrix, y: Vector, deviation: float, neighbours: int
) -> tuple[BlockModel, Prior, GraphPrior]:
    """The same rows as one block, its prior, and that on the graph."""
    site = site_of(posterior, X, y)
    model = BlockModel(posterior, site.rows, site.told)
    prior = model.prior(deviation)
    turned, _ = site._all()
    on_graph = GraphPrior.of(prior.mean, site.covariance(deviation), X, turned, neighbours)
    return model, prior, on_graph


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("deviation", [0.0, 0.3])
def test_joined_to_all_rows_the_factors_are_the_dense_ones(classes: int, deviation: float) -> None:
    """As good, by the dense bound, whatever variances miss. Joined to one row each they aren't."""
    X, y = classification(7, 150, classes=classes)
    posterior, losses = shared([(X, y)], classes), {}
    for neighbours in (149, 1):
        model, prior, on_graph = priors(posterior, X, y, deviation, neighbours)
        _, best = fit(prior, model.labels, model.shared)
        sites = fit_on_graph(on_graph, model.labels, model.shared)
        found = DensePosterior.of(prior, sites)
        losses[neighbours] = _bound(model, best) - _bound(model, found)
    assert abs(losses[149]) < 0.15  # dense steps end at as much, for 150 rows
    assert losses[1] > losses[149]


def _bound(model: BlockModel, posterior: DensePosterior) -> float:
    expected = model.labels.averages(posterior.marginals)
    return model.labels.log_likelihood(expected) - posterior.divergence


def test_joined_to_all_rows_the_mean_is_the_dense_one() -> None:
    """Of the same factors, but for the rows' own shares of the prior; with four rows it isn't."""
    X, y = classification(7, 120)
    posterior, apart = shared([(X, y)], 2), {}
    for neighbours in (119, 4):
        model, prior, on_graph = priors(posterior, X, y, 0.3, neighbours)
        sites, best = fit(prior, model.labels, model.shared)
        found = on_graph.times(sites)
        apart[neighbours] = np.abs(found.mean - best.marginals.mean).max()
    assert apart[119] < 1e-3
    assert apart[4] > 10 * apart[119]


@pytest.mark.parametrize("copies", [False, True])
def test_the_engines_mean_is_a_direct_solvers(copies: bool) -> None:
    """Also where rows are nearly copies of each other, and plain messages find no answer."""
    X, y = classification(3, 300)
    if copies:
        X, y = np.tile(X[:10], (30, 1)) + 1e-3 * normal(5, 300, 3), np.tile(y[:10], 30)
    posterior = shared([(X, y)], 2)
    model, _, on_graph = priors(posterior, X, y, 0.3, 30)
    sites = model.labels.sites(model.labels.averages(model.shared), model.shared)
    shift = sites.shift - sites.precision * on_graph.mean
    found = on_graph.times(sites).mean - on_graph.mean
    (each,) = on_graph.conditionals
    B = sparse.csc_array(sparse.eye_array(300) - each.matrix(on_graph.graph.neighbours, 300))
    A = B.T @ sparse.diags_array(1 / each.variances) @ B + sparse.diags_array(sites.precision[:, 0])
    direct = spsolve(sparse.csc_array(A), shift[:, 0])
    assert np.abs(found[:, 0] - direct).max() < 1e-4 * np.abs(direct).max()
    if copies:
        with pytest.raises(PropagationError):
            solve(on_graph.product(0, shift[:, 0], sites.precision[:, 0]), tolerance=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_with_all_rows_as_neighbours_predictions_are_the_blocks(classes: int) -> None:
    """From the same factors. With few of them they differ."""
    X, y = classification(7, 150, classes=classes)
    posterior, queries = shared([(X, y)], classes), 0.7 * normal(9, 40, 3)
    (block,) = first_blocks([(X, y)], 150, 1000)
    blocks = ClassRefinement.of([BlockModel(posterior, block, np.ones(150, bool))], 0.3)
    whole = ClassGraphRefinement(site_of(posterior, X, y), blocks.sites[0], 0.3, 150)
    assert whole.answers(queries).all()
    dense = blocks.predict_proba(queries)
    np.testing.assert_allclose(whole.predict_proba(queries), dense, atol=1e-6)
    few = replace(whole, neighbours=5)
    assert np.abs(few.predict_proba(queries) - dense).max() > 0.01


def wavy(seed: int, rows: int) -> tuple[Matrix, Vector, Vector]:
    """Inputs, the probability of the second class, and classes drawn from it: a function that the
    shared features are too few for.
    """
    X = normal(seed, rows, 3)
    p = 1.0 / (1.0 + np.exp(-4.0 * np.sin(3.0 * X[:, 0]) * np.cos(2.0 * X[:, 1])))
    return X, p, (np.random.default_rng(seed + 1).random(rows) < p).astype(float)


def test_without_borders_a_site_of_many_blocks_is_predicted_no_worse() -> None:
    """Than by blocks, and better than by what all share; probabilities are close to the true ones,
    and calibrated. Neighbours that aren't near, as control, help much less.
    """
    X, _, y = wavy(1, 1600)
    others = wavy(5, 300)
    queries, p, outcome = wavy(11, 3000)
    posterior = shared([(X, y), (others[0], others[2])], 2)
    models = [
        BlockModel(posterior, block, np.ones(len(block.targets), bool))
        for block in first_blocks([(X, y)], 1600, 200)
    ]
    graph = ClassGraphRefinement.of(site_of(posterior, X, y), 0.5, 30)
    found, in_blocks = graph.predict_proba(queries), ClassRefinement.of(models, 0.5)
    before = log_loss(outcome, posterior.predict_proba(queries))
    loss = log_loss(outcome, found)
    assert loss < log_loss(outcome, in_blocks.predict_proba(queries)) + 0.002
    assert loss < 0.9 * before
    assert ece(outcome, found, bins=10) < 0.06
    assert (
        np.abs(found[:, 1] - p).mean()
        < 0.8 * np.abs(posterior.predict_proba(queries)[:, 1] - p).mean()
    )
    strangers = replace(graph, sites=graph.sites.of_rows(np.roll(np.arange(1600), 1)))
    assert log_loss(outcome, strangers.predict_proba(queries)) > loss + 0.05


def test_a_site_that_differs_is_predicted_better() -> None:
    """Than by what both sites share, which is wrong at both."""
    train, test = sites_that_differ(by=1.5)
    posterior = shared(train, 2)
    for (X, y), (queries, outcome) in zip(train, test, strict=True):
        graph = ClassGraphRefinement.of(site_of(posterior, X, y), 0.5, 30)
        answered = graph.answers(queries)
        loss = log_loss(outcome[answered], graph.predict_proba(queries)[answered])
        assert answered.mean() > 0.8
        assert loss < 0.7 * log_loss(outcome, posterior.predict_proba(queries))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_site_of_a_row_or_two_is_a_site(rows: int) -> None:
    """It answers near its row, by finite numbers; also if all of its rows are copies."""
    train, _ = sites_that_differ(by=0.0)
    X, y = train[0][0][:rows], train[0][1][:rows]
    posterior = shared(train, 2)
    for places in (X, np.repeat(X[:1], rows, axis=0)):
        graph = ClassGraphRefinement.of(site_of(posterior, places, y), 0.3, 5)
        np.testing.assert_allclose(graph.predict_proba(X).sum(axis=1), 1.0)


def test_untold_rows_count_too() -> None:
    """They aren't taken out of the total, in which they never were; what others leave is a block's,
    however many rows are told.
    """
    train, _ = sites_that_differ(by=0.0)
    posterior, (X, y) = shared(train, 2), train[0]
    for told in (np.ones(150, bool), np.arange(150) >= 5, np.zeros(150, bool)):
        block = BlockModel(posterior, Block(X, y), told).others
        site = SiteClasses(posterior, Block(X, y), told).others
        np.testing.assert_allclose(site.mean, block.mean, atol=1e-9)
        np.testing.assert_allclose(site.variances, block.variances, rtol=1e-9)


def test_it_survives_the_disk_and_leaves_far_rows_to_what_is_shared() -> None:
    """The same answers; to a row far from the site's own, the shared one."""
    train, test = sites_that_differ(by=1.0)
    posterior = shared(train, 2)
    graph = ClassGraphRefinement.of(site_of(posterior, *train[0]), 0.5, 10)
    queries = test[0][0].copy()
    queries[0] = 90.0
    found, alone = graph.predict_proba(queries), posterior.predict_proba(queries)
    np.testing.assert_allclose(found[0], alone[0], rtol=1e-9)
    assert np.abs(found[1:] - alone[1:]).max() > 0.05
    again = ClassGraphRefinement.from_arrays(graph.to_arrays(), posterior)
    np.testing.assert_array_equal(again.predict_proba(queries), found)
    np.testing.assert_array_equal(again.on(posterior).predict_proba(queries), found)


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("shift", np.zeros((3, 1))),
        ("precision", -np.ones((150, 1))),
        ("told", np.ones(3, bool)),
        ("inputs", np.zeros((3, 3))),
        ("neighbours", np.array(0)),
        ("deviation", np.array(-0.1)),
    ],
)
def test_a_damaged_archive_is_refused(name: str, damaged: Matrix) -> None:
    """What doesn't fit, or isn't there."""
    train, _ = sites_that_differ(by=1.0)
    posterior = shared(train, 2)
    arrays = ClassGraphRefinement.of(site_of(posterior, *train[0]), 0.5, 10).to_arrays()
    with pytest.raises(ValueError, match=r"fit|positive|negative"):
        ClassGraphRefinement.from_arrays({**arrays, name: damaged}, posterior)
    del arrays[name]
    with pytest.raises(KeyError):
        ClassGraphRefinement.from_arrays(arrays, posterior)


@pytest.mark.slow
def test_twenty_thousand_rows_take_bounded_memory() -> None:
    """A tenth of what one dense covariance of them would take."""
    X, _, y = wavy(1, 20_000)
    few = [(X[:300], y[:300])]
    posterior = shared(few, 2)
    site = SiteClasses(posterior, Block(X, y), np.arange(20_000) < 300)
    tracemalloc.start()
    try:
        graph = ClassGraphRefinement.of(site, 0.5, 30)
        found = graph.predict_proba(X[:2000])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * 8 * 20_000**2
    queries, p, _ = wavy(11, 2000)
    assert np.abs(graph.predict_proba(queries)[:, 1] - p).mean() < 0.1
    assert np.isfinite(found).all()
