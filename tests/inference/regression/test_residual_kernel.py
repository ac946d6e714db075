"""What landmarks leave at a site may have another kernel than theirs: against the dense model."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import OwnRows, Refinement, refine
from tests.inference.problems import NTK, normal

NOISE = 0.05
NNGP = DenseKernel(KernelKind.NNGP, Activation.RELU, 1, 2.0, 0.0)
SMOOTH = Features.build(NNGP, normal(1, 8, 1))
ROUGH = Features.build(NTK, SMOOTH.landmarks)
X = normal(2, 90, 1)
OWN, OTHERS = slice(0, 60), slice(60, 90)


def left_by(features: Features, A: Matrix, B: Matrix) -> Matrix:
    """K(A, B) - Phi(A) Phi(B)'."""
    return features.kernel(A, B) - features(A) @ features(B).T


_covariance = SMOOTH(X) @ SMOOTH(X).T + left_by(ROUGH, X, X) + 0.02 * np.eye(90)
Y = np.linalg.cholesky(_covariance) @ normal(1, 90)
"""Smooth at the landmarks' distance, rough below it."""


def shared() -> tuple[Posterior, ConditionalStatistics]:
    """The global posterior, of the smooth kernel, and the total that it is made of."""
    parts = [local_conditional([(X[p], Y[p])], SMOOTH, [NOISE])[0] for p in (OWN, OTHERS)]
    total = parts[0] + parts[1]
    return Posterior.of(total.message, SMOOTH, total.evidence(NOISE)), total


def refined(kernel: DenseKernel | None) -> Refinement:
    """The first site's, all its rows in one block."""
    return refine(*shared(), OwnRows.of([(X[OWN], Y[OWN])], SMOOTH, 60, 60), kernel)


def test_it_is_the_dense_model_with_that_kernel_within_the_block() -> None:
    """Where landmarks cover rows, and for the others' rows, all is as it was."""
    found = refined(NTK)
    assert found.left is not None
    assert found.left.kernel == NTK
    posterior, N = found.posterior, X[:5] + 0.1
    alone = np.diag(np.diag(left_by(SMOOTH, X[OTHERS], X[OTHERS])))
    C = SMOOTH(X) @ SMOOTH(X).T + block_diag(left_by(ROUGH, X[OWN], X[OWN]), alone)
    C += np.diag(np.repeat([posterior.noise, NOISE], [60, 30]))
    cross = SMOOTH(X) @ SMOOTH(N).T
    cross[OWN] += left_by(ROUGH, X[OWN], N)
    mean, variance, answered = found.predict(N)
    assert answered.all()
    np.testing.assert_allclose(mean, cross.T @ np.linalg.solve(C, Y), rtol=1e-7, atol=1e-8)
    prior = np.diag(SMOOTH(N) @ SMOOTH(N).T + left_by(ROUGH, N, N))
    exact = prior - np.einsum("ij,ij->j", cross, np.linalg.solve(C, cross))
    np.testing.assert_allclose(variance, posterior.amplitude * exact, rtol=1e-6)


def test_the_evidence_chooses_and_new_rows_agree() -> None:
    """A rough function is predicted better by the rough kernel; a worse kernel isn't taken."""
    found, plain = refined(NTK), refined(None)
    assert found.posterior.log_evidence > plain.posterior.log_evidence + 1
    deep = refined(DenseKernel(KernelKind.NNGP, Activation.RELU, 1, 2.0, 0.0, 30.0))
    assert deep.left is not None
    assert deep.left.kernel == NNGP, "a kernel that is nearly constant explains less"
    assert deep.posterior.log_evidence == plain.posterior.log_evidence


@pytest.mark.parametrize("kernel", [NTK, None])
def test_it_is_kept_on_disk(kernel: DenseKernel | None) -> None:
    """Answers are the same to the bit."""
    found = refined(kernel)
    again = Refinement.from_arrays(found.to_arrays(), SMOOTH)
    for answer, expected in zip(again.predict(X[:9]), found.predict(X[:9]), strict=True):
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("least", [60, 61])
def test_few_rows_dont_choose(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the evidence would be higher: one row fewer than enough is too few."""
    monkeypatch.setattr("edge_node.inference.regression.joining._ROWS_FOR_KERNEL", least)
    found = refine(*shared(), OwnRows.of([(X[OWN], Y[OWN])], SMOOTH, 60, 60), NTK)
    assert found.left is not None
    assert (found.left.kernel == NTK) is (least == 60)
