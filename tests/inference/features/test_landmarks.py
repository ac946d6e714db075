"""Landmarks are nobody's row, the same everywhere, and carry something each."""

import hashlib
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation, KernelKind
from edge_node.errors import NumericalError
from edge_node.inference.features.landmarks import (
    gaussian_landmarks,
    independent_landmarks,
    kmeans_given,
    kmeans_sums,
    kmeans_update,
)
from edge_node.inference.kernels.dense import DenseKernel, critical_variances

RELU = DenseKernel(KernelKind.NTK, Activation.RELU, 2, 2.0, 0.0)
SMOOTH = DenseKernel(KernelKind.NNGP, Activation.ERF, 2, *critical_variances(Activation.ERF))


def normal(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers, the same at each call."""
    return np.random.default_rng(seed).standard_normal(shape)


def covariance(seed: int, d: int) -> Matrix:
    """A full-rank covariance of d correlated inputs."""
    A = normal(seed, 2 * d, d)
    return A.T @ A / (2 * d)


def chunks(X: Matrix, cuts: list[int]) -> list[tuple[Matrix, Vector]]:
    """The rows of X in chunks that end at the cuts; targets don't matter here."""
    return [(part, np.zeros(len(part))) for part in np.split(X, sorted(cuts))]


# Gaussian landmarks


def test_gaussian_landmarks_have_the_inputs_covariance() -> None:
    """Many points reproduce mean zero and the covariance, within sampling error."""
    C = covariance(0, 4)
    Z = gaussian_landmarks(C, 100_000, seed=1)
    sd = np.sqrt(np.diag(C))
    assert np.abs(Z.mean(axis=0) / sd).max() < 0.02
    assert np.abs((Z.T @ Z / len(Z) - C) / np.outer(sd, sd)).max() < 0.02


def test_gaussian_landmarks_keep_to_the_inputs_subspace() -> None:
    """Columns that others determine, and constant ones, stay so: no noise is invented for them."""
    C = covariance(1, 3)
    T = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [0, 0, 0]])
    Z = gaussian_landmarks(T @ C @ T.T, 200, seed=2)
    np.testing.assert_allclose(Z[:, 3], Z[:, 0] - Z[:, 1], atol=1e-4)
    np.testing.assert_array_equal(Z[:, 4], 0.0)


def test_gaussian_landmarks_do_not_hang_on_the_partitions_rounding() -> None:
    """A covariance that differs in its last bits gives nearly always the same bytes, and never
    another point.
    """
    C = covariance(2, 6)
    Z = gaussian_landmarks(C, 50, seed=3)
    perturbed = gaussian_landmarks(C * (1 + 1e-15 * normal(4, 6, 6)), 50, seed=3)
    assert np.mean(perturbed == Z) > 0.99
    np.testing.assert_allclose(Z, perturbed, rtol=1e-7)


def test_gaussian_landmarks_are_the_same_bytes_everywhere() -> None:
    """Known answer: a change of NumPy's stream, or of arithmetic, would split a federation."""
    C = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, -0.25], [0.25, -0.25, 1.0]])
    Z = gaussian_landmarks(C, 40, seed=7)
    assert hashlib.sha256(Z.astype("<f8").tobytes()).hexdigest().startswith("3d0edaee52af0064")


def test_gaussian_landmarks_of_an_infinite_covariance_are_refused() -> None:
    """The error names the covariance, before a NaN spreads."""
    with pytest.raises(NumericalError, match="covariance of the encoded inputs"):
        gaussian_landmarks(np.array([[np.inf]]), 3, seed=0)


# k-means


@st.composite
def lattice_rows(draw: st.DrawFn) -> tuple[Matrix, Matrix, list[int]]:
    """Rows and landmarks on a coarse lattice, so that duplicates and ties abound, and cuts."""
    d = draw(st.integers(1, 3))
    cells = st.lists(st.integers(-2, 2).map(float), min_size=d, max_size=d)
    X = np.array(draw(st.lists(cells, min_size=1, max_size=25)))
    Z = np.array(draw(st.lists(cells, min_size=1, max_size=6)))
    return X, Z, draw(st.lists(st.integers(0, len(X)), max_size=4))


def run_kmeans(rows: list[tuple[Matrix, Vector]], Z: Matrix, fewest: int = 1) -> Matrix:
    """Three iterations of federated k-means, with each chunk at a node of its own."""
    for _ in range(3):
        cells = [(kmeans_sums([chunk], Z), len(chunk[0])) for chunk in rows]
        Z = kmeans_update(Z, sum(kmeans_given(own, rows, fewest) for own, rows in cells))
    return Z


@settings(deadline=None)
@given(case=lattice_rows(), order=st.randoms(use_true_random=False))
def test_any_partition_gives_the_same_centroids_with_ties(
    case: tuple[Matrix, Matrix, list[int]], order: Random
) -> None:
    """Where all rows are given, split and shuffle them as you like: the same bytes."""
    X, Z, cuts = case
    shuffled = X[order.sample(range(len(X)), len(X))]
    pooled = run_kmeans(chunks(X, []), Z)
    assert run_kmeans(chunks(shuffled, cuts), Z).tobytes() == pooled.tobytes()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, 300), max_size=15),
    d=st.integers(1, 20),
)
def test_any_partition_gives_the_same_centroids(seed: int, cuts: list[int], d: int) -> None:
    """The same for rows anywhere: sums of numbers on the grid do not round."""
    X, Z = normal(seed, 300, d), normal(seed + 1, 20, d)
    shuffled = np.random.default_rng(seed).permutation(X)
    pooled = run_kmeans(chunks(X, []), Z)
    assert run_kmeans(chunks(shuffled, cuts), Z).tobytes() == pooled.tobytes()


