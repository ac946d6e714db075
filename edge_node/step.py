"""Names of a program's steps, and of steps that are taken again."""

import re

__all__ = ["repeated_step", "summed_step"]

_AGAIN = "/again-"
_COUNTING = re.compile(r"(.*/)?counts|folds")  # steps that sum counts and nothing but counts


def repeated_step(step: str, times: int) -> str:
    """The name of a step that was taken so many times before."""
    return f"{step}{_AGAIN}{times}" if times else step


def summed_step(step: str) -> str:
    """The step that says what is summed: of a repeated one, the first.

    Whoever compares totals by their step must compare these. A repeated count stands for itself:
    after a crash the others may count who is left, though it tells the counts of who isn't.
    """
    first, again, _ = step.partition(_AGAIN)
    return step if again and _COUNTING.fullmatch(first) else first
