"""What one nonlinearity does to the covariance of two signals, in closed form.

Written once for any array namespace ``xp`` (numpy or jax.numpy), on a representation that keeps
its digits where kernels lose them. Two signals are described by their variances ``p`` and ``q``
and by the ``gap`` = 1 - correlation. Near-duplicate rows have a gap near zero, and the
arc-cosine functions have a square-root singularity there: from a correlation rounded to 1e-16 the
angle is known to 1e-8 only, from a gap with a small relative error to full precision.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from edge_node.config import Activation

__all__ = ["NONLINEARITIES", "Nonlinearity", "Partials", "Signals", "sine"]


class Signals(NamedTuple):
    """Zero-mean Gaussian pairs: variances and 1 - correlation, arrays that broadcast together."""

    p: Any
    q: Any
    gap: Any

    def scale(self, xp: ModuleType) -> Any:
        """sqrt(p q)."""
        return xp.sqrt(self.p) * xp.sqrt(self.q)

    def covariance(self, xp: ModuleType) -> Any:
        """S = sqrt(p q) (1 - gap)."""
        return self.scale(xp) * (1.0 - self.gap)


class Partials(NamedTuple):
    """Derivatives of p', gap' and slope with respect to p (at a fixed gap) and gap."""

    power_by_power: Any
    gap_by_power: Any
    gap_by_gap: Any
    slope_by_power: Any
    slope_by_gap: Any


@dataclass(frozen=True)
class Nonlinearity:
    """phi, as signals see it.

    Attributes:
        forward: from signals to those after phi, and the slope Sdot = E[phi'(u) phi'(v)].
        partials: how ``forward`` changes with p and gap.
    """

    forward: Callable[[ModuleType, Signals], tuple[Signals, Any]]
    partials: Callable[[ModuleType, Signals], Partials]


def sine(xp: ModuleType, gap: Any) -> Any:
    """The sine of the angle whose cosine is 1 - ``gap``."""
    return xp.sqrt(gap * (2.0 - gap))


def _relu(xp: ModuleType, signals: Signals) -> tuple[Signals, Any]:
    """ReLU, phi(u) = max(u, 0) (Cho & Saul 2009, eq. 4-6).

    With t the angle, 1 - J(t) / pi = gap - (sin t - t cos t) / pi.
    """
    p, q, gap = signals
    opposite = sine(xp, gap)
    angle = xp.arctan2(opposite, 1.0 - gap)
    narrowed = gap - (opposite - angle * (1.0 - gap)) / xp.pi
    slope = 0.5 - angle / (2.0 * xp.pi)
    return Signals(p / 2.0, q / 2.0, xp.maximum(narrowed, 0.0)), slope


def _relu_partials(xp: ModuleType, signals: Signals) -> Partials:
    """ReLU: d gap' / d gap = 2 Sdot and d Sdot / dt = -1 / (2 pi), taken as zero at gap = 0."""
    opposite = sine(xp, signals.gap)
    angle = xp.arctan2(opposite, 1.0 - signals.gap)
    return Partials(
        power_by_power=0.5,
        gap_by_power=0.0,
        gap_by_gap=1.0 - angle / xp.pi,
        slope_by_power=0.0,
        slope_by_gap=-0.5 / xp.pi / xp.where(opposite > 0.0, opposite, xp.inf),
    )


def _erf(xp: ModuleType, signals: Signals) -> tuple[Signals, Any]:
    """The error function, phi(u) = erf(u) (Williams 1997, eq. 11), as neural-tangents' ``Erf``.

    arcsin(2 S / sqrt((1 + 2p)(1 + 2q))) as an arctan2, whose other side is free of cancellation:
    (1 + 2p)(1 + 2q) - 4 S^2 = 1 + 2p + 2q + 4 p q gap (2 - gap).
    """
    root = _erf_root(xp, signals)
    covariance = xp.arctan2(2.0 * signals.covariance(xp), root) * (2.0 / xp.pi)
    p, q = (
        xp.arctan2(2.0 * v, xp.sqrt(1.0 + 4.0 * v)) * (2.0 / xp.pi) for v in (signals.p, signals.q)
    )
    return _correlated(xp, p, q, covariance), (4.0 / xp.pi) / root


def _erf_root(xp: ModuleType, signals: Signals) -> Any:
    p, q, gap = signals
    return xp.sqrt(1.0 + 2.0 * (p + q) + 4.0 * p * q * gap * (2.0 - gap))


def _erf_partials(xp: ModuleType, signals: Signals) -> Partials:
    """From S' = (2 / pi) arcsin(...) and Sdot, with the root R^2 = (1 + 2p)(1 + 2q) - 4 S^2."""
    p, q, _ = signals
    S, root = signals.covariance(xp), _erf_root(xp, signals)
    cube = root * root * root
    return _polar(
        xp,
        signals,
        _erf(xp, signals),
        power_by_power=(4.0 / xp.pi) / ((1.0 + 2.0 * p) * xp.sqrt(1.0 + 4.0 * p)),
        covariance_by_power=(-4.0 / xp.pi) * S / (root * (1.0 + 2.0 * p)),
        slope_by_power=(-4.0 / xp.pi) * (1.0 + 2.0 * q) / cube,
        slope_by_covariance=(16.0 / xp.pi) * S / cube,
    )


