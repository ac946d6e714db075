"""Joint draws from a posterior: functions, seen at some inputs.

A mean and an sd don't say how errors at two inputs are related; draws do. In regression

    f(X) = Phi u + e,    u ~ N(mu, a (I + Lambda)^-1),    e ~ N(0, a [K(X, X) - Phi Phi'])

and its covariance is the posterior's, between inputs, too. The residual e, which the landmarks
don't cover, is independent of u and of the rows' residuals, but not from one input to the next (the
conditional is exact at queries: Quinonero-Candela & Rasmussen 2005, section 6).
Contrasts of class logits have the same two parts; softmax makes probabilities of them.

The residual's covariance is singular at landmarks and for equal inputs. Its root is taken by
eigendecomposition, with the eigenvalues that rounding made negative cut off: no jitter. That costs
n^3, so n is bounded.
"""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import softmax

from edge_node.arrays import Matrix
from edge_node.errors import DataError
from edge_node.inference.classification.classes import contrast
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.features.nystrom import Features
from edge_node.inference.regression.posterior import Posterior

__all__ = ["MOST_INPUTS", "sample_function", "sample_probabilities"]

MOST_INPUTS = 2000
"""Inputs that can be drawn jointly: a few seconds, and 100 MB."""


def sample_function(
    posterior: Posterior, X: Matrix, draws: int, random: np.random.Generator
) -> Matrix:
    """Draws of f at X (n, d) from a regression posterior; noise is not included.

    Returns:
        (n, draws): each column is one function, in standardised units.

    Raises:
        DataError: more than ``MOST_INPUTS`` inputs, or no draws are asked for.
    """
    _check(X, draws)
    Phi = posterior.features(X)
    normal = random.standard_normal((len(posterior.mean), draws))
    spread = solve_triangular(posterior.factor.T, normal, check_finite=False)
    u = posterior.mean[:, None] + np.sqrt(posterior.amplitude) * spread
    residual = _residual_root(posterior.features, X, Phi) @ random.standard_normal((len(X), draws))
    f: Matrix = Phi @ u + np.sqrt(posterior.amplitude) * residual
    return f


def sample_probabilities(
    posterior: ClassPosterior, X: Matrix, draws: int, random: np.random.Generator
) -> Matrix:
    """Draws of the class probabilities at X (n, d); their mean is ``predict_proba``.

    Returns:
        (n, C, draws): each [:, :, i] is one function; rows sum to one over the classes.

    Raises:
        DataError: more than ``MOST_INPUTS`` inputs, or no draws are asked for.
    """
    _check(X, draws)
    approximation, Phi = posterior.approximation, posterior.features(X)
    q, size = approximation.outputs, Phi.shape[1]
    U = approximation.drawn(random.standard_normal((size, q, draws))).swapaxes(0, 1)
    root = _residual_root(posterior.features, X, Phi)
    if posterior.allowance > 0.0:
        variances = np.vecdot(root, root)
        left = posterior.unaccounted(variances) / np.maximum(variances, posterior.allowance)
        root *= np.sqrt(left)[:, None]
    residual = root @ random.standard_normal((q, len(X), draws))
    g = Phi @ U + np.sqrt(approximation.amplitude) * residual
    logits = np.einsum("cj,jns->ncs", contrast(q + 1), g)
    probabilities: Matrix = softmax(posterior.offsets[None, :, None] + logits, axis=1)
    return probabilities


def _residual_root(features: Features, X: Matrix, Phi: Matrix) -> Matrix:
    """A (n, n) with A A' = K(X, X) - Phi Phi'."""
    placed = features.place(X)
    values, vectors = np.linalg.eigh(features.kernel(placed, placed) - Phi @ Phi.T)
    root: Matrix = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _check(X: Matrix, draws: int) -> None:
    if len(X) > MOST_INPUTS:
        raise DataError(
            "too many inputs for joint draws",
            expected=f"at most {MOST_INPUTS}",
            found=str(len(X)),
            remedy="Draw at fewer inputs; draws at others are another function",
        )
    if draws < 1:
        raise DataError("no draws", where="draws", expected="at least 1", found=str(draws))
