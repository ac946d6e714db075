"""What was asked for last is kept."""

import copy
from threading import Event, Thread

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


def test_what_is_there_is_given_while_another_thing_is_made() -> None:
    """Making takes long, and looking doesn't; who asks for what isn't there yet waits for it."""
    recent: Recent[int] = Recent(3)
    recent(1, lambda: -1)
    making, asked, found = Event(), Event(), list[int]()

    def make() -> int:
        making.set()
        asked.wait(60)  # without an answer, it ends
        return -2

    def fail() -> int:
        raise AssertionError("made twice")

    first = Thread(target=lambda: found.append(recent(2, make)))
    second = Thread(target=lambda: found.append(recent(2, fail)))
    first.start()
    assert making.wait(60)
    second.start()
    there = Thread(target=lambda: (found.append(recent(1, fail)), asked.set()))
    there.start()
    for each in (first, second, there):
        each.join()
    assert found == [-1, -2, -2]


def test_copies_begin_with_nothing() -> None:
    """What they would hold may be large."""
    recent: Recent[int] = Recent(2)
    recent(1, lambda: 1)
    assert copy.deepcopy(recent)(1, lambda: 2) == 2
