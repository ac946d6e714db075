"""Dense networks' kernels in 90 digits, from the formulas as the literature writes them."""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import DenseKernel

Number = float | Decimal


def arctan(x: Decimal) -> Decimal:
    """In the context's precision: halve the angle ten times, then the Taylor series."""
    for _ in range(10):
        x /= 1 + (1 + x * x).sqrt()
    power, series = x, x
    for k in range(3, 41, 2):
        power *= -x * x
        series += power / k
    return 1024 * series


def exact_kernel(kernel: DenseKernel, x: Sequence[Number], z: Sequence[Number]) -> Decimal:
    """The recursion as the literature writes it."""
    with localcontext(prec=90):
        sw2, sb2 = Decimal(kernel.weight_variance), Decimal(kernel.bias_variance)

        def inner(a: Sequence[Number], b: Sequence[Number]) -> Decimal:
            products = (Decimal(s) * Decimal(t) for s, t in zip(a, b, strict=True))
            return sw2 * (sum(products) + Decimal(kernel.bias) ** 2) + sb2

        def arcsin(w: Decimal) -> Decimal:
            return arctan(w / (1 - w * w).sqrt())

        pi = 4 * arctan(Decimal(1))
        p, q, s = inner(x, x), inner(z, z), inner(x, z)
        theta = s
        for _ in range(kernel.depth):
            if kernel.activation is Activation.RELU:
                scale = (p * q).sqrt()
                angle = 2 * arctan(((scale - s) / (scale + s)).sqrt())
                slope = (pi - angle) / (2 * pi)
                s = (p * q - s * s).sqrt() / (2 * pi) + s * slope
                p, q = p / 2, q / 2
            elif kernel.activation is Activation.GELU:
                whole = (1 + p) * (1 + q)
                root = (whole - s * s).sqrt()
                angle = arctan(s / root)
                factor = 1 / root**2 + (1 - p * q) / whole + 1
                slope = Decimal("0.25") + (angle + s / root * factor) / (2 * pi)
                s = s / 4 + ((s * s / root + p * q * root) / whole + s * angle) / (2 * pi)
                p, q = (
                    v / 4 + v / pi * (v / ((1 + v) * r) + arctan(v / r) / 2)
                    for v, r in ((v, (1 + 2 * v).sqrt()) for v in (p, q))
                )
            else:
                scale = ((1 + 2 * p) * (1 + 2 * q)).sqrt()
                slope = 4 / pi / (scale * scale - 4 * s * s).sqrt()
                s = 2 / pi * arcsin(2 * s / scale)
                p, q = (2 / pi * arcsin(2 * v / (1 + 2 * v)) for v in (p, q))
            p, q, s = (sw2 * v + sb2 for v in (p, q, s))
            theta = s + sw2 * slope * theta
        return theta if kernel.kind is KernelKind.NTK else s


def exact_gradient(kernel: DenseKernel, x: Sequence[float], z: Sequence[float]) -> list[float]:
    """The gradient with respect to x, by central differences of width 2e-30."""
    with localcontext(prec=90):
        start, step = [Decimal(v) for v in x], Decimal("1e-30")
        gradient = []
        for k in range(len(start)):
            forth, back = ([*start[:k], start[k] + s, *start[k + 1 :]] for s in (step, -step))
            change = exact_kernel(kernel, forth, z) - exact_kernel(kernel, back, z)
            gradient.append(float(change / (2 * step)))
        return gradient
