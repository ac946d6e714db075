"""What a site sees of its columns' tails: values far beyond all others, and logarithmic shapes.

A cell of 1e9 among ordinary ones would be its column's mean and deviation, and all other cells
would be one number to the model. So a site moves such *wild* values inwards before it sums: those
beyond thirty deviations, as the quartiles have them, count as the outermost value that isn't.
Moments of what is left are those of the column.

A column may also be *heavy-tailed* throughout: incomes, concentrations, counts of events. No scale
suits it as it is, but its logarithm is an ordinary column. A site says so of columns whose outer
quantiles lie much further out than a normal distribution's. It compares two ratios with it: of the
5 % quantiles' distance to the quartiles', and of the 1 % quantiles' to the 5 % quantiles'. Both are
large for lognormal (sigma 1.5 and up) and Cauchy columns. A mixture of a narrow and a broad part
has a large first one only, a few wild cells a large second one only.

Everything here is a function of the site's own rows. What is told of it are counts
(`edge_node.data.sums.counts`, `edge_node.data.sums.units`).
"""

from statistics import NormalDist

import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.data.encoding.signed_log import SignedLog

__all__ = ["deviation", "tail_votes", "unit_about_zero", "without_wild"]

_FEWEST = 16  # values from which a tail can be told
_FAR = 30.0  # deviations beyond which a value is wild
_HEAVY = 1.5  # times a normal distribution's ratio of quantiles
_INNER = 0.25  # the quantile for a deviation
_FIRST = 0.05  # the quantile at which a logarithm about zero begins


def without_wild(sample: Matrix, low: Vector, high: Vector) -> tuple[Vector, Vector]:
    """The bounds (columns,) of what is summed, moved inwards where the values at them are wild.

    Args:
        sample: (n, columns), values by which it is judged; NaN is a missing one.
        low: (columns,), bounds below which a value counts as the bound.
        high: those above which it does.
    """
    found = [
        _without_wild(column[~np.isnan(column)], *ends)
        for column, *ends in zip(sample.T, low.tolist(), high.tolist(), strict=True)
    ]
    bounds = np.array(found).reshape(-1, 2)
    return bounds[:, 0], bounds[:, 1]


def _without_wild(values: Vector, low: float, high: float) -> tuple[float, float]:
    sd = deviation(values)
    if not sd > 0:
        return low, high
    first, last = np.quantile(values, (0.25, 0.75)).tolist()
    least, most = first - _FAR * sd, last + _FAR * sd
    if low < least:
        low = float(values[values >= least].min())
    if high > most:
        high = float(values[values <= most].max())
    return low, high


def deviation(values: Vector) -> float:
    """The standard deviation of a normal distribution with these values' (n,) quartiles. Where half
    of the values are the same, with the others' quartiles. 0: there are few values, or few others.
    """
    if len(values) < _FEWEST:
        return 0.0
    if (width := _width(values, _INNER)) > 0:
        return width
    others = values[values != np.median(values)]
    return _width(others, _INNER) if len(others) >= _FEWEST else 0.0


def tail_votes(sample: Matrix) -> Matrix:
    """Which columns are heavy-tailed, as zeros and ones (columns, 2): whose logarithm about zero
    isn't, and which need one about their mean.

    Args:
        sample: (n, columns) as for `without_wild`.
    """
    votes = np.zeros((sample.shape[1], 2))
    for vote, column in zip(votes, sample.T, strict=True):
        values = column[~np.isnan(column)]
        if _heavy(values):
            vote[0 if _suits_zero(values) else 1] = 1.0
    return votes


def unit_about_zero(values: Vector) -> float:
    """Where a logarithm about zero begins: at the 5 % quantile of sizes that aren't zero; 0: all
    are.
    """
    sizes = np.abs(values[values != 0])
    return float(np.quantile(sizes, _FIRST)) if len(sizes) else 0.0


def _suits_zero(values: Vector) -> bool:
    """Whether values of one sign, apart from a few, are ordinary as logarithms."""
    first, last = np.quantile(values, (_FIRST, 1.0 - _FIRST))
    if first < 0 < last:
        return False
    return not _heavy(SignedLog(0.0, unit_about_zero(values))(values))


def _heavy(values: Vector) -> bool:
    if len(values) < _FEWEST or not (inner := _width(values, _INNER)) > 0:
        return False  # a column that is mostly one value is no logarithm either
    outer, outermost = _width(values, 0.05), _width(values, 0.01)
    return outer > _HEAVY * inner and outermost > _HEAVY * outer


def _width(values: Vector, p: float) -> float:
    """The distance of the p and 1 - p quantiles, as a normal distribution's deviation."""
    low, high = np.quantile(values, (p, 1.0 - p))
    return float(high - low) / (2.0 * NormalDist().inv_cdf(1.0 - p))
