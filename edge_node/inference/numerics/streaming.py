"""Sums over rows with all cores: each core adds blocks of rows to a sum of its own.

A core's blocks are small enough for the caches, and its BLAS calls take no other thread. Where
there are fewer sums than cores, each is taken in parts, over shares of the rows, and its parts are
added at the end. Which rows go to which part, and so the digits of the result, depends on the
chunks, the number of sums and the number of threads alone.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from itertools import pairwise
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import OpenBLASController, ThreadpoolController

from edge_node.arrays import Matrix, Rows, Vector
from edge_node.inference.numerics.compiled import aligned_empty

__all__ = [
    "BLOCK_ROWS",
    "RunningSum",
    "Scratch",
    "accumulate",
    "blas_threads",
    "blocks",
    "in_parts",
    "one_thread",
]

BLOCK_ROWS = 1024
"""Rows per block where nothing else is said."""

_BLOCK_VALUES = 1 << 20
"""Numbers per block of a sum, 8 MiB: a rank-k update is at full speed from k = 512 on."""

_FEWEST_SHARED = 256
"""Rows that are worth a second thread, and a second sum to add them to."""

_MANY_ROWS = 5000
"""Rows from which more than one thread pays. With fewer, matrices are small, and BLAS's threads
mostly wait for each other in loops that take a processor: 1,455 rows took 20 CPU seconds with two
threads on a busy machine, 3.4 with one."""

_MOST_THREADS = 8
"""Each has its own sums: memory is bounded on a machine with many cores, too."""


class Scratch:
    """A thread's memory for blocks, used again: new memory costs time and fragments the heap."""

    def __init__(self) -> None:
        self._memory = aligned_empty((0, 1))

    def blocks(self, count: int, rows: int, columns: int) -> NDArray[np.float64]:
        """Uninitialised blocks (count, rows, columns), valid until the next call."""
        size = count * rows * columns
        if size > len(self._memory):
            self._memory = aligned_empty((size, 1))
        return self._memory[:size].reshape(count, rows, columns)


class RunningSum(Protocol):
    """Something that rows are added to."""

    def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
        """Add a block of rows X (n, d), y (n,) or (n, q); ``scratch`` is memory to work in."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another sum holds."""
        ...


Sum = TypeVar("Sum", bound=RunningSum)


