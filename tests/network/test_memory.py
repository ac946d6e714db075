"""The network of one process keeps the promises of the interface."""

import asyncio
import tracemalloc
from functools import partial

import numpy as np
import pytest

from edge_node.errors import NetworkError, NumericalError
from edge_node.network.base import Network, decide
from edge_node.network.memory import MemoryFederation
from edge_node.step import Step

NODES = ["a", "b", "c", "d"]


def vector_of(network: Network) -> np.ndarray:
    """Something different at each node."""
    return np.random.default_rng(ord(network.node)).normal(size=100)


async def test_every_node_gets_the_same_sum() -> None:
    """The plain sum, to rounding, and the same bytes everywhere."""
    federation = MemoryFederation(NODES)
    totals = await federation.run(lambda network: network.sum(Step("s"), vector_of(network)))
    plain = sum(vector_of(federation.network(node)) for node in NODES)
    np.testing.assert_allclose(totals["a"], plain, rtol=1e-15, atol=1e-14)
    assert len({total.tobytes() for total in totals.values()}) == 1
    assert federation.log == [("s", 1616)]


async def test_the_root_decides_once() -> None:
    """Only the root's function runs."""
    asked = []

    async def program(network: Network) -> bytes:
        def choose() -> bytes:
            asked.append(network.node)
            return network.node.encode()

        return await decide(network, "choice", choose)

    assert set((await MemoryFederation(NODES).run(program)).values()) == {b"a"}
    assert asked == ["a"]


async def test_steps_follow_each_other_and_name_their_cohort() -> None:
    """Nodes that differ in speed can't mix up steps."""

    async def program(network: Network) -> list[float]:
        totals = []
        for i in range(5):
            for _ in range(ord(network.node) % 4):
                await asyncio.sleep(0)
            totals.append(float((await network.sum(Step(f"s/{i}"), np.array([i + 1.0])))[0]))
        assert network.steps[Step("s/4")] == tuple(NODES)
        return totals

    results = await MemoryFederation(NODES).run(program)
    assert all(totals == [4.0, 8.0, 12.0, 16.0, 20.0] for totals in results.values())


async def test_a_nodes_failure_ends_all() -> None:
    """The others don't wait for ever; the error is the original one."""

    async def program(network: Network) -> np.ndarray:
        bad = network.node == "c"
        return await network.sum(Step("s"), np.array([np.nan if bad else 1.0]))

    with pytest.raises(NumericalError, match="position 0"):
        await MemoryFederation(NODES).run(program)


@pytest.mark.parametrize("misuse", ["length", "name", "twice"])
async def test_programs_that_differ_are_refused(misuse: str) -> None:
    """Another length, another step, or a name used twice."""

    async def program(network: Network) -> None:
        other = network.node == "b"
        await network.sum(
            Step("t" if other and misuse == "name" else "s"),
            np.ones(2 if other and misuse == "length" else 1),
        )
        if misuse == "twice":
            await network.sum(Step("s"), np.ones(1))

    with pytest.raises(NetworkError):
        await MemoryFederation(NODES).run(program)


@pytest.mark.parametrize("shares", [True, False])
async def test_what_all_compute_alike_is_computed_once_where_nodes_share(shares: bool) -> None:
    """Again after each step, and in the order in which nodes ask for it."""
    computed = []

    async def program(network: Network) -> list[tuple[str, float]]:
        found = []
        for i in range(2):
            (total,) = await network.sum(Step(f"s/{i}"), np.array([i + 1.0]))
            values = [network.once(partial(compute, what, total)) for what in ("mean", "sum")]
            found.extend(values)
        return found

    def compute(what: str, total: float) -> tuple[str, float]:
        computed.append(what)
        return what, total

    results = await MemoryFederation(NODES, shares=shares).run(program)
    expected = [("mean", 4.0), ("sum", 4.0), ("mean", 8.0), ("sum", 8.0)]
    assert all(found == expected for found in results.values())
    assert len(computed) == 4 if shares else 4 * len(NODES)


async def test_nodes_that_ask_for_different_values_are_refused() -> None:
    """A value that another node asked for is never taken for one's own."""

    async def program(network: Network) -> float:
        await network.sum(Step("s"), np.ones(1))
        return network.once(lambda: 1.0) if network.node == "a" else network.once(lambda: 2.0)

    with pytest.raises(NetworkError, match="programs differ"):
        await MemoryFederation(NODES, shares=True).run(program)


async def test_words_are_added_as_they_come() -> None:
    """While nodes wait for each other, the federation holds one vector, however many they are."""
    nodes, size = [f"node {i:02}" for i in range(20)], 1 << 16

    async def program(network: Network) -> None:
        await network.sum(Step("s"), np.ones(size))

    tracemalloc.start()
    try:
        await MemoryFederation(nodes).run(program)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    vectors, words = len(nodes) * 8 * size, 16 * size
    assert peak < vectors + 8 * words < vectors + len(nodes) * words
