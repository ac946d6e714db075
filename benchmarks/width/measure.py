"""All claims in one run, on patients of a real set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from benchmarks.figures import Row
from benchmarks.width.correction import correction, tangent_correction
from benchmarks.width.initial import gaussian_outputs, signals_by_depth
from benchmarks.width.trained import decay, predictions_and_weights
from benchmarks.width.training import Problem
from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from edge_node.inference.numerics.compiled import double_precision

__all__ = ["Size", "measure_width", "patients", "tangent_kernel"]

_STEP = 0.2  # times the fastest component's time; stable below 2


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        widths: of networks.
        seeds: initialisations that are trained, of each width.
        draws: initialisations that are not trained.
        steps: of training.
        layers: how deep signals are followed.
        depths: of networks whose first correction is looked at.
    """

    widths: Sequence[int] = (64, 128, 256, 512, 1024, 2048, 4096)
    seeds: int = 32
    draws: int = 1000
    steps: int = 200
    layers: int = 30
    depths: Sequence[int] = (1, 2, 4, 8, 16)


def tangent_kernel(activation: Activation) -> DenseKernel:
    """The NTK of one hidden layer on the critical line."""
    return DenseKernel(KernelKind.NTK, activation, 1, *critical_variances(activation))


def patients(kernel: DenseKernel, steps: int, rows: int = 16, new: int = 8) -> Problem:
    """The progression of diabetes in ``rows`` patients (Efron et al. 2004), and ``new`` others.

    Ten inputs, standardised and divided by sqrt(10), so that rows have a length of about one.
    """
    from sklearn.datasets import load_diabetes  # a second of import time

    bunch = load_diabetes()
    y = (bunch.target - bunch.target.mean()) / bunch.target.std()
    X = (bunch.data - bunch.data.mean(axis=0)) / bunch.data.std(axis=0) / np.sqrt(10.0)
    chosen = np.random.default_rng(0).permutation(len(y))[: rows + new]
    X, y = X[chosen], y[chosen]
    fastest = np.linalg.eigvalsh(kernel(X[:rows], X[:rows]))[-1]
    return Problem(X[:rows], y[:rows], X[rows:], _STEP / float(fastest), steps)


def measure_width(size: Size, tell: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Rows of every claim (the package's docstring says what a row is)."""
    found: list[Row] = []
    with double_precision(jax):
        for name, rows in _claims(size, np.random.default_rng(1)):
            tell(f"{name} ...")
            found.extend(rows)
    return found


def _claims(size: Size, random: np.random.Generator) -> Iterator[tuple[str, Iterator[Row]]]:
    erf, relu = (tangent_kernel(each) for each in (Activation.ERF, Activation.RELU))
    draws = size.seeds
    problem = patients(erf, size.steps)
    narrow = [width for width in size.widths if width <= 1024]
    for kernel in (erf, relu):
        rows = patients(kernel, size.steps)
        yield (
            f"a, b: {kernel.activation}",
            predictions_and_weights(kernel, rows, widths=size.widths, draws=draws, random=random),
        )
    yield (
        "a, b: the control",
        predictions_and_weights(
            erf, problem, widths=narrow, draws=draws, random=random, mean_field=True
        ),
    )
    yield "c", decay(erf, problem, width=max(size.widths), random=random)
    yield "d", _outputs(size, problem.X[:6], random)
    yield "e", _signals(size, problem.X[:2], random)
    yield "f", _corrections(size, problem.X[:1], random)


def _outputs(size: Size, X: Matrix, random: np.random.Generator) -> Iterator[Row]:
    for activation in (Activation.ERF, Activation.RELU):
        yield from gaussian_outputs(
            activation, 2, X, widths=size.widths, draws=size.draws, random=random
        )


def _signals(size: Size, X: Matrix, random: np.random.Generator) -> Iterator[Row]:
    width, draws = max(narrow for narrow in size.widths if narrow <= 1024), 16
    for activation, factors in (
        (Activation.RELU, (0.75, 1.0, 1.25)),
        (Activation.ERF, (0.6, 1.0, 2.0)),
    ):
        sw2, sb2 = critical_variances(activation)
        for name, factor in zip(("ordered", "critical", "chaotic"), factors, strict=True):
            kernel = DenseKernel(KernelKind.NNGP, activation, size.layers, factor * sw2, sb2)
            label = f"{activation}, {name}"
            yield from signals_by_depth(kernel, label, X, width=width, draws=draws, random=random)


def _corrections(size: Size, X: Matrix, random: np.random.Generator) -> Iterator[Row]:
    widths, short = (32, 64, 128, 256), [depth for depth in size.depths if depth <= 8]
    yield from correction(X, widths=widths, depths=size.depths, draws=4 * size.draws, random=random)
    yield from tangent_correction(
        X, widths=widths[:3], depths=short, draws=size.draws // 2, random=random
    )
