"""What one infinitely wide layer does to the covariance of two signals.

Written once for any array namespace ``xp`` (numpy or jax.numpy), on a representation that keeps
its digits where kernels lose them. Two signals are described by their variances ``p`` and ``q``
and by the ``gap`` = 1 - correlation. Near-duplicate rows have a gap near zero, and the
arc-cosine functions have a square-root singularity there: from a correlation rounded to 1e-16 the
angle is known to 1e-8 only, from a gap with a small relative error to full precision.
"""

from types import ModuleType
from typing import Any, NamedTuple

from edge_node.config import Activation, KernelKind

__all__ = ["Signals", "network_kernel"]


class Signals(NamedTuple):
    """Zero-mean Gaussian pairs: variances and 1 - correlation, arrays that broadcast together."""

    p: Any
    q: Any
    gap: Any

    def covariance(self, xp: ModuleType) -> Any:
        """sqrt(p q) (1 - gap)."""
        return xp.sqrt(self.p) * xp.sqrt(self.q) * (1.0 - self.gap)


def network_kernel(
    xp: ModuleType,
    signals: Signals,
    *,
    kind: KernelKind,
    activation: Activation,
    depth: int,
    weight_variance: float,
    bias_variance: float,
) -> Any:
    """The kernel after ``depth`` hidden layers and a linear read-out.

    NNGP: S. NTK: Theta <- S + sw2 Sdot Theta (Jacot et al. 2018, theorem 1; Lee et al. 2019,
    appendix E).

    Args:
        xp: numpy or jax.numpy.
        signals: after the first dense layer, that is p = sw2 <x~,x~>/D + sb2.
        kind: which of the two kernels.
        activation: the nonlinearity of every hidden layer.
        depth: the number L of hidden layers.
        weight_variance: sw2.
        bias_variance: sb2.

    Returns:
        The kernel, of the broadcast shape of ``signals``.
    """
    activate = {Activation.RELU: _relu, Activation.ERF: _erf}[activation]
    theta = signals.covariance(xp)
    for _ in range(depth):
        signals, slope = activate(xp, signals)
        signals = _dense(xp, weight_variance, bias_variance, signals)
        if kind is KernelKind.NTK:
            theta = signals.covariance(xp) + weight_variance * slope * theta
    return theta if kind is KernelKind.NTK else signals.covariance(xp)


def _relu(xp: ModuleType, signals: Signals) -> tuple[Signals, Any]:
    """Covariances of max(u, 0), and the expected product of derivatives (Cho & Saul 2009, eq. 4-6).

    With t the angle, 1 - J(t) / pi = gap - (sin t - t cos t) / pi.
    """
    p, q, gap = signals
    sine = xp.sqrt(gap * (2.0 - gap))
    angle = xp.arctan2(sine, 1.0 - gap)
    narrowed = gap - (sine - angle * (1.0 - gap)) / xp.pi
    slope = 0.5 - angle / (2.0 * xp.pi)
    return Signals(p / 2.0, q / 2.0, xp.maximum(narrowed, 0.0)), slope


def _erf(xp: ModuleType, signals: Signals) -> tuple[Signals, Any]:
    """Covariances of erf(u), and the expected product of derivatives (Williams 1997, eq. 11).

    arcsin(2 S / sqrt((1 + 2p)(1 + 2q))) as an arctan2, whose other side is free of cancellation:
    (1 + 2p)(1 + 2q) - 4 S^2 = 1 + 2p + 2q + 4 p q gap (2 - gap).
    """
    p, q, gap = signals
    root = xp.sqrt(1.0 + 2.0 * (p + q) + 4.0 * p * q * gap * (2.0 - gap))
    covariance = xp.arctan2(2.0 * signals.covariance(xp), root) * (2.0 / xp.pi)
    p, q = (xp.arctan2(2.0 * v, xp.sqrt(1.0 + 4.0 * v)) * (2.0 / xp.pi) for v in (p, q))
    scale = xp.sqrt(p) * xp.sqrt(q)
    correlation = covariance / xp.where(scale > 0.0, scale, 1.0)
    return Signals(p, q, xp.clip(1.0 - correlation, 0.0, 2.0)), (4.0 / xp.pi) / root


def _dense(
    xp: ModuleType, weight_variance: float, bias_variance: float, signals: Signals
) -> Signals:
    """S -> sw2 S + sb2, for all three covariances.

    The new gap (sqrt(p' q') - sw2 S - sb2) / sqrt(p' q') without cancellation:
    sqrt(p' q') - sw2 sqrt(p q) - sb2
        = sb2 sw2 (sqrt p - sqrt q)^2 / (sqrt(p' q') + sw2 sqrt(p q) + sb2).
    """
    p, q, gap = signals
    if bias_variance == 0.0:
        return Signals(weight_variance * p, weight_variance * q, gap)
    scale = weight_variance * (xp.sqrt(p) * xp.sqrt(q))
    apart = bias_variance * weight_variance * xp.square(xp.sqrt(p) - xp.sqrt(q))
    p = weight_variance * p + bias_variance
    q = weight_variance * q + bias_variance
    whole = xp.sqrt(p) * xp.sqrt(q)
    return Signals(p, q, (scale * gap + apart / (whole + scale + bias_variance)) / whole)
