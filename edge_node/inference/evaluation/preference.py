"""Which of two posteriors a site prefers, by how well they predict rows that they haven't seen."""

import numpy as np

from edge_node.arrays import Vector

__all__ = ["prefers_own"]

_BATCHES = 20  # of consecutive rows: neighbours in time have errors in common
_ERRORS = 3.0
"""Standard errors by which the other posterior must be better. Later rows come in few seasons, so
that batches are alike, too: at one of twelve stations the worse one was better by 2.3."""


def prefers_own(own: Vector, shared: Vector) -> bool:
    """Whether a site's own posterior is to answer, rather than the one that all share.

    The site's own knows all that the shared one knows, and more. So it answers unless held-out rows
    show that it is worse: that its mean loss is higher by more than three standard errors. They are
    those of the means of batches of consecutive rows (Law & Kelton 2000, section 9.5.3).

    Args:
        own: -log p (n,) of held-out rows in the site's own posterior, in an order in which
            neighbours may be alike.
        shared: the same rows' in the shared one.

    Returns:
        False without rows.
    """
    if not len(own):
        return False
    batches = np.array_split(own - shared, min(_BATCHES, len(own)))
    means = np.array([batch.mean() for batch in batches])
    error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else 0.0
    return bool(means.mean() <= _ERRORS * error)
