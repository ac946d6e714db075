"""Networks of finite width under full-batch gradient descent, and what their kernels say of it.

The loss is the sum of (g(x) - y)^2 / 2 over the rows, and a step of size eta takes a time eta. g is
the network less what it was before training, g = alpha [f(x; theta) - f(x; theta_0)], so it begins
at zero like ``evaluation.flow``; theta_0 only decides the kernel. (What f is at initialisation is a
claim of its own: ``initial``.) A model that is linear in its weights, with the kernel K, has after
k steps

    g_k(x) = K(x, X) V diag((1 - (1 - eta w)^k) / w) V'y,        K(X, X) = V diag(w) V',

which for small steps is the prediction after time t = k eta (Lee et al. 2019, eq. 8-11).

alpha = 1 is the NTK parametrisation. alpha = 1 / sqrt(width), with steps divided by alpha^2, is the
mean-field one: its kernel at initialisation is the same, but weights go as far at any width, and
the kernel moves with them (Chizat, Oyallon & Bach 2019). It is the control: where "wide" isn't
"linear".
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.width.networks import Network, Parameters
from edge_node.arrays import Matrix, Vector
from edge_node.inference.evaluation.flow import GradientFlow
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.dense import DenseKernel
from edge_node.inference.regression.conditional import local_conditional
from edge_node.inference.regression.posterior import Posterior

__all__ = ["Course", "Problem", "kernel_course", "kernel_flow", "train"]


@dataclass(frozen=True)
class Problem:
    """What is learnt, and in which steps.

    Attributes:
        X: rows to learn from (n, d).
        y: their targets (n,).
        X_new: rows to predict (m, d).
        rate: eta, in units of time.
        steps: how many.
    """

    X: Matrix
    y: Vector
    X_new: Matrix
    rate: float
    steps: int

    @property
    def rows(self) -> Matrix:
        """X, then X_new: (n + m, d)."""
        return np.vstack([self.X, self.X_new])


@dataclass(frozen=True)
class Course:
    """How one network was trained.

    Attributes:
        outputs: g (steps + 1, n + m) before each step and after the last.
        start: its weights at initialisation.
        end: its weights after the last step.
    """

    outputs: Matrix
    start: Parameters
    end: Parameters

    @property
    def moves(self) -> list[float]:
        """The relative change |W - W_0| / |W_0| (Frobenius) of each layer's weights."""
        return [
            float(np.linalg.norm(np.asarray(W) - W_0) / np.linalg.norm(W_0))
            for (W, _), (W_0, _) in zip(self.end, self.start, strict=True)
        ]


def train(
    network: Network,
    start: Parameters,
    problem: Problem,
    *,
    scale: float = 1.0,
    optimiser: Callable[[float], optax.GradientTransformation] = optax.sgd,
) -> Course:
    """Train a network from ``start``; ``scale`` is alpha, ``optimiser`` is given the step size."""
    descent = optimiser, problem.rate / scale**2, problem.steps
    end, outputs = _descend(start, problem.rows, problem.y, (network, scale, *descent))
    return Course(np.asarray(outputs), start, end)


@partial(jax.jit, static_argnums=3)
def _descend(start: Parameters, rows: Any, y: Any, setting: tuple[Any, ...]) -> Any:
    """Theta and all outputs, from theta_0, all rows and y; compiled once for each setting."""
    network, scale, optimiser, step_size, steps = setting
    before, descent = network.outputs(start, rows), optimiser(step_size)

    def loss(parameters: Parameters) -> Any:
        g = scale * (network.outputs(parameters, rows) - before)
        return 0.5 * jnp.sum(jnp.square(g[: len(y)] - y)), g

    def step(state: Any, _: None) -> Any:
        parameters, memory = state
        slope, g = jax.grad(loss, has_aux=True)(parameters)
        updates, memory = descent.update(slope, memory, parameters)
        return (optax.apply_updates(parameters, updates), memory), g

    state = (start, descent.init(start))
    (end, _), outputs = jax.lax.scan(step, state, None, length=steps)
    return end, jnp.vstack([outputs, loss(end)[1]])


@partial(jax.jit, static_argnames=("steps",))
def kernel_course(K: Any, y: Any, rate: float, steps: int) -> Any:
    """G (steps + 1, n + m) of a model that is linear in its weights, from K (n + m, n)."""
    w, V = jnp.linalg.eigh(K[: len(y)])
    left = jnp.power(1.0 - rate * w, jnp.arange(steps + 1)[:, None])
    return ((1.0 - left) / w * (V.T @ y)) @ (K @ V).T


def kernel_flow(kernel: DenseKernel, problem: Problem) -> GradientFlow:
    """The program's own prediction after training time t, with the rows as landmarks: exact."""
    features = Features.build(kernel, problem.X)
    (statistics,) = local_conditional([(problem.X, problem.y)], features, [1.0])
    return GradientFlow.of(Posterior.of(statistics.message, features, statistics.evidence(1.0)))
