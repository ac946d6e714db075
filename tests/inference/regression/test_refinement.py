"""A site's rows on top of the shared posterior: against the dense model (PIC)."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal

from edge_node.arrays import Matrix
from edge_node.inference.features.blocks import (
    Block,
    BlockTree,
    RowRange,
    first_blocks,
    nearest_block,
)
from edge_node.inference.features.metric import metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.conditional import ConditionalStatistics
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement, local_refinement
from edge_node.inference.regression.solved import SolvedBlock
from edge_node.inference.regression.student import RowPrecisions
from tests.inference.problems import NTK, normal, regression

NOISE = 0.05
METRIC = metric_from(normal(0, 5, 3).T @ normal(0, 5, 3))
FEATURES = Features.build(NTK, normal(1, 15, 3) @ METRIC.T, METRIC)
X, Y = regression(2, rows=90)
PARTS = (slice(0, 30), slice(30, 50), slice(50, 70))  # blocks; rows from 70 on are independent
BLOCKS = [Block(FEATURES.place(X[part]), Y[part]) for part in PARTS]
REST = [(X[70:], Y[70:])]


def residual(A: Matrix, B: Matrix) -> Matrix:
    """K(A, B) - Phi(A) Phi(B)'."""
    K = NTK(FEATURES.place(A), FEATURES.place(B))
    return K - FEATURES(A) @ FEATURES(B).T


def dense() -> Matrix:
    """The covariance of the targets over the amplitude."""
    Phi = FEATURES(X)
    own = [residual(X[part], X[part]) for part in PARTS]
    C = Phi @ Phi.T + block_diag(*own, np.diag(np.diag(residual(X[70:], X[70:]))))
    return C + NOISE * np.eye(len(X))


def total() -> ConditionalStatistics:
    """Two sites' messages: one with two blocks, one with a block and the rest."""
    (one,) = local_refinement(BLOCKS[:2], [], FEATURES, [NOISE])
    (other,) = local_refinement(BLOCKS[2:], REST, FEATURES, [NOISE])
    return one + other


def refinement(blocks: list[Block]) -> Refinement:
    """The first site's, or another's."""
    statistics = total()
    posterior = Posterior.of(statistics.message, FEATURES, statistics.evidence(NOISE))
    return Refinement(posterior, tuple(blocks))


def test_the_evidence_is_the_dense_models() -> None:
    """Summed over sites."""
    found, C = total().evidence(NOISE), dense()
    amplitude = float(Y @ np.linalg.solve(C, Y)) / len(Y)
    exact = multivariate_normal.logpdf(Y, np.zeros(len(Y)), amplitude * C)
    assert found.amplitude == pytest.approx(amplitude, rel=1e-8)
    assert found.log_evidence == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("block", range(3))
def test_predictions_are_the_dense_models(block: int) -> None:
    """Inputs of a block depend on its rows through the residual, and on others through u."""
    own = BLOCKS[block]
    centre = np.linalg.solve(METRIC, own.centre)
    N = centre + 0.3 * normal(3 + block, 8, 3)
    cross = FEATURES(X) @ FEATURES(N).T
    cross[PARTS[block]] += residual(X[PARTS[block]], N)
    C = dense()
    found = refinement([own])
    mean, variance, answered = found.predict(N)
    assert answered.all()
    np.testing.assert_allclose(mean, cross.T @ np.linalg.solve(C, Y), rtol=1e-7, atol=1e-8)
    exact = FEATURES.prior_variance(N) - np.einsum("ij,ij->j", cross, np.linalg.solve(C, cross))
    np.testing.assert_allclose(variance, found.posterior.amplitude * exact, rtol=1e-6)


