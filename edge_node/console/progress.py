"""How far a run is, in words: steps done of those planned, and the time that is left."""

__all__ = ["how_far"]


def how_far(seconds: float, done: int, planned: int | None) -> str:
    """As "7 of at most 13 steps, about 4 s left".

    The time assumes that the steps to come take as long as those before, and that all are taken. A
    run often ends earlier: where evidence no longer rises, fewer steps are taken.

    Args:
        seconds: since the first step began.
        done: how many steps are complete.
        planned: how many there will be at most; None: that isn't planned yet.
    """
    if not planned:
        return f"{done} step{'s' * (done != 1)} done"
    planned = max(planned, done)  # a step is taken again when a node is lost
    said = f"{done} of at most {planned} steps"
    if not 0 < done < planned:
        return said
    left = seconds * (planned - done) / done
    amount = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
    return f"{said}, about {amount} left"
