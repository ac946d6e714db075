"""What is watched of a run of messages: the beliefs after each step, against the exact answer."""

from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Vector
from edge_node.demo.graph.joined import Joined
from edge_node.demo.graph.rows import Handful
from edge_node.inference.messages.propagation.solution import Variances

__all__ = ["Frame", "Phase", "exact_frame", "frame"]

_ROUNDING = 1e-9  # an error below this share of the targets' deviation is called rounding


@dataclass(frozen=True)
class Frame:
    """The rows' beliefs after a step, in the target's units.

    Attributes:
        step: how many steps so far.
        messages: how many messages came to rows so far, or were lost on the way.
        mean: each row's, (n,).
        deviation: each row's, (n,); NaN where a belief has no variance.
        mean_error: the largest difference from an exact mean.
        deviation_error: the largest difference from an exact standard deviation; NaN where there
            is none.
        rounding: an error below is rounding.
    """

    step: int
    messages: int
    mean: Vector
    deviation: Vector
    mean_error: float
    deviation_error: float
    rounding: float

    @property
    def arrived(self) -> bool:
        """Whether the means are exact to rounding."""
        return self.mean_error <= self.rounding


@dataclass(frozen=True)
class Phase:
    """One graph and one way of passing messages, watched.

    Attributes:
        name: in one word, for programs.
        title: for people.
        lines: what it teaches, one idea a line.
        joined: the graph, with its exact answer.
        exact: that answer, in the target's units.
        frames: step by step.
        variances: whether those that the messages come to are exact; None: there is no answer.
        certificate: what is known before the first message; empty where nobody asked.
        refusal: why there is no answer; empty where there is one.
    """

    name: str
    title: str
    lines: tuple[str, ...]
    joined: Joined
    exact: Frame
    frames: tuple[Frame, ...]
    variances: Variances | None
    certificate: str = ""
    refusal: str = ""

    @property
    def deviation_off(self) -> float:
        """Of the last deviations the one that is farthest off: 0.1 is 10 % too large."""
        shares = self.frames[-1].deviation / self.exact.deviation - 1.0
        return float(shares[np.abs(shares).argmax()])


def frame(
    rows: Handful, joined: Joined, mean: Vector, variance: Vector, *, step: int, messages: int
) -> Frame:
    """Standardised beliefs (n,) in the target's units, compared with the exact ones."""
    deviation = np.sqrt(np.where(variance > 0, variance, np.nan))
    mean_error = np.abs(mean - joined.mean).max()
    deviation_error = np.abs(deviation - joined.deviation).max()
    return Frame(
        step,
        int(messages),
        rows.mean + rows.deviation * mean,
        rows.deviation * deviation,
        rows.deviation * float(mean_error),
        rows.deviation * float(deviation_error),
        _ROUNDING * rows.deviation,
    )


def exact_frame(rows: Handful, joined: Joined) -> Frame:
    """The exact beliefs."""
    return frame(rows, joined, joined.mean, joined.deviation**2, step=0, messages=0)
