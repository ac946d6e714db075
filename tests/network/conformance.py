"""What every network promises to the program: laws, to be run against each implementation.

A law gets `run`: it runs a program once per node of a cohort, and returns each node's result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pytest

from edge_node.config import Level
from edge_node.errors import NetworkError, NumericalError, RefusedError
from edge_node.network.base import Network, decide, sum_and_decide
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.step import Content, Step

__all__ = ["LAWS", "Law", "Run", "vector_of"]


class Run(Protocol):
    """Runs a program at every node; the first failure ends all, and is raised."""

    async def __call__(self, program: Callable[[Network], Awaitable[Any]], /) -> Mapping[str, Any]:
        """Each node's result, by name."""
        ...


Law = Callable[[Run], Awaitable[None]]


def vector_of(node: str, step: str = "s", length: int = 200) -> np.ndarray:
    """Numbers of many magnitudes, different at each node and step."""
    random = np.random.default_rng([*node.encode(), 0, *step.encode()])
    return random.normal(size=length) * 2.0 ** random.integers(-40, 40, size=length)


async def sums_are_exact(run: Run) -> None:
    """The sum of integers is the sum, to the last bit, and whatever is added to what first."""

    async def program(network: Network) -> bytes:
        vector = np.ldexp(np.rint(vector_of(network.node)), -20)
        return (await network.sum(Step("s"), vector)).tobytes()

    results = await run(program)
    exact = sum(np.ldexp(np.rint(vector_of(node)), -20) for node in results)
    assert set(results.values()) == {np.asarray(exact).tobytes()}


async def everybody_gets_the_same_bytes(run: Run) -> None:
    """Sums of any numbers; gathered mappings in the same order; and nobody can change them."""

    async def program(network: Network) -> tuple[bytes, list[tuple[str, bytes]]]:
        total = await network.sum(Step("s"), vector_of(network.node))
        assert not total.flags.writeable
        gathered = await network.gather(Step("g", Content.PUBLIC), network.node.encode() * 3)
        return total.tobytes(), list(gathered.items())

    results = await run(program)
    expected = [(node, node.encode() * 3) for node in sorted(results)]
    plain = sum(vector_of(node) for node in results)
    (total, gathered), *others = results.values()
    np.testing.assert_allclose(np.frombuffer(total), plain, rtol=1e-12, atol=1e-15)
    assert gathered == expected
    assert all(other == (total, gathered) for other in others)


async def empty_vectors_and_bytes_are_no_exception(run: Run) -> None:
    """Nothing at all can be summed and gathered."""

    async def program(network: Network) -> tuple[int, set[bytes]]:
        total = await network.sum(Step("s"), np.zeros(0))
        return total.size, set((await network.gather(Step("g", Content.PUBLIC), b"")).values())

    assert all(result == (0, {b""}) for result in (await run(program)).values())


async def steps_follow_each_other(run: Run) -> None:
    """Nodes that differ in speed don't mix up steps; each step has the whole cohort."""

    async def program(network: Network) -> tuple[list[float], tuple[str, ...]]:
        totals = []
        for i in range(5):
            for _ in range(ord(network.node[-1]) % 4):
                await asyncio.sleep(0)
            totals.append(float((await network.sum(Step(f"s/{i}"), np.array([i + 1.0])))[0]))
        assert network.steps[Step("s/0")] == network.steps[Step("s/4")]
        return totals, network.steps[Step("s/4")]

    results = await run(program)
    expected = [(i + 1.0) * len(results) for i in range(5)], tuple(sorted(results))
    assert all(result == expected for result in results.values())


async def numbers_keep_within_their_bounds(run: Run) -> None:
    """Whatever the scale, sums of what fits are sums; what doesn't fit is refused, by position."""
    bounds = [(3, 2.0**62), (0, None), (2, 1e-9), (2, None), (1, 13.0)]

    async def program(network: Network) -> bytes:
        own = np.array([1, 2, 3, 1e-10, -1e-10, 1e10, np.pi, 1.5])
        for position in (4, 7):
            bad = own.copy()
            bad[position] = 14.0
            with pytest.raises(NumericalError, match=f"position {position} of 8"):
                await network.sum(Step("s"), bad, bounds=bounds)
        return (await network.sum(Step("s"), own, bounds=bounds)).tobytes()

    results = await run(program)
    (total,) = set(results.values())
    nodes = len(results)
    expected = nodes * np.array([1, 2, 3, 1e-10, -1e-10, 1e10, np.pi, 1.5])
    np.testing.assert_allclose(np.frombuffer(total), expected, rtol=1e-15)
    assert np.frombuffer(total)[:3].tolist() == [nodes, 2 * nodes, 3 * nodes]


async def the_root_decides_once(run: Run) -> None:
    """All agree who it is; its choice is everybody's, and made from the total; nobody else is
    asked; and it takes no step of its own.
    """
    asked = []

    async def program(network: Network) -> tuple[str, float, bytes, bytes]:
        def choose(total: np.ndarray) -> bytes:
            asked.append(network.node)
            return f"as {network.node} says, {total[0]:g}".encode()

        total, choice = await sum_and_decide(network, Step("s"), np.ones(2), choose)
        assert list(network.steps) == [Step("s")]
        other = await decide(network, "choice", lambda: choose(np.zeros(1)))
        return network.root, float(total[1]), choice, other

    results = await run(program)
    ((root, total, choice, other),) = set(results.values())
    assert total == len(results)
    assert choice == f"as {root} says, {total:g}".encode()
    assert other == f"as {root} says, 0".encode()
    assert asked == [root, root]


