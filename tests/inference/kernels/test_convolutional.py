"""Convolutional kernels agree with neural-tangents, whatever the pieces, and see no position."""

import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import Activation, KernelKind
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels import convolutional
from edge_node.inference.kernels.convolutional import ConvolutionalKernel
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from edge_node.inference.kernels.oracle import stax_layers
from edge_node.inference.kernels.pixels import PixelNetwork
from edge_node.inference.numerics.compiled import double_precision
from tests.inference.problems import normal
from tests.support.libraries import needs_neural_tangents


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test computes what it compares."""
    monkeypatch.setattr(convolutional, "_KEPT", convolutional._Kept(1 << 20))


def kernel_for(
    image: tuple[int, int, int] = (4, 3, 2),
    activation: Activation = Activation.RELU,
    depth: int = 2,
) -> ConvolutionalKernel:
    """With critical variances."""
    return ConvolutionalKernel(image, activation, depth, *critical_variances(activation))


def directly(kernel: ConvolutionalKernel, X: Matrix, Z: Matrix) -> Matrix:
    """neural-tangents' own value of the block, not compiled, in one piece."""
    import jax

    stax = stax_layers()
    scales = {"W_std": kernel.weight_variance**0.5, "b_std": kernel.bias_variance**0.5}
    layers = {Activation.RELU: stax.Relu, Activation.ERF: stax.Erf, Activation.GELU: stax.Gelu}
    hidden = [
        layer
        for _ in range(kernel.depth)
        for layer in (stax.Conv(1, (3, 3), padding="SAME", **scales), layers[kernel.activation]())
    ]
    _, _, kernel_fn = stax.serial(*hidden, stax.GlobalAvgPool(), stax.Dense(1, **scales))
    with double_precision(jax):
        images = (A.reshape(-1, *kernel.image) for A in (X, Z))
        return np.asarray(kernel_fn(*images, "ntk"))


@needs_neural_tangents
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("depth", [1, 3])
def test_agrees_with_neural_tangents(activation: Activation, depth: int) -> None:
    """Three channels, an image that is no square, and the bias of erf and GELU."""
    kernel = kernel_for((4, 2, 3), activation, depth)
    X, Z = normal(1, 5, 24), normal(2, 7, 24)
    block = kernel(X, Z)
    assert (block.dtype, block.flags.c_contiguous) == (np.float64, True)
    np.testing.assert_allclose(block, directly(kernel, X, Z), rtol=1e-9)


def test_an_image_of_one_pixel_is_a_dense_networks_row() -> None:
    """Of nine weights eight see zeros: a layer's variance is shared by nine, and by channels."""
    X, Z = normal(3, 6, 5), normal(4, 4, 5)
    dense = DenseKernel(KernelKind.NTK, Activation.RELU, 3, 2.0, 0.0, bias=0.0)
    block = kernel_for((1, 1, 5), depth=3)(X, Z)
    np.testing.assert_allclose(block, dense(X, Z) / (9**3 * 5), rtol=1e-9)


def test_pooling_sees_no_position() -> None:
    """A figure elsewhere on an empty ground is the same figure."""
    kernel, here = kernel_for((8, 8, 1)), np.zeros((1, 8, 8))
    here[0, 2:4, 2:5] = normal(5, 2, 3)
    there = np.roll(here, (2, 1), axis=(1, 2))
    X, Z = np.vstack([here, there]).reshape(2, 64), normal(6, 3, 64)
    np.testing.assert_allclose(*kernel(X, Z), rtol=1e-9)
    np.testing.assert_allclose(kernel(X, X), kernel.diagonal(X)[0], rtol=1e-9)


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs a few at a time, or all at once; the rows of a piece don't see each other."""
    kernel, X, Z = kernel_for(), normal(7, 11, 24), normal(8, 6, 24)
    X[3] = Z[2]
    whole, diagonal = kernel(X, Z), kernel.diagonal(X)
    monkeypatch.setattr(convolutional, "_VALUES_AT_ONCE", 20 * 12**2)
    monkeypatch.setattr(convolutional, "_KEPT", convolutional._Kept(0))
    np.testing.assert_allclose(kernel(X, Z), whole, rtol=1e-9)
    np.testing.assert_allclose(kernel.diagonal(X), diagonal, rtol=1e-9)
    assert whole[3, 2] == pytest.approx(diagonal[3], rel=1e-9)


def test_what_was_computed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second pass, and one over some of the landmarks, computes nothing; other rows do."""
    computed = []
    block = PixelNetwork.block

    def counted(network: PixelNetwork, x: Matrix, z: Matrix) -> Matrix:
        found = block(network, x, z)
        computed.append(found.size)
        return found

    monkeypatch.setattr(PixelNetwork, "block", counted)
    kernel, X, Z = kernel_for(), normal(14, 5, 24), normal(15, 4, 24)
    whole = kernel(X, Z)
    assert sum(computed) == 20
    np.testing.assert_array_equal(kernel(X, Z[::-1]), whole[:, ::-1])
    np.testing.assert_array_equal(kernel(X, Z[[2, 2]]), whole[:, [2, 2]])
    assert sum(computed) == 20
    kernel(X, np.vstack([Z, X[:1]]))
    assert sum(computed) == 25
    kernel_for(depth=1)(X, Z), kernel(X[:2], Z)
    assert sum(computed) == 25 + 20 + 8


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest columns leave, and come back right."""
    kept = convolutional._Kept(6 * 5 * 8)
    monkeypatch.setattr(convolutional, "_KEPT", kept)
    kernel, X, Z = kernel_for(), normal(16, 5, 24), normal(17, 9, 24)
    first = kernel(X, Z)
    assert len(kept._columns) == 6
    np.testing.assert_allclose(kernel(X, Z), first, rtol=1e-12)


def test_inputs_after_the_pixels_are_left_out() -> None:
    """Indicators of missing pixels."""
    kernel, X, Z = kernel_for(), normal(9, 3, 26), normal(10, 2, 26)
    np.testing.assert_array_equal(kernel(X, Z), kernel(X[:, :24], Z[:, :24]))


def test_an_empty_image_is_zero_and_no_rows_are_none() -> None:
    """Not NaN."""
    kernel, X = kernel_for(), np.vstack([np.zeros((1, 24)), normal(11, 2, 24)])
    np.testing.assert_array_equal(kernel(X, X)[0], np.zeros(3))
    assert kernel.diagonal(X)[0] == 0.0
    assert kernel(np.empty((0, 24)), X).shape == (0, 3)
    assert kernel.diagonal(np.empty((0, 24))).shape == (0,)


def test_gradients_are_refused_by_name() -> None:
    """The program asks first."""
    assert not ConvolutionalKernel.differentiable
    X, kernel = normal(12, 2, 24), kernel_for()
    for ask in (
        lambda: kernel.gradient(X, X, np.ones((2, 1))),
        lambda: kernel.pair_gradient(X, X, np.ones((2, 2))),
        lambda: kernel.diagonal_gradient(X),
    ):
        with pytest.raises(ConfigurationError, match="conv-ntk relu depth 2 image 4x3x2"):
            ask()
