"""What was asked for last is kept."""

import copy
from threading import Thread

from edge_node.inference.numerics.recent import Recent


def test_the_last_ones_are_kept() -> None:
    """Whatever was asked for longest ago is made again."""
    made: list[int] = []
    recent: Recent[int] = Recent(2)

    def ask(number: int) -> int:
        return recent(number, lambda: made.append(number) or -number)

    assert [ask(n) for n in (1, 2, 1, 3, 1, 2)] == [-1, -2, -1, -3, -1, -2]
    assert made == [1, 2, 3, 2]


def test_a_thing_is_made_once_whoever_asks() -> None:
    """Of eight threads."""
    made: list[int] = []
    recent: Recent[int] = Recent(2)
    threads = [Thread(target=lambda: recent(7, lambda: made.append(7) or 7)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert made == [7]


def test_copies_begin_with_nothing() -> None:
    """What they would hold may be large."""
    recent: Recent[int] = Recent(2)
    recent(1, lambda: 1)
    assert copy.deepcopy(recent)(1, lambda: 2) == 2
