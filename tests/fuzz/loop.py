"""The long mode's loop: many inputs, each within a time, and what they cost."""

import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType

from tests.fuzz.mutation import mutated
from tests.fuzz.targets import Target, held

__all__ = ["Finding", "Outcome", "fuzz", "memory"]

_PATIENCE = 10  # seconds for one input


class Finding(Exception):
    """An input that did something else than being read or refused."""


@dataclass(frozen=True)
class Outcome:
    """What a target's inputs cost: their number, seconds in all and for the slowest one, and the
    process's growth in megabytes after the first tenth of them.
    """

    name: str
    inputs: int
    seconds: float
    slowest: float
    growth: float


def fuzz(target: Target, inputs: int, seed: int) -> Outcome:
    """Give a target so many mutated inputs. Raises Finding with the input and what it caused."""
    random = Random(f"{seed} {target.name}")
    seconds = slowest = growth = 0.0
    kept = list(target.seeds)
    for number in range(inputs):
        if number == inputs // 10:
            growth = memory()
        data = mutated(random.choice(kept), kept, random)
        began = time.perf_counter()
        with _limited(target, data):
            held(target, data)
        took = time.perf_counter() - began
        seconds, slowest = seconds + took, max(slowest, took)
    return Outcome(target.name, inputs, seconds, slowest, memory() - growth)


@contextmanager
def _limited(target: Target, data: bytes) -> Iterator[None]:
    def late(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not done after {_PATIENCE} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    except Exception as error:
        raise Finding(f"{target.name}: {type(error).__name__}: {error}: {data!r}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def memory(process: int | str = "self") -> float:
    """Megabytes that a process has in memory now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def shared_out(targets: Sequence[Target], inputs: int) -> dict[str, int]:
    """How many inputs each target gets, in proportion to its share; at least ``inputs`` in all."""
    whole = sum(target.share for target in targets)
    return {target.name: -(-inputs * target.share // whole) for target in targets}
