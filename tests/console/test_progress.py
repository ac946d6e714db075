"""How far a run is, in words."""

import pytest

from edge_node import console


@pytest.mark.parametrize(
    ("seconds", "done", "planned", "said"),
    [
        (0.2, 1, None, "1 step done"),
        (0.4, 3, 0, "3 steps done"),
        (0.0, 0, 13, "0 of at most 13 steps"),
        (6.0, 6, 13, "6 of at most 13 steps, about 7 s left"),
        (300.0, 5, 15, "5 of at most 15 steps, about 10 min left"),
        (9.0, 13, 13, "13 of at most 13 steps"),
        (9.0, 14, 13, "14 of at most 14 steps"),
    ],
)
def test_progress_in_words(seconds: float, done: int, planned: int | None, said: str) -> None:
    """Steps of how many, and the time left where there is something to judge it by."""
    assert console.how_far(seconds, done, planned) == said
