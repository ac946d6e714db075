"""Claims about training: predictions approach the kernel's, weights stay, residuals decay.

Each figure is a mean over initialisations. Distances are root mean squares over new rows and over
twenty times on the way, in units of the kernel's prediction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Row
from benchmarks.width.networks import Network
from benchmarks.width.training import Course, Problem, kernel_course, kernel_flow, train
from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation
from edge_node.inference.kernels.dense import DenseKernel

__all__ = ["FLOW", "MEAN", "OWN", "Distances", "decay", "decay_rates", "predictions_and_weights"]

OWN = "to its own linear model"
FLOW = "to the kernel's f_t"
MEAN = "mean, to the kernel's f_t"
_TIMES = 20
_LEAST_SHARE = 0.1  # of the mean square: components of y that are too small to follow
_FOLLOWED = 2.0  # of w t: what is left later is mostly what slower components leak


@dataclass(frozen=True)
class Distances:
    """How far one network's predictions are from what kernels say of them.

    Attributes:
        own: from its linear model, in its own tangent kernel at initialisation.
        flow: from ``evaluation.flow`` with the kernel of infinite width.
        beyond: the errors beyond first order: the network less the infinitely wide one, less what
            the difference of their kernels does in first order. That is zero on average (its
            kernel is right on average, for one hidden layer: a control variate), so the mean of
            ``beyond`` over initialisations is that of the network's error, with far less noise.
    """

    own: float
    flow: float
    beyond: Matrix

    @classmethod
    def of(
        cls, network: Network, course: Course, problem: Problem, limit: Matrix, flow: Matrix
    ) -> "Distances":
        """Of a network from the limit: its kernel (n + m, n), and flow (times, m)."""
        own = network.tangent_kernel(course.start, problem.rows, problem.X)

        def linear(K: Matrix) -> Matrix:
            outputs: Matrix = kernel_course(K, problem.y, problem.rate, problem.steps)
            return _sampled(outputs, problem)

        infinite, first_order = jax.jvp(linear, (limit,), (own - limit,))
        found = _sampled(course.outputs, problem)
        return cls(
            _rms(found - linear(own)),
            _rms(found - flow),
            np.asarray(found - infinite - first_order),
        )


def predictions_and_weights(
    kernel: DenseKernel,
    problem: Problem,
    *,
    widths: Sequence[int],
    draws: int,
    random: np.random.Generator,
    mean_field: bool = False,
) -> Iterator[Row]:
    """(a) Distances to predictions after training time t, and (b) relative changes of weights.

    With ReLU, a move of 1 / sqrt(width) takes about sqrt(width) units over their kink, each by
    1 / sqrt(width) and with a sign of its own. With read-outs of 1 / sqrt(width) that adds up to
    width^-3/4, where smooth activations leave 1 / width; it hides the mean, which isn't given.

    Args:
        kernel: the NTK, and with it the network.
        problem: what is learnt.
        widths: of the networks.
        draws: initialisations of each.
        random: for them.
        mean_field: the control (``training``).
    """
    limit, flow = kernel(problem.rows, problem.X), _flow(kernel, problem)
    name = f"{kernel.activation}{', mean field' if mean_field else ''}"
    for width in widths:
        network, found, moves = Network(kernel, width), list[Distances](), list[list[float]]()
        for _ in range(draws):
            start = network.draw(random, problem.X.shape[1])
            scale = width**-0.5 if mean_field else 1.0
            course = train(network, start, problem, scale=scale)
            found.append(Distances.of(network, course, problem, limit, flow))
            moves.append(course.moves)
        common = {"network": name, "x": width, "draws": draws}
        for quantity, value in _averages(found, smooth=name == Activation.ERF).items():
            distance = value / _rms(flow)
            yield {"claim": "a", "series": quantity, **common, "value": distance}
        for layer, value in enumerate(np.mean(moves, axis=0), 1):
            yield {"claim": "b", "series": f"layer {layer}", **common, "value": value}


def _averages(found: Sequence[Distances], *, smooth: bool) -> dict[str, float]:
    """By what is measured; the mean's error only of smooth networks that are nearly linear."""
    averages = {
        OWN: float(np.mean([each.own for each in found])),
        FLOW: float(np.mean([each.flow for each in found])),
    }
    mean = _rms(np.mean([each.beyond for each in found], axis=0))
    return averages | ({MEAN: mean} if smooth else {})


