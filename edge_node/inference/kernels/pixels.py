"""An infinitely wide convolutional network's kernel, from the covariances of all pairs of pixels.

After a layer, the network's signals at pixel i of one image and at pixel j of another have the
covariance S_ij. A 3 x 3 convolution averages S over the nine pairs of neighbours (i + o, j + o),
of which those beyond an edge are zero (Garriga-Alonso et al. 2019, eq. 7); a nonlinearity maps each
pair on its own (``activations``). The trained network's Theta follows S (Arora et al. 2019,
sec. 4).
"""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.config import Activation
from edge_node.inference.kernels.activations import NONLINEARITIES, Signals

__all__ = ["PixelNetwork"]

_NEIGHBOURS = 9


@dataclass(frozen=True)
class PixelNetwork:
    """``depth`` times a convolution and a nonlinearity, a mean over all pixels, a dense layer.

    Attributes:
        image: (height, width, channels).
        activation: the nonlinearity.
        depth: the number of convolutions.
        weight_variance: sw2.
        bias_variance: sb2.
    """

    image: tuple[int, int, int]
    activation: Activation
    depth: int
    weight_variance: float
    bias_variance: float

    def patches(self, X: Matrix) -> Matrix:
        """What the first convolution sees of images X (n, pixels x channels): each pixel with its
        neighbours, (n x pixels, 9 x channels).
        """
        channels = self.image[2]
        padded = np.pad(X.reshape(-1, *self.image), ((0, 0), (1, 1), (1, 1), (0, 0)))
        views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return views.reshape(-1, channels * _NEIGHBOURS)

    def block(self, x: Matrix, z: Matrix) -> Matrix:
        """The NTK (n, m) of images.

        Args:
            x: the `patches` of n images.
            z: those of m images.
        """
        channels, forward = self.image[2], NONLINEARITIES[self.activation].forward
        sw2, sb2 = self.weight_variance, self.bias_variance
        share = sw2 / (_NEIGHBOURS * channels)
        S = share * (x @ z.T) + sb2
        p, q = (share * np.vecdot(each, each) + sb2 for each in (x, z))
        theta = S
        for layer in range(self.depth):
            if layer:
                p, q = (self._convolved_power(each) for each in (p, q))
                S = self._convolved(S) + sb2
                theta = S + self._convolved(theta)
            after, slope = forward(np, Signals(p[:, None], q[None, :], _gap(S, p, q)))
            S, theta = after.covariance(np), slope * theta
            p, q = after.p.ravel(), after.q.ravel()
        return sw2 * (self._pooled(S) + self._pooled(theta)) + sb2

    def _convolved(self, S: Matrix) -> Matrix:
        """sw2 times the mean over the pairs of neighbours, for all pairs of pixels."""
        height, width, _ = self.image
        pairs = S.reshape(-1, height, width, S.shape[1] // (height * width), height, width)
        for shift in (np.s_[:, 1:, :, :, 1:], np.s_[:, :, 1:, :, :, 1:]):
            back = tuple(slice(None, -1) if each.start else each for each in shift)
            summed = pairs.copy()
            summed[shift] += pairs[back]
            summed[back] += pairs[shift]
            pairs = summed
        pairs *= self.weight_variance / _NEIGHBOURS
        return pairs.reshape(S.shape)

    def _convolved_power(self, p: Vector) -> Vector:
        """The same for the variances (n x pixels,) of single pixels, and the bias's."""
        height, width, _ = self.image
        padded = np.pad(p.reshape(-1, height, width), ((0, 0), (1, 1), (1, 1)))
        views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        summed: Vector = views.sum(axis=(-2, -1)).ravel()
        return summed * (self.weight_variance / _NEIGHBOURS) + self.bias_variance

    def _pooled(self, S: Matrix) -> Matrix:
        """The mean over all pairs of pixels of each pair of images."""
        pixels = self.image[0] * self.image[1]
        pooled: Matrix = S.reshape(len(S) // pixels, pixels, -1, pixels).mean(axis=(1, 3))
        return pooled


def _gap(S: Matrix, p: Vector, q: Vector) -> Matrix:
    """1 - correlation; of a pixel without variance, one."""
    scales = [np.sqrt(np.where(each > 0.0, each, np.inf)) for each in (p, q)]
    gap = S / scales[0][:, None]
    gap /= -scales[1]
    gap += 1.0
    return np.clip(gap, 0.0, 2.0, out=gap)
