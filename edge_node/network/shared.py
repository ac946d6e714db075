"""Values that nodes in one process compute once for all of them.

Between two steps every node computes the same from the same totals: features, posteriors,
candidates. In a process of its own it must. Where many nodes are simulated in one, that work, and
the memory of its results, would grow with the nodes although the answer is the same.

Nodes ask for values in the same order, so a value is found by its place in that order.
"""

from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

from edge_node.errors import NetworkError

__all__ = ["Shared"]

T = TypeVar("T")


class Shared:
    """What all nodes compute alike between two steps, in the order in which they ask for it."""

    def __init__(self) -> None:
        self._values: list[tuple[CodeType | None, Any]] = []

    def value(self, index: int, compute: Callable[[], T]) -> T:
        """The value at ``index``. Raises NetworkError if another function was asked for there."""
        place = getattr(getattr(compute, "func", compute), "__code__", None)
        if index == len(self._values):
            self._values.append((place, compute()))
        expected, value = self._values[index]
        if place is not expected:
            raise NetworkError(
                "the nodes' programs differ", expected=str(expected), found=str(place)
            )
        return value  # type: ignore[no-any-return]

    def forget(self) -> None:
        """A step is complete: every node that is left has asked for all it wants."""
        self._values.clear()
