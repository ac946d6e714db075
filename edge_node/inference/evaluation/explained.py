"""How much a model explains, by its evidence, against a model that doesn't look at the inputs.

The evidence of n rows is the product of predictions, each of a row from those before it. So what it
gains on the mean, or on the shares of the classes, isn't flattered as a fit to the same rows is.
With L0 the log likelihood of the best constant model and g = L - L0, in nats,

    regression        share of the variance explained    1 - exp(-2 g / n)    (Cox & Snell 1989)
    classification    share of the entropy explained     g / -L0              (McFadden 1974)

Both are zero for a model that has learnt nothing.
"""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.messages.statistics import Statistics

__all__ = ["Explained", "explained_classes", "explained_variance"]

_LEAST = 3.0  # nats: a constant model gains as much by chance in about one of twenty cases


@dataclass(frozen=True)
class Explained:
    """What a model explains.

    Attributes:
        share: of the target's variance, or of the classes' entropy; between 0 and 1.
        gain: in log evidence on a constant model, less what the choice of the metric costs; nats.
    """

    share: float
    gain: float

    @property
    def nothing(self) -> bool:
        """Whether the model predicts no better than one that doesn't look at the inputs."""
        return self.gain < _LEAST


def explained_variance(
    log_evidence: float, count: int, statistics: Statistics, price: float
) -> Explained:
    """Of a regression, or of a label regression.

    Args:
        log_evidence: of the posterior, nats.
        count: n, the rows it is of.
        statistics: sums over the same rows, or most of them: the mean power of the targets.
        price: what the choice of the metric costs, nats.
    """
    power = statistics.target_power / (statistics.count * statistics.outputs)
    constant = -0.5 * count * statistics.outputs * (np.log(2.0 * np.pi * power) + 1.0)
    gain = float(log_evidence - price - constant)
    share = -np.expm1(-2.0 * max(gain, 0.0) / (count * statistics.outputs))
    return Explained(float(share), gain)


def explained_classes(bound: float, count: int, offsets: Vector, price: float) -> Explained:
    """Of a classifier.

    Args:
        bound: the variational bound, nats.
        count: n, the rows it is of.
        offsets: the log shares of the classes (C,).
        price: what the choice of the metric costs, nats.
    """
    constant = count * float(np.exp(offsets) @ offsets)
    gain = float(bound - price - constant)
    return Explained(min(max(gain, 0.0) / -constant, 1.0), gain)