def _gelu(xp: ModuleType, signals: Signals) -> tuple[Signals, Any]:
    """GELU, phi(u) = u Prob(N(0, 1) < u) (Tsuchida et al. 2021, section 3.2), as ``Gelu``.

    With a = 1 + p, b = 1 + q, D^2 = a b - S^2 (free of cancellation) and t = arctan(S / D),

        S' = S / 4 + [S^2 / (a b D) + p q D / (a b) + S t] / (2 pi),
        Sdot = 1/4 + [t + (S / D) (1 / D^2 + (1 - p q) / (a b) + 1)] / (2 pi).
    """
    p, q, _ = signals
    S, D, whole = signals.covariance(xp), _gelu_root(xp, signals), (1.0 + p) * (1.0 + q)
    angle = xp.arctan2(S, D)
    covariance = S / 4.0 + (S * S / (whole * D) + p * q * D / whole + S * angle) / (2.0 * xp.pi)
    slope = 0.25 + (angle + S / D * _gelu_sum(signals, D)) / (2.0 * xp.pi)
    return _correlated(xp, _gelu_power(xp, p), _gelu_power(xp, q), covariance), slope


def _gelu_root(xp: ModuleType, signals: Signals) -> Any:
    p, q, gap = signals
    return xp.sqrt(1.0 + p + q + p * q * gap * (2.0 - gap))


def _gelu_sum(signals: Signals, D: Any) -> Any:
    p, q, _ = signals
    return 1.0 / (D * D) + (1.0 - p * q) / ((1.0 + p) * (1.0 + q)) + 1.0


def _gelu_power(xp: ModuleType, p: Any) -> Any:
    """S' where both signals are one."""
    D = xp.sqrt(1.0 + 2.0 * p)
    return p * (0.25 + (p / ((1.0 + p) * D) + xp.arctan2(p, D) / 2.0) / xp.pi)


def _gelu_partials(xp: ModuleType, signals: Signals) -> Partials:
    """The derivatives of ``_gelu``'s formulas; p' is S' at p = q = S, a term for each of them."""
    p, q, gap = signals
    a, b = 1.0 + p, 1.0 + q
    S, D = signals.covariance(xp), _gelu_root(xp, signals)
    total, squares = _gelu_sum(signals, D), D * D
    by_power = p * q * gap * (2.0 - gap) / (2.0 * D) + q * D / (a * b)
    by_power = by_power - S * S * (1.0 / (a * b) + 0.5 / squares) / D
    slope_by_power = b * total / (2.0 * squares) + b / (squares * squares) + 1.0 / (a * a)
    alone = Signals(p, p, 0.0)
    E = xp.sqrt(1.0 + 2.0 * p)
    power_slope = 0.25 + (xp.arctan2(p, E) + p / E * _gelu_sum(alone, E)) / (2.0 * xp.pi)
    power_by_power = p * E / (a * a) - p * p * (1.0 / (a * a) + 0.5 / (E * E)) / E
    return _polar(
        xp,
        signals,
        _gelu(xp, signals),
        power_by_power=power_slope + power_by_power / (xp.pi * a),
        covariance_by_power=by_power / (2.0 * xp.pi * a),
        slope_by_power=-S / D * (slope_by_power + 0.5 / a) / (2.0 * xp.pi),
        slope_by_covariance=(1.0 + (a * b * total + 2.0 * S * S / squares) / squares)
        / (2.0 * xp.pi * D),
    )


def _correlated(xp: ModuleType, p: Any, q: Any, covariance: Any) -> Signals:
    scale = xp.sqrt(p) * xp.sqrt(q)
    correlation = covariance / xp.where(scale > 0.0, scale, 1.0)
    return Signals(p, q, xp.clip(1.0 - correlation, 0.0, 2.0))


def _polar(
    xp: ModuleType,
    before: Signals,
    after: tuple[Signals, Any],
    *,
    power_by_power: Any,
    covariance_by_power: Any,
    slope_by_power: Any,
    slope_by_covariance: Any,
) -> Partials:
    """From derivatives with respect to p and S, the other held, to those for p and gap.

    The missing one is d S' / d S = Sdot (Price 1958). All p and q are positive.
    """
    signals, slope = after
    scale = signals.scale(xp)
    leaning = before.covariance(xp) / (2.0 * before.p)  # d S / d p at a fixed gap
    change = (slope * leaning + covariance_by_power) / scale
    return Partials(
        power_by_power,
        gap_by_power=(1.0 - signals.gap) * power_by_power / (2.0 * signals.p) - change,
        gap_by_gap=slope * before.scale(xp) / scale,
        slope_by_power=slope_by_covariance * leaning + slope_by_power,
        slope_by_gap=-slope_by_covariance * before.scale(xp),
    )


NONLINEARITIES: Mapping[Activation, Nonlinearity] = {
    Activation.RELU: Nonlinearity(_relu, _relu_partials),
    Activation.ERF: Nonlinearity(_erf, _erf_partials),
    Activation.GELU: Nonlinearity(_gelu, _gelu_partials),
}