async def what_the_root_cannot_choose_is_everybodys_error(run: Run) -> None:
    """Nobody waits for a choice that was never made; the next step is as good as ever."""

    def choose(_: np.ndarray) -> bytes:
        raise RefusedError("no", where="here", expected="yes", found="42", remedy="Ask again")

    async def program(network: Network) -> tuple[str, float]:
        with pytest.raises(RefusedError) as caught:
            await sum_and_decide(network, Step("first"), np.ones(1), choose)
        with pytest.raises(Exception, match=r"failed at the root|a secret") as foreign:
            await decide(network, "another", lambda: _fail("a secret"))
        with pytest.raises(NetworkError, match="no total"):
            network.decision(Step("never taken"))
        assert (foreign.type is ValueError) == (network.root == network.node)
        assert network.root == network.node or "secret" not in str(foreign.value)
        return str(caught.value), float((await network.sum(Step("s"), np.ones(1)))[0])

    results = await run(program)
    text = "here: no (expected yes, found 42). Ask again"
    assert set(results.values()) == {(text, float(len(results)))}


def _fail(text: str) -> bytes:
    raise ValueError(text)


async def a_sum_over_the_cohort_of_a_step_is_like_any_other(run: Run) -> None:
    """Where nobody is lost; the step must have been taken."""

    async def program(network: Network) -> float:
        await network.sum(Step("counts"), np.ones(1))
        with pytest.raises(NetworkError, match="not complete"):
            await network.sum(Step("s"), np.ones(1), cohort_of=Step("other"))
        return float((await network.sum(Step("s"), np.ones(1), cohort_of=Step("counts")))[0])

    results = await run(program)
    assert set(results.values()) == {float(len(results))}


async def what_cannot_be_summed_is_refused(run: Run) -> None:
    """NaN, infinite and large values, with their position; and one may try again."""

    async def program(network: Network) -> float:
        for bad in (np.nan, -np.inf, 2.0**53):
            with pytest.raises(NumericalError, match="position 1 of 2"):
                await network.sum(Step("s"), np.array([1.0, bad]))
        return float((await network.sum(Step("s"), np.ones(1)))[0])

    results = await run(program)
    assert set(results.values()) == {float(len(results))}


async def a_name_serves_once(run: Run) -> None:
    """The cohort of a step would be ambiguous."""

    async def program(network: Network) -> None:
        await network.sum(Step("s"), np.ones(1))
        with pytest.raises(NetworkError, match="used twice"):
            await network.gather(Step("s", Content.PUBLIC), b"")
        assert list(network.steps) == [Step("s")]

    await run(program)


async def a_step_is_for_one_primitive(run: Run) -> None:
    """What depends on rows is never gathered; and one may try again."""

    async def program(network: Network) -> float:
        for content in (Content.COUNTS, Content.STATISTICS):
            with pytest.raises(NetworkError, match=f"isn't gathered .*found {content}"):
                await network.gather(Step("s", content), b"")
        with pytest.raises(NetworkError, match=r"can't be summed .*found public"):
            await network.sum(Step("s", Content.PUBLIC), np.ones(1))
        return float((await network.sum(Step("s"), np.ones(1)))[0])

    results = await run(program)
    assert set(results.values()) == {float(len(results))}


async def an_attempt_is_a_step_of_its_own(run: Run) -> None:
    """A step may be taken again, as another attempt."""

    async def program(network: Network) -> list[tuple[str, bool]]:
        first = Step("s")
        await network.sum(first, np.ones(1))
        await network.sum(first.again, np.ones(1))
        return [(str(step), step.is_sum) for step in network.steps]

    results = await run(program)
    assert all(result == [("s", True), ("s/again-1", True)] for result in results.values())


async def a_sum_with_noise_holds_the_noise_of_one(run: Run) -> None:
    """Everybody gets the same; less the vectors, it is whole noise, of the size promised."""
    noise = DiscreteGaussian(
        Level.RECORD, multiplier=3.0, sensitivity=2.0**29, size=2000, tolerated=1
    )

    async def program(network: Network) -> bytes:
        return (
            await network.sum(Step("s", Content.NOISY), np.full(2000, 4.0), noise=noise)
        ).tobytes()

    results = await run(program)
    (total,) = set(results.values())
    left = np.frombuffer(total) - 4.0 * len(results)
    assert np.array_equal(left, np.rint(left))
    assert 0.85 < np.std(left) / noise.total_sigma(len(results)) < 1.15  # nine standard errors
    assert abs(np.mean(left)) < 8 * noise.total_sigma(len(results)) / np.sqrt(2000)


async def a_step_says_whether_its_sum_has_noise(run: Run) -> None:
    """A site's guard goes by what the step says, so a sum that differs from it is not taken."""
    noise = DiscreteGaussian(Level.RECORD, multiplier=3.0, sensitivity=2.0**29, size=1, tolerated=1)

    async def exact(network: Network) -> np.ndarray:
        return await network.sum(Step("s", Content.NOISY), np.ones(1))

    async def noisy(network: Network) -> np.ndarray:
        return await network.sum(Step("s"), np.ones(1), noise=noise)

    with pytest.raises(NetworkError, match="expected noise, found no noise"):
        await run(exact)
    with pytest.raises(NetworkError, match="expected no noise, found noise"):
        await run(noisy)


LAWS: list[Law] = [
    a_step_says_whether_its_sum_has_noise,
    a_sum_with_noise_holds_the_noise_of_one,
    sums_are_exact,
    numbers_keep_within_their_bounds,
    everybody_gets_the_same_bytes,
    empty_vectors_and_bytes_are_no_exception,
    steps_follow_each_other,
    the_root_decides_once,
    what_the_root_cannot_choose_is_everybodys_error,
    a_sum_over_the_cohort_of_a_step_is_like_any_other,
    what_cannot_be_summed_is_refused,
    a_name_serves_once,
    a_step_is_for_one_primitive,
    an_attempt_is_a_step_of_its_own,
]
