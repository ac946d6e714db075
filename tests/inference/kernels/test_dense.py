"""A dense network's kernel agrees with neural-tangents, arbitrary precision, and itself."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.activations import Signals
from edge_node.inference.kernels.dense import NETWORKS, DenseKernel, critical_variances
from edge_node.inference.kernels.homogeneous import fit_angular_function
from edge_node.inference.kernels.layers import DenseNetwork
from edge_node.inference.kernels.oracle import oracle
from edge_node.inference.numerics import compiled as compiled_module
from edge_node.inference.numerics.compiled import compiled
from tests.inference.exact import exact_kernel
from tests.support.libraries import needs_neural_tangents

ARCHITECTURES = list(itertools.product(NETWORKS, Activation, (1, 2, 3, 5, 10)))
OTHER_VARIANCES = (1.3, 0.2)
BIASED = DenseKernel(KernelKind.NTK, Activation.RELU, 3, *OTHER_VARIANCES)
DEFAULT = DenseKernel(KernelKind.NTK, Activation.RELU, 3, 2.0, 0.0)
ERF = DenseKernel(KernelKind.NTK, Activation.ERF, 3, *critical_variances(Activation.ERF))
GELU = DenseKernel(KernelKind.NTK, Activation.GELU, 3, *critical_variances(Activation.GELU))
EVERY_PATH = pytest.mark.parametrize(
    "kernel", [DEFAULT, BIASED, ERF, GELU], ids=["relu", "bias", "erf", "gelu"]
)


def normal(seed: int, *shape: int) -> Matrix:
    """Standard normal numbers, the same at each call."""
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def every_block_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every block, however small, to JAX."""
    monkeypatch.setattr(compiled_module, "_JAX_FROM", 0)
    monkeypatch.setattr(compiled_module, "_JAX_BLOCK", 0)


@needs_neural_tangents
@pytest.mark.parametrize(("kind", "activation", "depth"), ARCHITECTURES)
@pytest.mark.parametrize("critical", [True, False], ids=["critical", "other"])
def test_agrees_with_neural_tangents(
    kind: KernelKind, activation: Activation, depth: int, critical: bool
) -> None:
    """The field's library computes the same kernel, to 1e-10 of the largest value."""
    variances = critical_variances(activation) if critical else OTHER_VARIANCES
    kernel = DenseKernel(kind, activation, depth, *variances, bias=0.7)
    X, Z = normal(1, 12, 5), normal(2, 9, 5)
    np.testing.assert_allclose(kernel(X, Z), oracle(kernel)(X, Z), rtol=1e-10, atol=1e-12)


@EVERY_PATH
@pytest.mark.parametrize("distance", [1e-9, 1e-7, 1e-5, 1e-3, 1e-1, 1.0])
def test_near_duplicates_keep_their_digits(kernel: DenseKernel, distance: float) -> None:
    """Where 1 - cos nearly vanishes, the kernel still agrees with 90-digit arithmetic to 1e-12."""
    X = 3.0 * normal(3, 6, 4)
    Z = X + distance * normal(4, 6, 4)
    expected = [float(exact_kernel(kernel, x, z)) for x, z in zip(X, Z, strict=True)]
    np.testing.assert_allclose(np.diag(kernel(X, Z)), expected, rtol=1e-12)


@pytest.mark.parametrize(("kind", "activation", "depth"), ARCHITECTURES)
def test_diagonal_is_the_kernel_of_a_row_with_itself(
    kind: KernelKind, activation: Activation, depth: int
) -> None:
    """k(x, x) comes out the same from a block with duplicate rows, also for long and zero rows."""
    X = np.vstack([10.0 ** np.arange(-3, 4)[:, None] * normal(5, 7, 3), np.zeros((1, 3))])
    for variances in (critical_variances(activation), OTHER_VARIANCES):
        kernel = DenseKernel(kind, activation, depth, *variances)
        np.testing.assert_allclose(np.diag(kernel(X, X.copy())), kernel.diagonal(X), rtol=1e-12)


