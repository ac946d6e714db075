"""Things that take long to make and much memory: the ones asked for last are kept."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, Self, TypeVar

__all__ = ["Recent"]

Thing = TypeVar("Thing")


class Recent(Generic[Thing]):
    """At most some things, by number. Where several threads ask for one, one of them makes it."""

    def __init__(self, most: int) -> None:
        self._most, self._things, self._making = most, dict[int, Thing](), Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        """Copies, and what is pickled, begin with nothing made."""
        return type(self), (self._most,)

    def __call__(self, number: int, make: Callable[[], Thing]) -> Thing:
        """The thing with this number, made if it isn't there."""
        with self._making:
            thing = self._things.pop(number) if number in self._things else make()
            self._things[number] = thing
            if len(self._things) > self._most:
                del self._things[next(iter(self._things))]
            return thing
