"""A network of dense ReLU layers, and its training by Adam, in NumPy and single precision.

Parameters start as PyTorch's do, uniform within 1 / sqrt(fan-in). Adam is that of Kingma & Ba
(2015), algorithm 1, with its constants; a site begins each round with a new one, as Flower's
examples do. The loss is the mean squared error, or the cross-entropy of a softmax.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fedavg.job import Arrays, Job

__all__ = ["gradients", "initial", "outputs", "own_outputs", "trained"]

_MOMENTS = (0.9, 0.999)
_SMALL = 1e-8


def initial(job: Job) -> Arrays:
    """Weights (fan-in, fan-out) and biases (fan-out,), layer by layer."""
    how = job.training
    random = np.random.default_rng(how.seed)
    sizes = [job.test.shape[1], *how.hidden, how.classes or 1]
    found: list[NDArray[Any]] = []
    for fan_in, fan_out in pairwise(sizes):
        bound = fan_in**-0.5
        found += [random.uniform(-bound, bound, size) for size in ((fan_in, fan_out), fan_out)]
    return [each.astype(np.float32) for each in found]


def outputs(job: Job, parameters: Arrays, X: NDArray[Any]) -> NDArray[Any]:
    """Means (n,), or probabilities (n, C), of inputs X (n, d)."""
    last = _activations(parameters, X)[-1]
    return _softmax(last) if job.training.classes else last[:, 0]


def trained(job: Job, parameters: Arrays, site: int, after: int) -> Arrays:
    """The parameters that a site makes of those it was sent, in the round ``after`` so many."""
    how = job.training
    X, y = job.inputs[site], job.targets[site]
    random = np.random.default_rng((how.seed, site, after))
    vector, layers = _flat(parameters)
    adam = _Adam(vector, how.rate)
    slope, slopes = _flat(parameters)
    for _ in range(how.epochs):
        order = random.permutation(len(y))
        for start in range(0, len(y), how.batch):
            rows = order[start : start + how.batch]
            gradients(layers, X[rows], y[rows], how.classes, out=slopes)
            adam.step(slope)
    return layers


def own_outputs(job: Job, parameters: Arrays, after: int) -> tuple[NDArray[Any], float]:
    """What sites answer that have trained the shared model for another round, each by itself.

    That is the usual way to a model of a site's own (Yu, Bagdasaryan & Shmatikov 2020). Returns
    the outputs of the test rows, each of its site, and the mean squared residual of all sites.
    """
    found, squares = outputs(job, parameters, job.test).copy(), 0.0
    for site, (X, y) in enumerate(zip(job.inputs, job.targets, strict=True)):
        own, rows = trained(job, parameters, site, after), job.asked == site
        found[rows] = outputs(job, own, job.test[rows])
        if not job.training.classes:
            squares += float(np.square(outputs(job, own, X) - y).sum())
    return found, squares / sum(map(len, job.targets))


def gradients(
    parameters: Arrays, X: NDArray[Any], y: NDArray[Any], classes: int, *, out: Arrays
) -> None:
    """Write the loss's gradient with respect to each parameter into ``out``."""
    values = _activations(parameters, X)
    if classes:
        error = _softmax(values[-1])
        error[np.arange(len(y)), y.astype(int)] -= 1.0
    else:
        error = 2.0 * (values[-1] - y[:, None])
    error /= len(y)
    for layer in reversed(range(len(parameters) // 2)):
        np.matmul(values[layer].T, error, out=out[2 * layer])
        np.sum(error, axis=0, out=out[2 * layer + 1])
        if layer:
            error = error @ parameters[2 * layer].T
            error *= values[layer] > 0.0


def _activations(parameters: Arrays, X: NDArray[Any]) -> list[NDArray[Any]]:
    """The inputs of each layer, and the last one's outputs."""
    values = [X]
    for layer in range(0, len(parameters), 2):
        value = values[-1] @ parameters[layer]
        value += parameters[layer + 1]
        if layer + 2 < len(parameters):
            np.maximum(value, 0.0, out=value)
        values.append(value)
    return values


def _softmax(values: NDArray[Any]) -> NDArray[Any]:
    exponential = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))


def _flat(parameters: Arrays) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """A copy of all parameters in one vector, and views of it that are the parameters."""
    vector = np.concatenate([each.ravel() for each in parameters])
    ends = np.cumsum([each.size for each in parameters])
    parts: Sequence[NDArray[Any]] = np.split(vector, ends[:-1])
    return vector, [part.reshape(p.shape) for part, p in zip(parts, parameters, strict=True)]


class _Adam:
    """Steps of a vector, in place."""

    def __init__(self, vector: NDArray[Any], rate: float) -> None:
        self._vector, self._rate, self._steps = vector, rate, 0
        self._first, self._second = np.zeros_like(vector), np.zeros_like(vector)

    def step(self, slope: NDArray[Any]) -> None:
        self._steps += 1
        first, second = _MOMENTS
        self._first += (1 - first) * (slope - self._first)
        self._second += (1 - second) * (np.square(slope) - self._second)
        unbiased = np.sqrt(self._second / np.float32(1 - second**self._steps)) + np.float32(_SMALL)
        self._vector -= np.float32(self._rate / (1 - first**self._steps)) * self._first / unbiased