@EVERY_PATH
def test_duplicated_rows_stay_positive_semidefinite(kernel: DenseKernel) -> None:
    """A kernel matrix with duplicates and near-duplicates has no eigenvalue below rounding."""
    X = normal(6, 60, 3)
    X = np.vstack([X, X, X + 1e-8 * normal(7, 60, 3)])
    eigenvalues = np.linalg.eigvalsh(kernel(X, X))
    assert eigenvalues[0] > -1e-14 * len(X) * eigenvalues[-1]


@EVERY_PATH
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 20), d=st.integers(1, 6))
def test_symmetric_and_bounded(kernel: DenseKernel, seed: int, n: int, d: int) -> None:
    """k(x, z) = k(z, x), and |k(x, z)|^2 <= k(x, x) k(z, z)."""
    X, Z = normal(seed, n, d), normal(seed + 1, n + 1, d)
    block = kernel(X, Z)
    np.testing.assert_allclose(block, kernel(Z, X).T, rtol=1e-12, atol=1e-13)
    bound = np.sqrt(np.outer(kernel.diagonal(X), kernel.diagonal(Z)))
    assert (np.abs(block) <= bound * (1 + 1e-12)).all()


@settings(deadline=None, max_examples=30)
@given(factor=st.floats(1e-3, 1e3), depth=st.integers(1, 6), kind=st.sampled_from(NETWORKS))
def test_relu_without_biases_is_homogeneous(factor: float, depth: int, kind: KernelKind) -> None:
    """Scaling one side's [x, beta] scales the kernel."""
    kernel = DenseKernel(kind, Activation.RELU, depth, 2.0, 0.0, bias=0.0)
    X, Z = normal(8, 5, 3), normal(9, 4, 3)
    np.testing.assert_allclose(kernel(factor * X, Z), factor * kernel(X, Z), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("depth", [1, 2, 3, 5, 10, 20])
@pytest.mark.parametrize("weight_variance", [2.0, 0.9])
def test_one_polynomial_is_all_layers(kind: KernelKind, depth: int, weight_variance: float) -> None:
    """The function of the angle is the recursion, at every angle, to 1e-13 of its largest value."""
    assert fit_angular_function(kind, depth) is not None
    angles = np.concatenate([np.linspace(0.0, np.pi, 997), np.logspace(-9, 0, 300)])
    gap = 2.0 * np.sin(angles / 2.0) ** 2
    kernel = DenseKernel(kind, Activation.RELU, depth, weight_variance, 0.0)
    network = DenseNetwork(kind, Activation.RELU, depth, weight_variance, 0.0)
    signals = Signals(np.full_like(gap, 3.0), np.full_like(gap, 0.2), gap)
    exact = network.kernel(np, signals)
    values = kernel.evaluate(np, np.array(3.0), np.array(0.2), gap)
    assert np.abs(values - exact).max() <= 1e-13 * exact.max()


def test_very_deep_networks_fall_back_to_the_recursion() -> None:
    """Where no short polynomial is accurate, the layers are computed one by one."""
    kernel = DenseKernel(KernelKind.NTK, Activation.RELU, 60, 2.0, 0.0)
    assert fit_angular_function(kernel.kind, kernel.depth) is None
    X, Z = normal(10, 3, 2), normal(11, 3, 2)
    expected = [float(exact_kernel(kernel, x, z)) for x, z in zip(X, Z, strict=True)]
    np.testing.assert_allclose(np.diag(kernel(X, Z)), expected, rtol=1e-12)


@pytest.mark.usefixtures("every_block_is_large")
@EVERY_PATH
def test_jax_equals_numpy(kernel: DenseKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large blocks, computed in padded pieces by JAX, hold the numbers NumPy would give."""
    monkeypatch.setattr(compiled_module, "_JAX_PIECE", 70)  # 8 rows a piece: the last one has fewer
    X, Z = normal(12, 23, 4), normal(13, 7, 4)
    X[4] = Z[5]
    block = kernel(X, Z)
    monkeypatch.setattr(compiled_module, "_JAX_FROM", 1 << 60)
    np.testing.assert_allclose(block, kernel(X, Z), rtol=1e-13, atol=1e-14)


@pytest.mark.usefixtures("every_block_is_large")
def test_compiled_once_whatever_the_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of any height share one compiled shape."""
    monkeypatch.setattr(compiled_module, "_JAX_PIECE", 60)
    shapes = []

    def spy(kernel: DenseKernel) -> object:
        def call(*arrays: Matrix) -> Matrix:
            shapes.append(tuple(array.shape for array in arrays))
            return compiled(kernel)(*arrays)

        return call

    monkeypatch.setattr(compiled_module, "compiled", spy)
    for n in (1, 7, 8, 25):
        assert DEFAULT(normal(14, n, 2), normal(15, 6, 2)).shape == (n, 6)
    assert set(shapes) == {((8, 1), (1, 6), (8, 6))}


@pytest.mark.usefixtures("every_block_is_large")
def test_leaves_the_users_precision_alone() -> None:
    """Double precision is JAX's mode for our call only: its flag and default type are unchanged."""
    import jax

    before = jax.config.jax_enable_x64
    assert DEFAULT(normal(16, 4, 2), normal(17, 3, 2)).dtype == np.float64
    assert jax.config.jax_enable_x64 == before
    assert jax.numpy.ones(1).dtype == (np.float64 if before else np.float32)


def test_few_rows_do_not_import_jax() -> None:
    """A node never pays for JAX before NumPy has computed millions of values, in large blocks."""
    program = """
import sys
import numpy as np
from edge_node.config import Activation, KernelKind
from edge_node.inference.kernels.dense import NETWORKS, DenseKernel
from edge_node.inference.numerics import compiled
compiled._JAX_FROM = 3 << 19
kernel = DenseKernel(KernelKind.NTK, Activation.RELU, 3, 2.0, 0.0)
large, landmarks = np.ones((512, 4)), np.ones((1024, 4))
for rows in (large, large, large[:10]):
    assert kernel(rows, landmarks).shape == (len(rows), 1024)
assert "jax" not in sys.modules
kernel(large, landmarks)
assert "jax" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("activation", Activation)
def test_critical_variances_are_at_the_edge_of_chaos(activation: Activation) -> None:
    """Unit variance is a fixed point, and there a small angle neither grows nor shrinks: chi_1 = 1.

    E[phi^2] and E[phi'^2] by Gauss-Hermite quadrature, from the nonlinearity itself.
    """
    sw2, sb2 = critical_variances(activation)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    if activation is Activation.RELU:
        values, derivatives = np.maximum(nodes, 0.0), np.heaviside(nodes, 0.5)
    elif activation is Activation.GELU:
        probabilities = scipy.special.ndtr(nodes)
        values = nodes * probabilities
        derivatives = probabilities + nodes * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    else:
        values = scipy.special.erf(nodes)
        derivatives = 2.0 / np.sqrt(np.pi) * np.exp(-(nodes**2))
    power = np.average(values**2, weights=weights)
    slope = np.average(derivatives**2, weights=weights)
    assert sw2 * power + sb2 == pytest.approx(1.0, rel=1e-11)
    assert sw2 * slope == pytest.approx(1.0, rel=1e-11)


def test_zero_length_inputs_have_a_zero_kernel() -> None:
    """Without any bias the origin's kernel is zero, not NaN."""
    for activation in Activation:
        kernel = DenseKernel(KernelKind.NTK, activation, 2, 2.0, 0.0, bias=0.0)
        X = np.vstack([np.zeros(3), normal(18, 2, 3)])
        np.testing.assert_array_equal(kernel(X, X)[0], np.zeros(3))
        assert kernel.diagonal(X)[0] == 0.0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("depth", (0, 2.0, 0.0, 1.0)),
        ("weight_variance", (1, 0.0, 0.0, 1.0)),
        ("bias_variance", (1, 2.0, -0.1, 1.0)),
        ("bias", (1, 2.0, 0.0, float("nan"))),
    ],
)
def test_values_out_of_range_are_refused(
    name: str, values: tuple[int, float, float, float]
) -> None:
    """A kernel that can't be is refused when it is made, by name."""
    with pytest.raises(ConfigurationError, match=f"kernel's {name} is out of range"):
        DenseKernel(KernelKind.NTK, Activation.RELU, *values)


def test_a_kind_that_is_no_network_is_refused() -> None:
    """Other kernels are other classes."""
    with pytest.raises(ConfigurationError, match="expected ntk or nngp, found rbf"):
        DenseKernel(KernelKind.RBF, Activation.RELU, 1, 2.0, 0.0)
