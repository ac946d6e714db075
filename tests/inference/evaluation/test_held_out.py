"""Rows that took no part in what predicts them: against learning without them."""

from dataclasses import replace

import numpy as np
import pytest

from edge_node.arrays import Matrix, Rows
from edge_node.inference.evaluation.held_out import (
    HeldOut,
    later_rows_global,
    later_rows_refined,
    left_out_global,
    left_out_joined,
    left_out_refined,
)
from edge_node.inference.features.blocks import Block
from edge_node.inference.features.kernel_graph import random_order
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.graph_refinement import refine_by_graph, refine_by_graph_alike
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine, refine_alike
from edge_node.inference.regression.student import RowPrecisions
from tests.inference.problems import NTK, features_on, normal, regression, split

FEATURES = features_on(normal(1, 14, 3))
X, Y = regression(3, rows=100)
OWN, OTHERS = slice(0, 60), slice(60, 100)
NOISE = 0.1


def statistics(rows: Rows) -> ConditionalStatistics:
    """Each row by itself."""
    (found,) = local_conditional(rows, FEATURES, [NOISE])
    return found


def shared(total: ConditionalStatistics) -> Posterior:
    """The global posterior of a total."""
    return Posterior.of(total.message, FEATURES, total.evidence(NOISE))


TOTAL = statistics([(X, Y)])
SHARED = shared(TOTAL)


def refinement() -> Refinement:
    """The site's, in two blocks; ten of its rows are in none."""
    return refine(SHARED, TOTAL, OwnRows.of([(X[OWN], Y[OWN])], FEATURES, 50, 25))


def test_a_blocks_row_is_predicted_as_if_it_had_never_been_there() -> None:
    """The other rows of all blocks stay, and noise and amplitude."""
    found = refinement()
    refined, plain = left_out_refined(found, SHARED)
    assert len(refined) == len(plain) == 50
    others = TOTAL.without(statistics([(X[OWN], Y[OWN])]))
    i = 0
    for index, block in enumerate(found.blocks):
        for row in (0, len(block.targets) - 1):
            kept = Block(np.delete(block.inputs, row, 0), np.delete(block.targets, row))
            blocks = (*found.blocks[:index], kept, *found.blocks[index + 1 :])
            rest = OwnRows([(X[OWN], Y[OWN])], found.blocks).others
            without = refine_alike(found, others, OwnRows(_after(blocks, rest), blocks))
            mean, variance = without._solve(index).predict(block.inputs[row : row + 1])
            assert refined.errors[i + row] == pytest.approx(block.targets[row] - mean[0], rel=1e-6)
            spread = np.sqrt(variance[0] + without.noise_variance)
            assert refined.deviations[i + row] == pytest.approx(spread, rel=1e-6)
        i += len(block.targets)


@pytest.mark.parametrize(
    "metric", [np.diag([2.0, 0.5, 1.0]), np.eye(3)[[0, 2]]], ids=["all", "two"]
)
def test_the_global_scores_of_a_blocks_rows_are_those_of_the_rows(metric: Matrix) -> None:
    """Blocks hold inputs where the metric puts them; Student-t weights are looked up there, too."""
    features = Features.build(NTK, normal(1, 14, len(metric)), metric)
    precisions = RowPrecisions(features, normal(2, 14), 0.5)
    (total,) = local_conditional([(X, Y)], features, [NOISE], precisions)
    posterior = Posterior.of(total.message, features, total.evidence(NOISE), precisions)
    rows = [(X[OWN], Y[OWN])]
    own = OwnRows.of(rows, features, 60, 60, precisions=precisions)
    _, found = left_out_refined(refine(posterior, total, own), posterior)
    expected = left_out_global(rows, posterior, 1.0)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-6)
    np.testing.assert_allclose(found.deviations, expected.deviations, rtol=1e-6)


def _after(blocks: tuple[Block, ...], rest: Rows) -> Rows:
    """Rows of which those in blocks come first."""
    return [*((block.inputs, block.targets) for block in blocks), *rest]


@pytest.mark.parametrize("neighbours", [5, 59])
def test_a_graphs_row_is_predicted_without_its_own_target(neighbours: int) -> None:
    """Its error changes as the target does, and nobody else's that is held out with it: neither
    its neighbours' terms nor the others' message have the target. Otherwise they would.
    """
    rows = [(X[OWN], Y[OWN])]
    found = refine_by_graph(SHARED, TOTAL, OwnRows.together(rows, FEATURES), neighbours)
    refined, plain = left_out_joined(found, rows, SHARED, TOTAL)
    assert len(refined) == len(plain) >= 25
    y, moved = found.rows.targets, random_order(found.rows.inputs)[0]
    changed = np.where(np.arange(60) == moved, y + 3.0, y)
    others_y = replace(found, rows=replace(found.rows, targets=changed))
    again, _ = left_out_joined(others_y, rows, SHARED, TOTAL)
    first = slice(0, 4)  # rows that are held out with it, itself the first
    expected = refined.errors[first] + 3.0 * (np.arange(4) == 0)
    np.testing.assert_allclose(again.errors[first], expected, rtol=1e-9)
    np.testing.assert_allclose(again.deviations, refined.deviations, rtol=1e-9)
    assert (np.abs(again.errors[6:] - refined.errors[6:]) > 1e-6).any()


