"""Finite networks come as near to their kernels as theory says, and no nearer in a control."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.libraries import needs_neural_tangents

optax = pytest.importorskip("optax", reason="optax is not installed")

import jax  # noqa: E402  (after the library that may be missing)

from benchmarks.figures import Row, write_csv  # noqa: E402
from benchmarks.width.correction import correction, tangent_correction  # noqa: E402
from benchmarks.width.figure import draw_width  # noqa: E402
from benchmarks.width.fits import fitted, power_law  # noqa: E402
from benchmarks.width.initial import (  # noqa: E402
    covariances,
    gaussian_outputs,
    signals_by_depth,
)
from benchmarks.width.measure import Size, measure_width, patients, tangent_kernel  # noqa: E402
from benchmarks.width.networks import Network  # noqa: E402
from benchmarks.width.trained import FLOW, OWN, decay_rates, predictions_and_weights  # noqa: E402
from benchmarks.width.training import kernel_course, kernel_flow, train  # noqa: E402
from edge_node.arrays import Matrix  # noqa: E402
from edge_node.config import Activation, KernelKind  # noqa: E402
from edge_node.inference.kernels.dense import DenseKernel, critical_variances  # noqa: E402
from edge_node.inference.kernels.oracle import stax_layers  # noqa: E402
from edge_node.inference.numerics.compiled import double_precision  # noqa: E402

pytestmark = pytest.mark.slow

X = np.random.default_rng(5).standard_normal((4, 3))
WIDTHS = (32, 128, 512)


@pytest.fixture(autouse=True)
def _in_double_precision() -> Iterator[None]:
    """As the measurement is."""
    with double_precision(jax):
        yield


def generator() -> np.random.Generator:
    """The same numbers in each test."""
    return np.random.default_rng(7)


def dense(kind: KernelKind, activation: Activation, depth: int) -> DenseKernel:
    """A kernel with biases in all layers, so that none can be forgotten."""
    return DenseKernel(kind, activation, depth, 1.7, 0.3, bias=0.8)


def slope(rows: list[Row], series: str) -> float:
    """The exponent of the width."""
    points = [(row["x"], row["value"]) for row in rows if row["series"] == series]
    return power_law(*np.array(points).T)[0]


# The networks.


@needs_neural_tangents
@pytest.mark.parametrize("activation", Activation)
def test_a_network_is_that_of_the_oracle(activation: Activation) -> None:
    """neural-tangents' outputs, for the same weights."""
    stax, kernel = stax_layers(), dense(KernelKind.NTK, activation, 2)
    layers = {Activation.RELU: stax.Relu, Activation.ERF: stax.Erf, Activation.GELU: stax.Gelu}
    parameters = Network(kernel, 11).draw(generator(), 3)
    scales = {"W_std": np.sqrt(1.7), "b_std": np.sqrt(0.3)}
    hidden = [each for _ in range(2) for each in (stax.Dense(11, **scales), layers[activation]())]
    _, apply, _ = stax.serial(*hidden, stax.Dense(1, **scales))
    inputs = 2.0 * np.hstack([X, np.full((4, 1), 0.8)])
    theirs = apply([each for layer in parameters for each in (layer, ())][:-1], inputs)
    ours = Network(kernel, 11).outputs(parameters, X)
    np.testing.assert_allclose(ours, theirs[:, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", Activation)
def test_its_tangent_kernel_is_the_programs_on_average(activation: Activation) -> None:
    """And those of another depth or kind are far from it."""
    random, network = generator(), Network(dense(KernelKind.NTK, activation, 2), 256)
    draws = [network.tangent_kernel(network.draw(random, 3), X, X) for _ in range(40)]
    mean, limit = np.mean(draws, axis=0), network.kernel(X, X)
    assert np.linalg.norm(mean - limit) < 0.05 * np.linalg.norm(limit)
    for other in (dense(KernelKind.NTK, activation, 1), dense(KernelKind.NNGP, activation, 2)):
        assert np.linalg.norm(mean - other(X, X)) > 0.1 * np.linalg.norm(limit)


def test_covariances_are_those_of_networks() -> None:
    """Drawn layer by layer or weight by weight, outputs have the same second and fourth moments."""
    kernel, random = dense(KernelKind.NNGP, Activation.RELU, 2), generator()
    S = covariances(kernel, X[:2], 8, 40_000, random)[-1]
    network = Network(kernel, 8)
    outputs = jax.jit(jax.vmap(lambda each: network.outputs(each, X[:2])))
    shapes = [(4, 8), (8, 8), (8, 1)]
    weights = [(random.standard_normal((40_000, *shape)),
                random.standard_normal((40_000, shape[1]))) for shape in shapes]  # fmt: skip
    f = np.asarray(outputs(weights))
    np.testing.assert_allclose(f.T @ f / len(f), S.mean(axis=0), rtol=0.06)
    fourth = 3.0 * np.mean(S[:, 0, 0] ** 2)
    assert np.mean(f[:, 0] ** 4) == pytest.approx(fourth, rel=0.15)
    assert fourth > 1.3 * 3.0 * np.mean(S[:, 0, 0]) ** 2  # far from Gaussian


# Training.


def test_small_steps_are_the_programs_gradient_flow() -> None:
    """After the same time; not after twice the time."""
    kernel = tangent_kernel(Activation.ERF)
    problem = patients(kernel, 2000)
    course = np.asarray(
        kernel_course(kernel(problem.rows, problem.X), problem.y, problem.rate / 20, 2000)
    )
    flow, t = kernel_flow(kernel, problem), 100 * problem.rate
    np.testing.assert_allclose(course[-1], flow.predict(problem.rows, t), atol=1e-3)
    assert np.abs(course[-1] - flow.predict(problem.rows, 2 * t)).max() > 0.1


def test_predictions_approach_the_kernels_and_weights_stay() -> None:
    """By powers of the width; in the mean-field parametrisation they don't."""
    kernel = tangent_kernel(Activation.ERF)
    problem = patients(kernel, 60)
    ours, control = (
        list(
            predictions_and_weights(
                kernel, problem, widths=WIDTHS, draws=8, random=generator(), mean_field=mean_field
            )
        )
        for mean_field in (False, True)
    )
    assert slope(ours, OWN) < -0.7 < -0.4 < slope(control, OWN)
    assert slope(ours, FLOW) < -0.35 < -0.3 < slope(control, FLOW)
    for layer in ("layer 1", "layer 2"):
        assert slope(ours, layer) == pytest.approx(-0.5, abs=0.1)
        assert slope(control, layer) == pytest.approx(0.0, abs=0.1)


def test_residuals_decay_by_the_kernels_eigenvalues() -> None:
    """Not by those of another kernel, nor with another optimiser than gradient descent."""
    kernel = tangent_kernel(Activation.ERF)
    problem = patients(kernel, 300)
    network = Network(kernel, 2048)
    start = network.draw(generator(), problem.X.shape[1])

    def worst(gram: Matrix, optimiser: object) -> float:
        course = train(network, start, problem, optimiser=optimiser)
        eigenvalues, rates = decay_rates(gram, course, problem).T
        return float(np.max(np.abs(np.log(rates / eigenvalues))))

    own = kernel(problem.X, problem.X)
    other = DenseKernel(KernelKind.NNGP, Activation.ERF, 1, *critical_variances(Activation.ERF))
    assert worst(own, optax.sgd) < 0.25
    assert worst(other(problem.X, problem.X), optax.sgd) > 0.5
    assert worst(own, optax.adam) > 0.5


# Initialisation.


@pytest.mark.parametrize("activation", [Activation.ERF, Activation.RELU])
def test_outputs_become_gaussian(activation: Activation) -> None:
    """Kurtosis by 1 / width, a network's own covariance by its root; another depth's stays away."""
    rows = list(gaussian_outputs(activation, 2, X, widths=WIDTHS, draws=400, random=generator()))
    assert slope(rows, "excess kurtosis") == pytest.approx(-1.0, abs=0.15)
    assert slope(rows, "covariance error") == pytest.approx(-0.5, abs=0.1)
    kernel = DenseKernel(KernelKind.NNGP, activation, 2, *critical_variances(activation))
    S = covariances(kernel, X, 4096, 20, generator())
    assert np.linalg.norm(S[-1].mean(axis=0) - kernel(X, X)) < 0.02 * np.linalg.norm(kernel(X, X))
    assert np.linalg.norm(S[0].mean(axis=0) - kernel(X, X)) > 0.04 * np.linalg.norm(kernel(X, X))


@pytest.mark.parametrize(("factor", "grows"), [(0.75, -1), (1.0, 0), (1.25, 1)])
def test_signals_live_on_the_critical_line_only(factor: float, grows: int) -> None:
    """ReLU's variance after 20 layers: dead, alive, exploded; at each layer as in the limit."""
    kernel = DenseKernel(KernelKind.NNGP, Activation.RELU, 20, factor * 2.0, 0.0)
    rows = list(signals_by_depth(kernel, "", X[:2], width=2000, draws=8, random=generator()))
    variance = [row for row in rows if row["series"] == "variance"]
    for row in variance:
        assert row["value"] == pytest.approx(row["expected"], rel=0.3)
    change = np.log(variance[-1]["value"] / variance[0]["value"])
    assert change == pytest.approx(19 * np.log(factor), abs=0.3)
    assert np.sign(round(change)) == grows


def test_rows_stay_apart_on_the_critical_line_only() -> None:
    """After 20 layers erf's 1 - correlation is gone, kept in part, or grown, as in the limit."""
    sw2, sb2 = critical_variances(Activation.ERF)
    found = []
    for factor in (0.6, 1.0, 2.0):
        kernel = DenseKernel(KernelKind.NNGP, Activation.ERF, 20, factor * sw2, sb2)
        rows = signals_by_depth(kernel, "", X[1:3] / 2, width=2000, draws=8, random=generator())
        gaps = [row for row in rows if row["series"] == "1 - correlation"]
        for row in gaps:
            assert row["value"] == pytest.approx(row["expected"], rel=0.3)
        found.append(gaps[-1]["value"] / gaps[0]["value"])
    gone, kept, grown = found
    assert gone < 0.02
    assert 0.1 < kept < 1.0 < grown


def test_the_first_correction_goes_by_depth_over_width() -> None:
    """Twice as deep and twice as wide is the same; as deep and twice as wide is half."""
    rows = list(correction(X[:1], widths=(64, 128), depths=(2, 4), draws=8000, random=generator()))
    found = [row["value"] for row in rows]
    for row in rows:
        assert row["value"] == pytest.approx(row["expected"], rel=0.15)
    assert found[0] / found[3] == pytest.approx(1.0, abs=0.2)
    assert found[0] / found[1] == pytest.approx(2.0, abs=0.4)


def test_a_tangent_kernel_fluctuates_about_the_ntk() -> None:
    """By depth over width, too."""
    rows = list(
        tangent_correction(X[:1], widths=(32, 128), depths=(1, 4), draws=300, random=generator())
    )
    variance = [row["value"] for row in rows if row["series"] == "NTK"]
    means = [row["value"] for row in rows if row["series"] == "NTK's mean"]
    assert means == pytest.approx([1.0] * 4, abs=0.15)
    assert variance[1] < variance[0] / 2
    assert variance[3] == pytest.approx(variance[0], rel=0.5)  # (1, 32) and (4, 128)
    assert variance[2] > 2 * variance[0]


def test_all_claims_are_measured_and_drawn(tmp_path: Path) -> None:
    """Small: each claim has rows, and slopes beside those of theory."""
    size = Size(widths=(256, 512), seeds=1, draws=40, steps=20, layers=6, depths=(1, 2))
    rows = measure_width(size)
    slopes = list(fitted(rows))
    assert {row["claim"] for row in rows} == {row["claim"] for row in slopes} == set("abcdef")
    assert all(np.isfinite([row["fitted"], row["expected"]]).all() for row in slopes)
    write_csv(rows, tmp_path / "width.csv", "python -m benchmarks width")
    assert len((tmp_path / "width.csv").read_text().splitlines()) == 2 + len(rows)
    draw_width(rows, tmp_path / "width.png")
    assert (tmp_path / "width.png").stat().st_size > 1000
