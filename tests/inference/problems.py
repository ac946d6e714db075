"""Small problems that the inference tests share: kernels, features, targets, splits over sites."""

import numpy as np

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.config import Activation, KernelKind
from edge_node.inference.features.landmarks import independent_landmarks
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.statistics import Statistics, local_statistics
from edge_node.inference.regression.conditional import local_conditional
from edge_node.inference.regression.posterior import Posterior

NTK = DenseKernel(KernelKind.NTK, Activation.RELU, 2, 2.0, 0.0)
SMOOTH = StationaryKernel(KernelKind.RBF, 1.5 / np.sqrt(2.0))
"""For two inputs scikit-learn's RBF(1.5)."""


def normal(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers, the same at each call."""
    return np.random.default_rng(seed).standard_normal(shape)


def features_on(Z: Matrix, kernel: Kernel = NTK) -> Features:
    """The NTK's features on those of the landmarks that are independent."""
    return Features.build(kernel, Z[independent_landmarks(kernel, Z)])


def regression(seed: int, rows: int = 120, inputs: int = 3, noise: float = 0.3):
    """Inputs (n, d) and standardised, noisy targets (n,)."""
    X = normal(seed, rows, inputs)
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2 % inputs] + noise * normal(seed + 1, rows)
    return X, (y - y.mean()) / y.std()


def classification(seed: int, rows: int = 150, inputs: int = 3, classes: int = 2):
    """Inputs (n, d) and class indices (n,) that follow them with some noise; no class is empty."""
    X = normal(seed, rows, inputs)
    score = X[:, 0] + 0.5 * np.sin(2 * X[:, 1]) + 0.4 * normal(seed + 1, rows)
    y = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes)).astype(float)
    return X, y


def split(rng: np.random.Generator, X: Matrix, y: Vector, sites: int):
    """The rows, shuffled, cut at random places into ``sites`` lists of chunks; some are empty."""
    order = rng.permutation(len(X))
    cuts = np.sort(rng.integers(0, len(X) + 1, sites - 1))
    parts = np.split(order, cuts)
    return [[(X[half], y[half]) for half in np.array_split(part, 2)] for part in parts]


def statistics_of(rows: Rows, features: Features, outputs: int | None = None) -> Statistics:
    """What some rows say under one feature map."""
    (statistics,) = local_statistics(rows, [features], outputs)
    return statistics


def learn(X: Matrix, y: Vector, features: Features, noise: float = 0.2) -> Posterior:
    """The regression posterior in which each row answers for what the landmarks don't cover."""
    (statistics,) = local_conditional([(X, y)], features, [noise])
    return Posterior.of(statistics.message, features, statistics.evidence(noise))
