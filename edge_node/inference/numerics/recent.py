"""Things that take long to make and much memory: the ones asked for last are kept."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, Self, TypeVar

__all__ = ["Recent"]

Thing = TypeVar("Thing")


class Recent(Generic[Thing]):
    """At most some things, by number. Where several threads ask for one, one of them makes it, and
    those that ask for another one, which is there, don't wait.
    """

    def __init__(self, most: int) -> None:
        self._most, self._things = most, dict[int, Thing]()
        self._making, self._looking = Lock(), Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        """Copies, and what is pickled, begin with nothing made."""
        return type(self), (self._most,)

    def __call__(self, number: int, make: Callable[[], Thing]) -> Thing:
        """The thing with this number, made if it isn't there."""
        found = self._kept(number)
        if found is not None:
            return found
        with self._making:
            found = self._kept(number)  # another thread may have made it
            return self._keep(number, make()) if found is None else found

    def _kept(self, number: int) -> Thing | None:
        """Now it is the last one that was asked for."""
        with self._looking:
            if number not in self._things:
                return None
            self._things[number] = self._things.pop(number)
            return self._things[number]

    def _keep(self, number: int, thing: Thing) -> Thing:
        with self._looking:
            self._things[number] = thing
            if len(self._things) > self._most:
                del self._things[next(iter(self._things))]
        return thing