def test_a_graphs_scores_are_those_of_the_dense_model() -> None:
    """With all neighbours: as if the rows had never been there, and global ones as blocks' are."""
    rows = [(X[OWN], Y[OWN])]
    found = refine_by_graph(SHARED, TOTAL, OwnRows.together(rows, FEATURES), 60)
    refined, plain = left_out_joined(found, rows, SHARED, TOTAL)
    own, others = found.rows, TOTAL.without(statistics(rows))
    held = random_order(own.inputs)[::10]
    kept = own.some(np.delete(np.arange(60), held))
    block = Refinement(found.posterior, (kept,))
    like = refine_alike(block, others, OwnRows([(kept.inputs, kept.targets)], (kept,)))
    mean, variance = like._solve(0).predict(own.inputs[held])
    spread, error = np.sqrt(variance + like.noise_variance), own.targets[held] - mean
    assert len(refined) == len(plain)
    for ours, width in zip(refined.errors[:4], refined.deviations[:4], strict=True):
        (place,) = np.flatnonzero(np.isclose(error, ours, rtol=1e-6))
        assert width == pytest.approx(spread[place], rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_graph_of_few_rows_is_scored_by_few_or_none(count: int) -> None:
    """No error, and no score from nothing."""
    rows = [(X[:count], Y[:count])]
    total = TOTAL.without(statistics([(X[OWN], Y[OWN])])) + statistics(rows)
    posterior = shared(total)
    found = refine_by_graph(posterior, total, OwnRows.together(rows, FEATURES), 5)
    refined, plain = left_out_joined(found, rows, posterior, total)
    assert len(refined) == len(plain) <= count
    later, _ = later_rows_refined(found, rows, posterior, total, most=0, size=1)
    assert np.isfinite(later.deviations).all()


def test_a_graph_predicts_later_rows_from_all_earlier_ones() -> None:
    """Of those near enough."""
    rows = [(X[OWN], Y[OWN])]
    found = refine_by_graph(SHARED, TOTAL, OwnRows.together(rows, FEATURES), 10)
    refined, plain = later_rows_refined(found, rows, SHARED, TOTAL, most=0, size=1)
    others = TOTAL.without(statistics(rows))
    expected = []
    for held, first in ((slice(0, 15), 15), (slice(15, 30), 30)):
        (kept,) = OwnRows.together([(X[first:60], Y[first:60])], FEATURES).blocks
        mean, _, answered = refine_by_graph_alike(found, others, kept).predict(X[held])
        expected.append((Y[held] - mean)[answered])
    np.testing.assert_allclose(refined.errors, np.concatenate(expected), rtol=1e-9)
    assert 0 < len(refined) == len(plain) <= 30


def test_later_rows_are_predicted_from_earlier_ones() -> None:
    """The last quarter without it; the third without it and the last one; others' rows stay."""
    rows = [(X[OWN], Y[OWN])]  # the latest first
    found = later_rows_global(rows, SHARED, TOTAL)
    assert len(found) == 30
    for held, first in ((slice(0, 15), 15), (slice(15, 30), 30)):
        without = shared(statistics([(X[first:], Y[first:])]))
        mean, variance = without.predict(X[held])
        np.testing.assert_allclose(found.errors[held], Y[held] - mean, rtol=1e-8)
        spread = variance / without.amplitude * SHARED.amplitude + SHARED.noise_variance
        np.testing.assert_allclose(found.deviations[held], np.sqrt(spread), rtol=1e-8)


def test_a_refinement_predicts_later_rows_from_blocks_of_earlier_ones() -> None:
    """Of the rows that a block reaches, in both posteriors."""
    rows = [(X[OWN], Y[OWN])]
    found = refinement()
    refined, plain = later_rows_refined(found, rows, SHARED, TOTAL, most=30, size=30)
    others = TOTAL.without(statistics(rows))
    expected = []
    for held, first in ((slice(0, 15), 15), (slice(15, 30), 30)):
        kept = OwnRows.of([(X[first:60], Y[first:60])], FEATURES, 30, 30)
        mean, _, answered = refine_alike(found, others, kept).predict(X[held])
        expected.append((Y[held] - mean)[answered])
    np.testing.assert_allclose(refined.errors, np.concatenate(expected), rtol=1e-9)
    assert 0 < len(refined) == len(plain) <= 30


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_rows_have_few_later_ones_or_none(rows: int) -> None:
    """No error, and no score from nothing."""
    own = [(X[:rows], Y[:rows])]
    assert len(later_rows_global(own, SHARED, TOTAL)) <= rows


@pytest.mark.parametrize("share", [0.3, 1.0, 7.0])
def test_the_same_rows_are_scored_wherever_they_lie(share: float) -> None:
    """So sites' scores add to those of the pooled rows; about the share that is asked for."""
    pooled = left_out_global([(X, Y)], SHARED, share)
    parts = split(np.random.default_rng(0), X, Y, 5)
    found = [left_out_global(part, SHARED, share) for part in parts]
    total = HeldOut.joined(found).scores
    np.testing.assert_allclose(total.pack(), pooled.scores.pack(), rtol=1e-9)
    assert len(pooled) == pytest.approx(min(share, 1.0) * 100, abs=15)


def test_losses_are_those_of_wider_predictions() -> None:
    """-log p of a Gaussian with the variance that the factor makes of it."""
    held = HeldOut(np.array([1.0, -2.0]), np.array([0.5, 3.0]))
    for factor in (1.0, 2.5):
        variance = factor * held.deviations**2
        exact = 0.5 * np.log(2 * np.pi * variance) + held.errors**2 / (2 * variance)
        np.testing.assert_allclose(held.losses(factor), exact)
