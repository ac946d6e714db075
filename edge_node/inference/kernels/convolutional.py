"""Kernels of infinitely wide convolutional networks with pooling, for rows that are images.

Pooling makes a network blind to where in an image something is. It also makes the kernel expensive:
each pair of rows takes the covariances of all pairs of pixels through the layers (`pixels`), which
are (height x width)^2 numbers. So it is for small images and few landmarks, and a pair's value is
kept for the next pass over the same rows.
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import ClassVar, NoReturn

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.pixels import PixelNetwork
from edge_node.inference.kernels.ranges import check_ranges
from edge_node.inference.numerics.distances import Stack

__all__ = ["ConvolutionalKernel"]

_VALUES_AT_ONCE = 1 << 15  # covariances of pixels: some arrays of these stay in a core's cache
_KEPT_BYTES = 64 << 20


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
        ConfigurationError: a value outside its range.
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
        pixels = math.prod(self.image)
        X, Z = (np.ascontiguousarray(each[:, :pixels]) for each in (X, Z))
        return _KEPT.block(self, X, Z, self._block)

    def within(self, X: Stack) -> Stack:
        """K between all rows of each of X (g, m, d): (g, m, m)."""
        return np.stack([self(rows, rows) for rows in X])

    def diagonal(self, X: Matrix) -> Vector:
        """k(x, x) for each row of X (n, d), shape (n,)."""
        network = self._network
        pixels = math.prod(self.image)
        patches = (network.patches(x[None, :pixels]) for x in X)
        return np.array([network.block(each, each)[0, 0] for each in patches])

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
    def _network(self) -> PixelNetwork:
        return PixelNetwork(
            self.image, self.activation, self.depth, self.weight_variance, self.bias_variance
        )

    def _block(self, X: Matrix, Z: Matrix) -> Matrix:
        """Computed anew, a few pairs at a time."""
        network, block = self._network, np.empty((len(X), len(Z)))
        height, width, _ = self.image
        side = max(1, math.isqrt(_VALUES_AT_ONCE) // (height * width))
        for rows in _pieces(len(X), side):
            x = network.patches(X[rows])
            for columns in _pieces(len(Z), side):
                block[rows, columns] = network.block(x, network.patches(Z[columns]))
        return block


class _Kept:
    """Columns k(X, z) that were computed before. A run's steps, and a classifier's passes, ask for
    the same ones: the same rows, and landmarks of which the coarse ones are some.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most, self._size = most_bytes, 0
        self._lock = threading.Lock()
        self._columns: OrderedDict[tuple[object, ...], Vector] = OrderedDict()

    def block(
        self,
        kernel: ConvolutionalKernel,
        X: Matrix,
        Z: Matrix,
        compute: Callable[[Matrix, Matrix], Matrix],
    ) -> Matrix:
        """The block, of which only columns that are not kept are computed."""
        rows = (kernel, _digest(X))
        names = [(*rows, _digest(z)) for z in Z]
        with self._lock:
            known = {name: self._columns[name] for name in names if name in self._columns}
        new = {name: i for i, name in enumerate(names) if name not in known}
        if new:
            columns = compute(X, Z[list(new.values())]).T.copy()
            known.update(zip(new, columns, strict=True))
        with self._lock:
            self._keep({name: known[name] for name in names})
        block = np.empty((len(X), len(Z)))
        for column, name in zip(block.T, names, strict=True):
            column[:] = known[name]
        return block

    def _keep(self, columns: dict[tuple[object, ...], Vector]) -> None:
        """The newest last; the oldest leave."""
        for name, column in columns.items():
            if name not in self._columns:
                self._size += column.nbytes
            self._columns[name] = column
            self._columns.move_to_end(name)
        while self._size > self._most:
            self._size -= self._columns.popitem(last=False)[1].nbytes


_KEPT = _Kept(_KEPT_BYTES)


def _digest(X: Matrix) -> bytes:
    return hashlib.blake2b(X.tobytes(), digest_size=16).digest()


def _pieces(rows: int, at_most: int) -> Iterator[slice]:
    return (slice(start, start + at_most) for start in range(0, rows, at_most))
