"""How much privacy Gaussian noise costs: zero-concentrated differential privacy, and epsilon.

Discrete Gaussian noise of standard deviation sigma on a sum of L2 sensitivity D is rho-zCDP with
rho = D^2 / (2 sigma^2), and several releases cost the sum of their rho (Bun & Steinke 2016;
Canonne, Kamath & Steinke 2020, theorem 4). What rho means as (epsilon, delta) is, for every order
alpha > 1,

    delta = exp((alpha - 1) (alpha rho - epsilon)) / (alpha - 1) (1 - 1 / alpha)^alpha

(Canonne, Kamath & Steinke 2020, corollary 13); the best alpha is found. It is an upper bound for
any mechanism, and asks for 5 to 9 % more noise than the exact curve of the Gaussian one.
"""

import math

__all__ = ["delta_of", "epsilon_of", "noise_multiplier", "rho_of"]

_HALVINGS = 200
_LARGEST = 1e6  # an epsilon, or a multiplier, beyond any use


def rho_of(multiplier: float) -> float:
    """The rho of one release with sigma = ``multiplier`` times the sensitivity."""
    return 1.0 / (2.0 * multiplier**2)


def delta_of(rho: float, epsilon: float) -> float:
    """The smallest delta for which rho-zCDP is known to be (epsilon, delta)-private."""
    if rho <= 0.0:
        return 0.0
    low, high = 1.0 + 1e-9, (epsilon + 1.0) / (2.0 * rho) + 2.0
    for _ in range(_HALVINGS):  # the exponent is convex in alpha
        alpha = (low + high) / 2.0
        slope = (2.0 * alpha - 1.0) * rho - epsilon + math.log1p(-1.0 / alpha)
        low, high = (alpha, high) if slope < 0.0 else (low, alpha)
    alpha = high
    exponent = (alpha - 1.0) * (alpha * rho - epsilon) + alpha * math.log1p(-1.0 / alpha)
    return min(1.0, math.exp(min(0.0, exponent - math.log(alpha - 1.0))))


def epsilon_of(rho: float, delta: float) -> float:
    """The smallest epsilon, to rounding upwards, for which rho-zCDP is (epsilon, delta)-private."""
    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if delta_of(rho, middle) > delta else (low, middle)
    return high


def noise_multiplier(epsilon: float, delta: float) -> float:
    """The least sigma, in units of the sensitivity, that makes one release that private."""
    low, high = 1.0 / _LARGEST, _LARGEST
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if delta_of(rho_of(middle), epsilon) > delta else (low, middle)
    return high