def decay(
    kernel: DenseKernel, problem: Problem, *, width: int, random: np.random.Generator
) -> Iterator[Row]:
    """(c) Residuals in the eigenbasis of the kernel's Gram matrix, by w t, and the loss by t.

    Of one network, for longer and in smaller steps.
    """
    problem = replace(problem, rate=problem.rate / 4.0, steps=problem.steps * 10)
    network = Network(kernel, width)
    course = train(network, network.draw(random, problem.X.shape[1]), problem)
    w, components = _components(kernel(problem.X, problem.X), course, problem)
    times = problem.rate * np.arange(problem.steps + 1)
    common = {"claim": "c", "network": str(kernel.activation), "draws": 1}
    for i in _large(components):
        left = components[:, i] / components[0, i]
        for k in _first(w[i] * times <= _FOLLOWED * 1.5):
            yield common | {"series": f"component, w = {w[i]:.3g}", "x": w[i] * times[k]} | {
                "value": left[k], "expected": np.exp(-w[i] * times[k])
            }  # fmt: skip
    for k in _first(times >= 0):
        loss = 0.5 * np.sum(components[k] ** 2)
        expected = 0.5 * np.sum((np.exp(-w * times[k]) * components[0]) ** 2)
        yield common | {"series": "loss", "x": times[k], "value": loss, "expected": expected}
    for eigenvalue, rate in decay_rates(kernel(problem.X, problem.X), course, problem):
        yield common | {"series": "rate", "x": eigenvalue, "value": rate, "expected": eigenvalue}


def decay_rates(gram: Matrix, course: Course, problem: Problem) -> Matrix:
    """(components, 2): for large components of y, an eigenvalue of ``gram`` (n, n), and the rate at
    which the residual's component along its eigenvector decays.
    """
    w, components = _components(gram, course, problem)
    times = problem.rate * np.arange(problem.steps + 1)
    rates = []
    for i in _large(components):
        near = w[i] * times <= _FOLLOWED
        left = np.maximum(components[near, i] / components[0, i], 1e-3)
        rates.append((w[i], -(times[near] @ np.log(left)) / (times[near] @ times[near])))
    return np.array(rates)


def _components(gram: Matrix, course: Course, problem: Problem) -> tuple[Vector, Matrix]:
    """Eigenvalues w (n,), and V'(g - y) (steps + 1, n)."""
    w, V = np.linalg.eigh(gram)
    return w, (course.outputs[:, : len(problem.y)] - problem.y) @ V


def _large(components: Matrix) -> list[int]:
    share = np.square(components[0]) / np.mean(np.square(components[0]))
    return [int(i) for i in np.flatnonzero(share >= _LEAST_SHARE)]


def _first(chosen: NDArray[np.bool_]) -> list[int]:
    """At most twenty of the steps that are chosen, which are the first ones."""
    return [int(k) for k in np.unique(np.linspace(0, np.flatnonzero(chosen)[-1], _TIMES).round())]


def _flow(kernel: DenseKernel, problem: Problem) -> Matrix:
    """The program's f_t (times, m) at new rows."""
    flow = kernel_flow(kernel, problem)
    times = problem.rate * _sampled_steps(problem)
    return np.stack([flow.predict(problem.X_new, float(t)) for t in times])


def _sampled(outputs: Matrix, problem: Problem) -> Matrix:
    """G (times, m) at new rows."""
    return outputs[_sampled_steps(problem), len(problem.y) :]


def _sampled_steps(problem: Problem) -> Matrix:
    return np.linspace(0, problem.steps, _TIMES + 1).round().astype(int)[1:]


def _rms(values: Matrix) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
