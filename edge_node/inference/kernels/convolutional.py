"""Kernels of infinitely wide convolutional networks with pooling, for rows that are images.

Computed by neural-tangents (`oracle`), which is an extra: this module is imported only for a spec
that asks for `conv-ntk` (`kernel`). Pooling makes a network blind to where in an image something
is. It also makes the kernel expensive: each pair of rows takes the covariances of all pairs of
pixels through the layers, (height x width)^2 numbers. So it is for small images and few landmarks.
"""

import math
from collections.abc import Iterator
from typing import ClassVar, NoReturn

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.oracle import ImageNetwork, Images, image_network
from edge_node.inference.kernels.ranges import check_ranges

__all__ = ["ConvolutionalKernel"]

_VALUES_AT_ONCE = 1 << 21  # covariances of pixels: neural-tangents holds some ten arrays of these


class ConvolutionalKernel(msgspec.Struct, frozen=True, tag="convolutional"):
    """The NTK of ``depth`` times a 3 x 3 convolution (same size, zeros around) and a nonlinearity,
    then the average over all pixels, then a dense layer (Arora et al. 2019, sec. 4).

    Of a row's inputs the first height x width x channels are the pixels, row by row, a pixel's
    channels side by side; inputs after them (indicators of missing pixels) are left out.

    Attributes:
        image: (height, width, channels).
        activation: the nonlinearity.
        depth: the number of convolutions, at least 1.
        weight_variance: sw2 = W_std^2, positive.
        bias_variance: sb2 = b_std^2, not negative.

    Raises:
        ConfigurationError: a value outside its range; or, when values are asked for,
            neural-tangents can't be imported.
    """

    image: tuple[int, int, int]
    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float

    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        ranges = {
            "image": ("height, width and channels, all positive", min(self.image) >= 1),
            "depth": ("at least 1", self.depth >= 1),
            "weight_variance": ("positive", 0.0 < self.weight_variance < np.inf),
            "bias_variance": ("zero or positive", 0.0 <= self.bias_variance < np.inf),
        }
        check_ranges(self, ranges)

    def __str__(self) -> str:
        height, width, channels = self.image
        return f"conv-ntk {self.activation} depth {self.depth} image {height}x{width}x{channels}"

    def __call__(self, X: Matrix, Z: Matrix) -> Matrix:
        """The block k(X, Z) (n, m) between rows X (n, d) and Z (m, d), float64, C order."""
        block = np.empty((len(X), len(Z)))
        side = math.isqrt(self._pairs_at_once)
        for rows in _pieces(len(X), side):
            for columns in _pieces(len(Z), side):
                x, z = X[rows], Z[columns]
                values = self._network.block(self._images(x), self._images(z))
                block[rows, columns] = values[: len(x), : len(z)]
        return block

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) for each row of X (n, d), shape (n,)."""
        values = np.empty(len(X))
        for rows in _pieces(len(X), self._pairs_at_once):
            x = X[rows]
            values[rows] = self._network.diagonal(self._images(x))[: len(x)]
        return values

    def gradient(self, X: Matrix, Z: Matrix, A: Matrix) -> NoReturn:
        """Not available: raises ConfigurationError."""
        self._refuse()

    def pair_gradient(self, X: Matrix, Z: Matrix, W: Matrix) -> NoReturn:
        """Not available: raises ConfigurationError."""
        self._refuse()

    def diagonal_gradient(self, X: Matrix) -> NoReturn:
        """Not available: raises ConfigurationError."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(
            "a convolutional kernel has no gradients here",
            where=str(self),
            remedy="Learn no metric with it: see `differentiable`",
        )

    @property
    def _network(self) -> ImageNetwork:
        return image_network(self.activation, self.depth, self.weight_variance, self.bias_variance)

    @property
    def _pairs_at_once(self) -> int:
        height, width, _ = self.image
        return max(1, _VALUES_AT_ONCE // (height * width) ** 2)

    def _images(self, X: Matrix) -> Images:
        """(n', height, width, channels), n' the next power of two: few shapes are compiled."""
        spare = (1 << (len(X) - 1).bit_length()) - len(X)
        padded = np.pad(X[:, : math.prod(self.image)], ((0, spare), (0, 0)), mode="edge")
        return padded.reshape(-1, *self.image)


def _pieces(rows: int, at_most: int) -> Iterator[slice]:
    """Slices of a power of two rows: full pieces have the shape that was compiled."""
    step = 1 << (at_most.bit_length() - 1)
    return (slice(start, start + step) for start in range(0, rows, step))