@settings(deadline=None)
@given(case=lattice_rows())
def test_rows_go_to_the_nearest_landmark_and_the_lowest_in_a_tie(
    case: tuple[Matrix, Matrix, list[int]],
) -> None:
    """Counts are those of exhaustive search, which is exact on the lattice."""
    X, Z, cuts = case
    nearest = np.argmin(np.square(X[:, None] - Z).sum(axis=2), axis=1)
    expected = np.bincount(nearest, minlength=len(Z))
    np.testing.assert_array_equal(kmeans_sums(chunks(X, cuts), Z)[:, 0], expected)


def test_chunks_larger_than_one_pass_are_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances are computed a bounded number at a time."""
    X, Z = normal(5, 101, 3), normal(6, 7, 3)
    expected = kmeans_sums(chunks(X, []), Z)
    monkeypatch.setattr("edge_node.inference.features.landmarks._VALUES_AT_ONCE", 70)
    monkeypatch.setattr("edge_node.inference.numerics.distances.PAIRS_AT_ONCE", 9)
    np.testing.assert_array_equal(kmeans_sums(chunks(X, []), Z), expected)
    assert expected[:, 0].sum() == len(X)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    others=st.integers(0, 6),
    fewest=st.integers(1, 6),
)
def test_a_site_gives_enough_rows_or_none_and_keeps_enough_or_none(
    counts: list[int], others: int, fewest: int
) -> None:
    """Neither a cell nor what is left of all rows is a few of them; more isn't left out."""
    cells = np.column_stack([counts, normal(0, len(counts), 2)])
    left = sum(counts) + others
    given_ = kmeans_given(cells, left, fewest)
    kept = given_.any(axis=1)
    np.testing.assert_array_equal(given_[kept], cells[kept])
    assert all(rows >= fewest for rows in given_[kept, 0])
    rest = left - given_[:, 0].sum()
    assert rest == 0 or rest >= min(fewest, left)
    large = cells[:, 0] >= fewest
    assert kept.sum() >= large.sum() - 1
    if left - cells[large, 0].sum() >= fewest:
        np.testing.assert_array_equal(kept, large)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), min_rows=st.integers(2, 6), d=st.integers(1, 5))
def test_no_landmark_is_anybodys_row(seed: int, min_rows: int, d: int) -> None:
    """With distinct rows, an average of two or more is not one of them; nor is a Gaussian point."""
    X = normal(seed, 60, d)
    start = gaussian_landmarks(np.eye(d), 10, seed + 1)  # 60 rows: one of them has 6 at least
    Z = run_kmeans(chunks(X, []), start, min_rows)
    assert (start != Z).any()
    assert np.square(X[:, None] - Z).sum(axis=2).min() > 1e-18


def test_kmeans_finds_clusters() -> None:
    """Three well separated clusters are found, each landmark at a cluster's mean."""
    centres = np.array([[0.0, 10.0], [10.0, 0.0], [-10.0, -10.0]])
    X = np.repeat(centres, 40, axis=0) + 0.1 * normal(9, 120, 2)
    Z = run_kmeans(chunks(X, [17, 90]), centres + normal(10, 3, 2), 5)
    np.testing.assert_allclose(Z, X.reshape(3, 40, 2).mean(axis=1), atol=1e-8)


# independent landmarks


@pytest.mark.parametrize("kernel", [RELU, SMOOTH], ids=["relu-ntk", "erf-nngp"])
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 40), d=st.integers(1, 4))
def test_duplicates_are_pruned(kernel: DenseKernel, seed: int, count: int, d: int) -> None:
    """One of each pair of duplicates is kept at most, and what is kept can be factorised."""
    Z = normal(seed, count, d)
    kept = independent_landmarks(kernel, np.vstack([Z, Z[::-1]]))
    origin = np.where(kept < count, kept, 2 * count - 1 - kept)
    assert (np.diff(kept) > 0).all()
    assert len(np.unique(origin)) == len(kept) <= count
    chosen = np.vstack([Z, Z[::-1]])[kept]
    np.linalg.cholesky(kernel(chosen, chosen))


def test_landmarks_of_a_rough_kernel_are_all_kept() -> None:
    """Distinct points under the ReLU NTK are independent."""
    np.testing.assert_array_equal(independent_landmarks(RELU, normal(11, 80, 3)), np.arange(80))


def test_what_is_dropped_was_carried_by_the_rest() -> None:
    """After pruning a smooth kernel, no dropped landmark has more variance left than tolerated."""
    Z, tolerance = normal(12, 200, 1), 1e-8
    kept = independent_landmarks(SMOOTH, Z, tolerance)
    assert len(kept) < 100
    L = np.linalg.cholesky(SMOOTH(Z[kept], Z[kept]))
    Phi = np.linalg.solve(L, SMOOTH(Z[kept], Z))
    left = SMOOTH.diagonal(Z) - np.square(Phi).sum(axis=0)
    assert left.max() <= 1.01 * tolerance * SMOOTH.diagonal(Z).max()


def test_no_independent_landmark_is_an_error() -> None:
    """A kernel that is zero at all landmarks can't carry a model."""
    kernel = DenseKernel(KernelKind.NTK, Activation.RELU, 1, 2.0, 0.0, bias=0.0)
    with pytest.raises(NumericalError, match="no landmark is independent"):
        independent_landmarks(kernel, np.zeros((4, 2)))
