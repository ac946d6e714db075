"""How much each input matters: how far the metric stretches it.

The kernel sees T x. A step along input j moves T x by the j-th column of T, so the j-th diagonal
entry of T'T says how strongly the function was found to vary along it, on average over all rows
(Radhakrishnan et al. 2024). Inputs are encoded: numbers per standard deviation, categories per
change of label. Relevance tells what the model uses, not what causes the target.
"""

import numpy as np

from edge_node.arrays import Vector
from edge_node.inference.features.nystrom import Features

__all__ = ["relevance"]


def relevance(features: Features, inputs: int) -> Vector:
    """The share (d,) of each of d = ``inputs`` encoded inputs; they sum to one.

    Where no metric was learnt, all are equal.
    """
    if features.metric is None:
        return np.full(inputs, 1.0 / inputs)
    shares: Vector = np.square(features.metric).sum(axis=0)
    return shares / float(shares.sum())
