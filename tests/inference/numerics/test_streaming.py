"""Sums with all cores: every row once, the same bits every time, errors handed on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from edge_node.arrays import Matrix, Vector
from edge_node.inference.messages.statistics import local_statistics
from edge_node.inference.numerics.streaming import (
    BLOCK_ROWS,
    Scratch,
    accumulate,
    blas_threads,
    in_parts,
)
from edge_node.inference.regression.conditional import local_conditional
from tests.inference.problems import features_on, normal, regression, statistics_of

CHUNKS = [(normal(i, rows, 2), np.arange(float(rows))) for i, rows in enumerate((0, 5, 3000, 1, 0))]
ROWS = sum(len(X) for X, _ in CHUNKS)


class Seen:
    """Counts rows, notes blocks and threads."""

    def __init__(self) -> None:
        self.rows, self.largest, self.threads = 0, 0, set[int]()

    def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
        """A block."""
        assert len(X) == len(y)
        self.rows += len(X)
        self.largest = max(self.largest, len(X))
        self.threads.add(threading.get_ident())
        assert all(each["num_threads"] == 1 for each in blas_info())

    def merge(self, other: "Seen") -> None:
        """All of it."""
        self.rows += other.rows
        self.largest = max(self.largest, other.largest)
        self.threads |= other.threads


def blas_info() -> list[dict[str, object]]:
    """NumPy's and SciPy's BLAS."""
    return ThreadpoolController().select(user_api="blas").info()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_row_is_seen_once(threads: int) -> None:
    """By as many threads as BLAS may take, in blocks; BLAS itself takes one, and is given back.

    The caller's own thread is one more, which adds chunks of few rows while the others wait.
    """
    with threadpool_limits(threads, user_api="blas"):
        before = blas_info()
        allowed = max(each["num_threads"] for each in before)
        first, second = accumulate(CHUNKS, lambda: [Seen(), Seen()], (1 << 20) // 100)
        assert blas_info() == before
    assert first.rows == second.rows == ROWS
    assert first.largest <= 100
    assert len(first.threads - {threading.get_ident()}) <= allowed


@pytest.mark.parametrize("threads", [1, 3])
def test_few_rows_start_no_thread_and_no_second_sum(threads: int) -> None:
    """A site of nine rows shouldn't pay for more; one chunk of many rows does."""
    made = list[Seen]()

    def new() -> list[Seen]:
        made.append(Seen())
        return made[-1:]

    few = [(normal(0, 9, 2), np.zeros(9))] * 3
    with threadpool_limits(threads, user_api="blas"):
        allowed = max(each["num_threads"] for each in blas_info())
        accumulate(few, new, 1)
        assert [(each.rows, each.threads) for each in made] == [(27, {threading.get_ident()})]
        made.clear()
        accumulate(CHUNKS, new, 1)
    assert len(made) == allowed


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_rows_give_the_same_bits(threads: int) -> None:
    """However the threads happen to run."""
    X, y = regression(0, rows=2 * BLOCK_ROWS + 77)
    features, rows = features_on(normal(5, 150, 3)), [(X[:2000], y[:2000]), (X[2000:], y[2000:])]
    with threadpool_limits(threads, user_api="blas"):
        found = {statistics_of(rows, features).pack().tobytes() for _ in range(5)}
        assert len(found) == 1
        noises = {local_conditional(rows, features, [0.1])[0].pack().tobytes() for _ in range(5)}
        assert len(noises) == 1


