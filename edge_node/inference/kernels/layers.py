"""A dense network's kernel, layer by layer, and how it changes with one of the two signals.

Written once for any array namespace ``xp`` (numpy or jax.numpy), on signals that keep their digits
where rows nearly coincide (``activations``).
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.activations import NONLINEARITIES, Signals, sine

__all__ = ["DenseNetwork", "Slopes"]


class Slopes(NamedTuple):
    """A kernel's derivatives.

    Attributes:
        power: with respect to p, at fixed q and gap.
        angle: with respect to the angle t, cos t = 1 - gap.
    """

    power: Any
    angle: Any


@dataclass(frozen=True)
class DenseNetwork:
    """An infinitely wide dense network after its first dense layer.

    Attributes:
        kind: which of the two kernels.
        activation: the nonlinearity of every hidden layer.
        depth: the number L of hidden layers.
        weight_variance: sw2.
        bias_variance: sb2.
    """

    kind: KernelKind
    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float

    def kernel(self, xp: ModuleType, signals: Signals) -> Any:
        """The kernel after ``depth`` hidden layers and a linear read-out.

        NNGP: S. NTK: Theta <- S + sw2 Sdot Theta (Jacot et al. 2018, theorem 1; Lee et al. 2019,
        appendix E).

        Args:
            xp: numpy or jax.numpy.
            signals: after the first dense layer, that is p = sw2 <x~,x~>/D + sb2.

        Returns:
            The kernel, of the broadcast shape of ``signals``.
        """
        forward = NONLINEARITIES[self.activation].forward
        theta = signals.covariance(xp)
        for _ in range(self.depth):
            signals, slope = forward(xp, signals)
            signals = self._dense(xp, signals)
            theta = signals.covariance(xp) + self.weight_variance * slope * theta
        return theta if self.kind is KernelKind.NTK else signals.covariance(xp)

    def slopes(self, xp: ModuleType, signals: Signals) -> Slopes:
        """The kernel's derivatives, carried forward through the layers.

        An NTK has a kink where rows coincide, and so has ReLU's NNGP where they point in opposite
        directions: derivatives there are those from one side or zero, and finite.

        Args:
            xp: numpy or jax.numpy.
            signals: as for ``kernel``; p and q are positive.
        """
        nonlinearity, sw2 = NONLINEARITIES[self.activation], self.weight_variance
        power, gap = 1.0, Slopes(0.0 * signals.gap, sine(xp, signals.gap))
        theta = signals.covariance(xp)
        theta_slopes = covariance_slopes = _covariance_slopes(xp, signals, power, gap)
        for _ in range(self.depth):
            partials = nonlinearity.partials(xp, signals)
            signals, slope = nonlinearity.forward(xp, signals)
            slope_slopes = Slopes(
                partials.slope_by_power * power + partials.slope_by_gap * gap.power,
                partials.slope_by_gap * gap.angle,
            )
            gap = Slopes(
                partials.gap_by_power * power + partials.gap_by_gap * gap.power,
                partials.gap_by_gap * gap.angle,
            )
            power = partials.power_by_power * power
            gap = self._dense_slopes(xp, signals, power, gap)
            signals, power = self._dense(xp, signals), sw2 * power
            covariance_slopes = _covariance_slopes(xp, signals, power, gap)
            theta_slopes = Slopes(
                *(
                    ours + sw2 * (slope_slope * theta + slope * before)
                    for ours, slope_slope, before in zip(
                        covariance_slopes, slope_slopes, theta_slopes, strict=True
                    )
                )
            )
            theta = signals.covariance(xp) + sw2 * slope * theta
        return theta_slopes if self.kind is KernelKind.NTK else covariance_slopes

    def _dense(self, xp: ModuleType, signals: Signals) -> Signals:
        """S -> sw2 S + sb2, for all three covariances.

        The new gap (sqrt(p' q') - sw2 S - sb2) / sqrt(p' q') without cancellation:
        sqrt(p' q') - sw2 sqrt(p q) - sb2
            = sb2 sw2 (sqrt p - sqrt q)^2 / (sqrt(p' q') + sw2 sqrt(p q) + sb2).
        """
        p, q, gap = signals
        sw2, sb2 = self.weight_variance, self.bias_variance
        if sb2 == 0.0:
            return Signals(sw2 * p, sw2 * q, gap)
        scale = sw2 * signals.scale(xp)
        apart = sb2 * sw2 * xp.square(xp.sqrt(p) - xp.sqrt(q))
        after = Signals(sw2 * p + sb2, sw2 * q + sb2, gap)
        whole = after.scale(xp)
        return after._replace(gap=(scale * gap + apart / (whole + scale + sb2)) / whole)

    def _dense_slopes(self, xp: ModuleType, signals: Signals, power: Any, gap: Slopes) -> Slopes:
        """The derivatives of ``_dense``'s gap, from those of p (``power``) and gap."""
        sw2, sb2 = self.weight_variance, self.bias_variance
        if sb2 == 0.0:
            return gap
        after = self._dense(xp, signals)
        root, other = xp.sqrt(signals.p), xp.sqrt(signals.q)
        scale, whole = sw2 * root * other, after.scale(xp)
        total = whole + scale + sb2
        apart = sb2 * sw2 * (root - other)
        scale_slope = scale * power / (2.0 * signals.p)
        whole_slope = whole * sw2 * power / (2.0 * after.p)
        change = apart / root * power - apart * (root - other) / total * (whole_slope + scale_slope)
        change = scale_slope * signals.gap + change / total - after.gap * whole_slope
        return Slopes((scale * gap.power + change) / whole, scale * gap.angle / whole)


def _covariance_slopes(xp: ModuleType, signals: Signals, power: Any, gap: Slopes) -> Slopes:
    """The derivatives of S, from those of p (``power``) and gap."""
    scale = signals.scale(xp)
    return Slopes(
        scale * ((1.0 - signals.gap) * power / (2.0 * signals.p) - gap.power), -scale * gap.angle
    )