@pytest.mark.parametrize("out", [[4], [0, 7, 29], list(range(30))], ids=["one", "three", "all"])
@pytest.mark.parametrize("student", [False, True])
def test_rows_left_out_are_predicted_by_the_block_without_them(
    out: list[int], student: bool
) -> None:
    """Under another posterior; all that is left out is the posterior's to predict."""
    own, statistics = refinement(BLOCKS).posterior, local_refinement([], REST, FEATURES, [NOISE])[0]
    belief = statistics.message.with_prior()
    if student:
        own = replace(own, precisions=RowPrecisions(FEATURES, normal(3, 15), 0.4))
    other = replace(own, mean=belief.mean, factor=belief.factor)
    block = replace(BLOCKS[0], shares=np.linspace(0.5, 3.0, 30) if student else None)
    errors, variance = SolvedBlock.of(block, own).leave_out(np.array(out), other)
    kept = block.some(np.delete(np.arange(30), out))
    X = block.inputs[out]
    predicted = SolvedBlock.of(kept, other.at_place()).predict(X) if len(out) < 30 else None
    mean, expected = predicted or other.at_place().predict(X)
    np.testing.assert_allclose(errors, block.targets[out] - mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(variance, expected + other.noise_variance, rtol=1e-6)


def test_a_row_far_from_all_blocks_is_not_answered() -> None:
    """It is farther from the nearest centre than all of that block's own rows."""
    found = refinement(BLOCKS[:2])
    far, near = np.full((1, 3), 50.0), X[:1]
    mean, variance, answered = found.predict(np.vstack([far, near]))
    assert answered.tolist() == [False, True]
    assert np.isnan([mean[0], variance[0]]).all()
    assert np.isfinite([mean[1], variance[1]]).all()
    assert not refinement([]).predict(X)[2].any()


def test_every_row_of_a_block_is_within_its_reach() -> None:
    """The radius is that of the farthest; a row goes to the nearest centre that reaches it."""
    inputs = np.vstack([normal(7, 40, 2), normal(8, 40, 2) + 9.0])
    blocks = [Block(inputs[:40], np.zeros(40)), Block(inputs[40:], np.zeros(40))]
    owner = nearest_block(inputs, blocks)
    assert owner.tolist() == [0] * 40 + [1] * 40
    edge = blocks[0].centre + np.array([blocks[0].radius + 1e-9, 0.0])
    assert nearest_block(edge[None], blocks).tolist() == [-1]


def test_a_wide_blocks_row_beside_a_narrow_block_belongs_to_the_wide_one() -> None:
    """Nearer to the narrow one's centre, but farther than any of its rows."""
    wide, narrow = np.array([[-10.0], [0.0], [10.0]]), np.array([[11.9], [12.0], [12.1]])
    blocks = [Block(wide, np.zeros(3)), Block(narrow, np.zeros(3))]
    assert nearest_block(wide, blocks).tolist() == [0, 0, 0]
    assert nearest_block(narrow, blocks).tolist() == [1, 1, 1]
    assert nearest_block(np.array([[11.0]]), blocks).tolist() == [-1]


def test_blocks_hold_rows_that_lie_together() -> None:
    """Two distant clouds aren't mixed; sizes are bounded; each row is in one block."""
    inputs = np.vstack([normal(9, 50, 3), normal(10, 50, 3) + 20.0])
    order = np.random.default_rng(0).permutation(100)
    chunks = [(inputs[part], part.astype(float)) for part in np.array_split(order, 7)]
    blocks = first_blocks(chunks, 1000, 30)
    assert sorted(np.concatenate([b.targets for b in blocks])) == list(range(100))
    for block in blocks:
        assert len(block.targets) <= 30
        assert len({target < 50 for target in block.targets}) == 1
        np.testing.assert_array_equal(block.inputs, inputs[block.targets.astype(int)])


@pytest.mark.parametrize("most", [0, 1, 8, 25, 90, 200])
def test_first_rows_in_blocks_and_later_ones_make_the_whole(most: int) -> None:
    """Whatever the chunks."""
    chunks = [(X[i : i + 12], Y[i : i + 12]) for i in range(0, 90, 12)]
    blocks = first_blocks(chunks, most, 10)
    kept = sum(len(block.targets) for block in blocks)
    later = [y for _, y in RowRange(chunks, kept)]
    assert kept == min(most, 90)
    np.testing.assert_array_equal(np.concatenate([np.empty(0), *later]), Y[kept:])
    np.testing.assert_array_equal(
        np.sort(np.concatenate([np.empty(0), *(b.targets for b in blocks)])), np.sort(Y[:kept])
    )


@pytest.mark.parametrize(("start", "stop"), [(0, 90), (5, 5), (3, 30), (11, 12), (20, None)])
def test_a_range_of_rows_is_theirs(start: int, stop: int | None) -> None:
    """Whatever the chunks."""
    chunks = [(X[i : i + 12], Y[i : i + 12]) for i in range(0, 90, 12)]
    found = [y for _, y in RowRange(chunks, start, stop)]
    np.testing.assert_array_equal(np.concatenate([np.empty(0), *found]), Y[start:stop])
    assert all(len(y) for y in found)


@pytest.mark.parametrize("count", [0, 2])
def test_arrays_are_lossless(count: int) -> None:
    """To disk and back: the same answers."""
    found = refinement(BLOCKS[:count])
    again = Refinement.from_arrays(found.to_arrays(), FEATURES)
    for ours, theirs in zip(again.predict(X[:20]), found.predict(X[:20]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_row_goes_to_the_block_on_its_side_of_the_cut() -> None:
    """As a row of the site in its place would: not to the centre that happens to be nearer."""
    inputs = normal(11, 400, 2) * np.array([6.0, 1.0])
    blocks = first_blocks([(inputs, np.arange(400.0))], 400, 60)
    owner = BlockTree.of(blocks).block_of(inputs)
    for index, block in enumerate(blocks):
        assert (owner[block.targets.astype(int)] == index).all()
    assert (nearest_block(inputs, blocks) != owner).any(), "else the rule would make no difference"


def test_copies_of_a_row_on_both_sides_of_a_cut_are_reached() -> None:
    """All lie on the plane itself."""
    inputs = np.vstack([np.zeros((50, 2)), normal(12, 10, 2)])
    blocks = first_blocks([(inputs, np.zeros(60))], 60, 20)
    assert (BlockTree.of(blocks).block_of(inputs) >= 0).all()
    assert BlockTree.of(blocks).block_of(np.full((1, 2), 99.0)).tolist() == [-1]