def test_candidates_share_a_pass() -> None:
    """Each gets what it would get alone, to rounding, and rows are read once."""
    X, y = regression(0)
    candidates = [features_on(normal(i, 12, 3)) for i in range(3)]
    once = iter([(X[:50], y[:50]), (X[50:], y[50:])])
    together = local_statistics(once, candidates)
    for features, found in zip(candidates, together, strict=True):
        alone = statistics_of([(X[:50], y[:50]), (X[50:], y[50:])], features)
        np.testing.assert_allclose(found.pack(), alone.pack(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sums", [1, 2, 3, 7])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_no_more_sums_are_held_than_are_needed(sums: int, threads: int) -> None:
    """One a thread, or as many as were asked for: a sum may be a matrix of gigabytes."""
    made = list[Seen]()

    def new() -> list[Seen]:
        made.extend(Seen() for _ in range(sums))
        return made[-sums:]

    with threadpool_limits(threads, user_api="blas"):
        allowed = max(each["num_threads"] for each in blas_info())
        found = accumulate(CHUNKS, new, 1)
    assert [each.rows for each in found] == [ROWS] * sums
    assert len(made) <= max(sums, allowed)
    assert len(made) > max(sums, allowed) - sums


def test_an_error_in_a_thread_is_the_callers() -> None:
    """And BLAS has its threads back."""

    class Failing(Seen):
        def add(self, X: Matrix, y: Vector, scratch: Scratch) -> None:
            raise ArithmeticError("in a thread")

    before = blas_info()
    with pytest.raises(ArithmeticError, match="in a thread"):
        accumulate(CHUNKS, lambda: [Failing()], 1)
    assert blas_info() == before


def test_passes_may_overlap() -> None:
    """In threads of their own, while another thread has set a limit: it stays as it was."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_info()
        with ThreadPoolExecutor(4) as pool:
            passes = [pool.submit(accumulate, CHUNKS, lambda: [Seen()], 1) for _ in range(8)]
            assert all(each.result()[0].rows == ROWS for each in passes)
        assert blas_info() == before


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 3000])
def test_parts_are_joined_in_order(rows: int) -> None:
    """Few rows in one part, many on all cores; several results at once."""
    X, sizes = normal(0, rows, 2), list[int]()

    def both(part: Matrix) -> tuple[Vector, Vector]:
        sizes.append(len(part))
        return part[:, 0], 2.0 * part[:, 1]

    before = blas_info()
    first, second = in_parts(both, X, 1000)
    assert np.array_equal(first, X[:, 0])
    assert np.array_equal(second, 2.0 * X[:, 1])
    assert sum(sizes) == rows
    assert max(sizes) <= 1000
    assert blas_info() == before


def test_scratch_memory_is_used_again() -> None:
    """Blocks of one call don't overlap; those of the next take the same memory, or more."""
    scratch = Scratch()
    first, second = scratch.blocks(2, 5, 3)
    first[:], second[:] = 1.0, 2.0
    assert (first == 1.0).all()
    (again,) = scratch.blocks(1, 2, 3)
    assert np.shares_memory(again, first)
    assert scratch.blocks(3, 7, 4).shape == (3, 7, 4)
    assert scratch.blocks(1, 0, 4).shape == (1, 0, 4)


def numbers() -> list[object]:
    """The number of threads of each BLAS library."""
    return [each["num_threads"] for each in blas_info()]


def test_few_rows_take_one_thread_and_many_take_what_there_are() -> None:
    """Or as many as are asked for; afterwards it is as it was."""
    with threadpool_limits(3, user_api="blas"):
        three = numbers()
        for threads, rows, expected in [
            (None, 300, [1] * len(three)),
            (None, 100_000, three),
            (2, 300, [2] * len(three)),
        ]:
            with blas_threads(threads, rows):
                assert numbers() == expected
            assert numbers() == three


def test_a_sum_takes_no_more_threads_than_the_limit() -> None:
    """Its own threads stand for those that BLAS may take."""
    with threadpool_limits(3, user_api="blas"), blas_threads(1, 10**6):
        (seen,) = accumulate(CHUNKS, lambda: [Seen()], 1)
    assert len(seen.threads - {threading.get_ident()}) == 1


def test_limits_may_overlap() -> None:
    """In threads of their own, as with scikit-learn's `n_jobs`: the first to come isn't the first
    to go.
    """
    with threadpool_limits(3, user_api="blas"):
        three = numbers()
        first, second = blas_threads(1, 9), blas_threads(2, 9)
        first.__enter__()
        second.__enter__()
        assert numbers() == [1] * len(three)
        first.__exit__(None, None, None)
        assert numbers() == [2] * len(three)
        second.__exit__(None, None, None)
        assert numbers() == three