def accumulate(rows: Rows, new: Callable[[], Sequence[Sum]], columns: int) -> Sequence[Sum]:
    """Add all rows to each of some sums, in one pass with as many threads as BLAS may take.

    Memory is that of the sums, or of one sum a thread, whichever is more, and of one block a
    thread: it doesn't grow with the rows.

    Args:
        rows: chunks (X (n, d), y (n,) or (n, q)).
        new: makes the sums, one or more, empty.
        columns: how many numbers a sum computes for each row; decides how many rows make a block.

    Returns:
        Sums in the order of ``new``. The same chunks and threads give the same bits.
    """
    with one_thread() as threads:
        parts = [new()]
        most = max(1, threads // len(parts[0]))
        size = max(1, _BLOCK_VALUES // columns)
        _share(rows, parts, new, most=most, size=size, threads=threads)
    first, *others = parts
    for part in others:
        for total, each in zip(first, part, strict=True):
            total.merge(each)
    return first


def in_parts(
    function: Callable[[Matrix], tuple[Vector, ...]], X: Matrix, size: int = BLOCK_ROWS
) -> tuple[Vector, ...]:
    """``function`` of all rows of X (n, d), some at a time, on all cores, joined in order.

    Args:
        function: from rows (k, d) to arrays of k rows; k = 0 only if n = 0.
        X: (n, d).
        size: rows at a time, at most.
    """
    if len(X) < _FEWEST_SHARED:
        return function(X)
    with one_thread() as threads, ThreadPoolExecutor(threads) as pool:
        parts = np.array_split(X, max(threads, -(-len(X) // size)))
        return tuple(np.concatenate(each) for each in zip(*pool.map(function, parts), strict=True))


def blocks(rows: Rows, size: int = BLOCK_ROWS) -> Iterator[tuple[Matrix, Vector]]:
    """The same rows in blocks of at most ``size``; empty chunks are skipped."""
    for X, y in rows:
        step = -(-len(X) // max(1, -(-len(X) // size)))  # as even as can be
        for start in range(0, len(X), max(1, step)):
            yield X[start : start + step], y[start : start + step]


def _share(
    rows: Rows,
    parts: list[Sequence[Sum]],
    new: Callable[[], Sequence[Sum]],
    *,
    most: int,
    size: int,
    threads: int,
) -> None:
    """Deal each chunk out to the parts of every sum; meanwhile the next chunk is read.

    A chunk of few rows goes to the first part, in this thread: starting others would cost more.
    There are ``most`` parts as soon as a chunk has many rows.
    """
    memory, running = [Scratch() for _ in range(threads)], list[Future[None]]()
    with ThreadPoolExecutor(threads) as pool:
        for X, y in rows:
            _finish(running)
            if len(X) < _FEWEST_SHARED:
                for each in parts[0]:
                    _add(each, (X, y), size, memory)
                continue
            parts += [new() for _ in range(most - len(parts))]
            cuts = [len(X) * i // len(parts) for i in range(len(parts) + 1)]
            shares = [(X[start:stop], y[start:stop]) for start, stop in pairwise(cuts)]
            running = [
                pool.submit(_add, each, share, size, memory)
                for sums, share in zip(parts, shares, strict=True)
                for each in sums
            ]
        _finish(running)


def _add(part: RunningSum, chunk: tuple[Matrix, Vector], size: int, memory: list[Scratch]) -> None:
    """Add a chunk, in a ``memory`` that no other thread uses: there is one for each."""
    scratch = memory.pop()
    try:
        for X, y in blocks([chunk], size):
            part.add(X, y, scratch)
    finally:
        memory.append(scratch)


def _finish(running: Sequence[Future[None]]) -> None:
    """Wait for all; raise what one of them raised."""
    for each in running:
        each.result()


class _Blas:
    """NumPy's and SciPy's BLAS libraries, whose number of threads is the process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[int] = []  # that are in force, each set by somebody
        self._alone = 0  # how many want a single thread for a while
        self._before: list[int] = []  # each library's number, where nobody sets one
        self._set: list[int] = []  # each library's number now

    @contextmanager
    def one_thread(self) -> Iterator[int]:
        """See the module's function of this name."""
        with self._changed():
            self._alone += 1
            threads = min([max(self._before, default=1), *self._limits, _MOST_THREADS])
        try:
            yield threads
        finally:
            with self._changed():
                self._alone -= 1

    @contextmanager
    def limited(self, threads: int) -> Iterator[None]:
        """Inside, each BLAS call takes at most so many threads."""
        with self._changed():
            self._limits.append(threads)
        try:
            yield
        finally:
            with self._changed():
                self._limits.remove(threads)

    @contextmanager
    def _changed(self) -> Iterator[None]:
        """Change who wants what, and set the libraries' numbers to the least that is wanted."""
        with self._lock:
            if not self._alone and not self._limits:
                self._before = [library.num_threads for library in _libraries()]
                self._set = self._before
            yield
            most = [*self._limits, *([1] if self._alone else [])]
            wanted = [min([own, *most]) for own in self._before]
            if wanted != self._set:
                _set_threads(wanted)
                self._set = wanted


def _set_threads(numbers: Sequence[int]) -> None:
    """Set each library's number of threads; the caller holds the lock.

    Newer versions of threadpoolctl let only the first thread that set a number set another one.
    Here any thread may, so that claim is cleared before and after.
    """
    free = getattr(OpenBLASController, "clear_controlling_thread", lambda *, force: None)
    free(force=True)
    for library, number in zip(_libraries(), numbers, strict=True):
        library.set_num_threads(number)
    free(force=True)


@cache
def _libraries() -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


_blas = _Blas()


def one_thread() -> AbstractContextManager[int]:
    """Inside, each BLAS call of the process takes one thread.

    More threads cost more than they bring where calls are small, where two BLAS libraries take
    turns, or where other programs want the cores. Yields how many threads a call may take outside.
    """
    return _blas.one_thread()


def blas_threads(threads: int | None, rows: int) -> AbstractContextManager[None]:
    """Inside, each BLAS call of the process takes at most so many threads.

    Args:
        threads: how many, 1 or more. None: one where rows are few, otherwise as many as outside.
        rows: how many rows are learnt from.
    """
    if threads is None and rows >= _MANY_ROWS:
        return nullcontext()
    return _blas.limited(threads or 1)
