"""Random factor graphs, and what dense algebra says of them."""

import numpy as np

from edge_node.arrays import Matrix
from edge_node.inference.messages.propagation.factors import Couplings, Observations
from edge_node.inference.messages.propagation.graph import FactorGraph
from edge_node.inference.messages.propagation.solution import Slots, Solution


def dense(graph: FactorGraph) -> tuple[Matrix, Matrix]:
    """A (n d, n d) and h (n d, q), entry by entry from the factors' definition."""
    n, d, q = graph.shift.shape
    A, h = np.zeros((n, d, n, d)), graph.shift.copy()
    A[np.arange(n), :, np.arange(n), :] += graph.precision
    for family in graph.families:
        for f, scope in enumerate(family.scope):
            if isinstance(family, Couplings):
                A[scope[0], :, scope[1], :] += family.coupling[f]
                A[scope[1], :, scope[0], :] += family.coupling[f].T
            elif isinstance(family, Observations):
                weight = np.linalg.inv(family.noise[f])
                for k, own in enumerate(scope):
                    H = family.design[f, k]
                    h[own] += H.T @ weight @ family.target[f] * (own >= 0)
                    for m, other in enumerate(scope):
                        A[own, :, other, :] += H.T @ weight @ family.design[f, m]
    return A.reshape(n * d, n * d), h.reshape(n * d, q)


def assert_exact(found: Solution, graph: FactorGraph, error: float = 1e-8) -> None:
    """Mean and variances are the dense inverse's."""
    A, h = dense(graph)
    n, d, _ = graph.shift.shape
    inverse = np.linalg.inv(A)
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(found.mean.reshape(h.shape), inverse @ h, atol=error * scale * 10)
    blocks = inverse.reshape(n, d, n, d)[np.arange(n), :, np.arange(n), :]
    np.testing.assert_allclose(found.covariance, blocks, atol=error * scale)


def definite(rng: np.random.Generator, count: int, size: int) -> Matrix:
    """Positive definite matrices (count, size, size), of condition numbers below ten or so."""
    B = rng.standard_normal((count, size, size))
    return B @ B.swapaxes(1, 2) / size + 0.5 * np.eye(size)


def observations(rng: np.random.Generator, scope: Slots, p: int, d: int, q: int) -> Observations:
    """Random observations of the variables in ``scope``."""
    F, a = scope.shape
    H = rng.standard_normal((F, a, p, d)) * (scope >= 0)[..., None, None]
    return Observations(scope, H, rng.standard_normal((F, p, q)), definite(rng, F, p))


def couplings(rng: np.random.Generator, scope: Slots, d: int, strength: float = 0.3) -> Couplings:
    """Random couplings; each is at most ``strength``."""
    J = rng.uniform(-1, 1, (len(scope), d, d)) * strength / d
    return Couplings(scope, J)


def forest(rng: np.random.Generator, n: int, d: int, q: int, p: int) -> FactorGraph:
    """Some trees: each variable but the first of each is joined to one before it.

    A third of the joints are couplings, the others observations of up to three variables, some of
    them of one only.
    """
    pairs, triples, label, new = [], [], rng.permutation(n), 1
    while new < n:
        old, count = rng.integers(0, new), int(min(rng.integers(0, 3), n - new))
        if count == 1 and rng.random() < 0.5:
            pairs.append(label[[old, new]])
        elif rng.random() < 0.8:
            triples.append([label[old], *label[new : new + count], *[-1] * (2 - count)])
        new += max(count, rng.random() < 0.2)
    families = (
        couplings(rng, np.array(pairs, dtype=np.intp).reshape(-1, 2), d, 0.1),
        observations(rng, np.array(triples, dtype=np.intp).reshape(-1, 3), p, d, q),
    )
    return FactorGraph(definite(rng, n, d), rng.standard_normal((n, d, q)), families)


def grid(rng: np.random.Generator, side: int, q: int = 1, *, excess: float = 0.3) -> FactorGraph:
    """A square grid of pairs, diagonally dominant by ``excess``: walk-summable, full of loops."""
    at = np.arange(side * side).reshape(side, side)
    rows = np.stack([at[:, :-1].ravel(), at[:, 1:].ravel()], axis=1)
    columns = np.stack([at[:-1].ravel(), at[1:].ravel()], axis=1)
    scope = np.concatenate([rows, columns])
    family = Couplings(scope, rng.uniform(-1, 1, (len(scope), 1, 1)))
    sums = np.bincount(scope.ravel(), np.abs(family.coupling).repeat(2), side * side)
    own = (sums + excess)[:, None, None]
    return FactorGraph(own, rng.standard_normal((side * side, 1, q)), (family,))


def field(rng: np.random.Generator, n: int, k: int = 6, q: int = 1) -> FactorGraph:
    """Vecchia's approximation of a field in the plane, measured at half of the places.

    The others have no factor of their own: they are flat until they hear from their neighbours.
    """
    X, scope = rng.random((n, 2)), np.full((n, k + 1), -1)
    H, noise = np.zeros((n, k + 1, 1, 1)), np.zeros((n, 1, 1))
    C = np.exp(-np.linalg.norm(X[:, None] - X, axis=2) / 0.3)
    for i in range(n):
        near = np.argsort(np.linalg.norm(X[:i] - X[i], axis=1))[:k]
        b = np.linalg.solve(C[np.ix_(near, near)], C[near, i])
        scope[i, 0], scope[i, 1 : len(near) + 1] = i, near
        H[i, 0], H[i, 1 : len(near) + 1, 0, 0], noise[i] = 1.0, -b, C[i, i] - C[i, near] @ b
    own = np.where(rng.random(n) < 0.5, 1 / 0.05, 0.0)[:, None, None]
    shift = own * rng.standard_normal((n, 1, q))
    return FactorGraph(own, shift, (Observations(scope, H, np.zeros((n, 1, q)), noise),))
