"""A sum over the cohort of a count is formed of exactly that cohort, or never."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from edge_node.network.base import CohortChanged, Network
from edge_node.network.memory import MemoryFederation
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.operation import parse_record
from edge_node.step import Step
from tests.support.mesh import Mesh, Peer, copy_of, until

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a", "d": "a"}
SMALLER = {"a": "b", "b": "", "c": "b"}
SMALLEST = {"a": "", "b": "a"}


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Four peers with a plan."""
    await mesh.start(STAR)
    mesh.offer(mesh.plan(1, STAR))
    return mesh


async def counted(network: Network) -> list[tuple[str, float]]:
    """Count again until a sum holds whom the count holds: its steps, with their totals."""
    steps: list[tuple[str, float]] = []
    while True:
        i = len(steps)
        steps.append(
            (f"counts/{i}", float((await network.sum(Step(f"counts/{i}"), np.ones(1)))[0]))
        )
        try:
            total = await network.sum(
                Step(f"sums/{i}"), np.full(5, 10.0), cohort_of=Step(f"counts/{i}")
            )
        except CohortChanged:
            continue
        return [*steps, (f"sums/{i}", float(total[0]))]


def start(peer: Peer) -> "asyncio.Task[list[tuple[str, float]]]":
    """The program at one peer."""
    return asyncio.ensure_future(counted(peer.network()))


def networks_of(mesh: Mesh) -> dict[str, TreeNetwork]:
    """Each peer's view of the run."""
    return {name: peer.network() for name, peer in mesh.peers.items()}


async def lose_d(
    mesh: Mesh, networks: Mapping[str, TreeNetwork]
) -> dict[str, "asyncio.Task[list[tuple[str, float]]]"]:
    """All count; d takes no part in the sum, and ends."""
    tasks = {n: asyncio.ensure_future(counted(networks[n])) for n in SMALLER}
    await networks["d"].sum(Step("counts/0"), np.ones(1))
    await until(lambda: networks["a"].progress.step == "sums/0")
    await until(lambda: networks["a"].progress.waiting_for == ("d",))
    await mesh.peers["d"].stop()
    return tasks


async def test_a_node_that_is_lost_after_the_count_is_counted_out(mesh: Mesh) -> None:
    """The first sum is of nobody; the second count and sum are of the three that are left."""
    tasks = await lose_d(mesh, networks_of(mesh))
    mesh.offer(mesh.plan(2, SMALLER))
    results = await asyncio.gather(*tasks.values())
    assert all(each == results[0] for each in results)
    assert results[0] == [("counts/0", 4.0), ("counts/1", 3.0), ("sums/1", 30.0)]
    for name in SMALLER:
        kept = [parse_record(each, where="") for each in mesh.peers[name].store.run(1).since(0)]
        cohorts = {record.step: "".join(record.cohort) for record in kept}
        assert cohorts == {"counts/0": "abcd", "sums/0": "abc", "counts/1": "abc", "sums/1": "abc"}
        words = {record.step: len(record.payload) // 16 for record in kept}
        assert words == {
            "counts/0": 2,
            "sums/0": 0,
            "counts/1": 2,
            "sums/1": 6,
        }  # with a check word


async def test_another_loss_while_it_is_counted_again(mesh: Mesh) -> None:
    """Each further loss costs a count and a sum of nobody; everybody tells the same story."""
    networks = networks_of(mesh)
    tasks = await lose_d(mesh, networks)
    await mesh.peers["c"].stop()
    tasks.pop("c").cancel()
    mesh.offer(mesh.plan(2, SMALLER))  # it still has c, so nothing can be completed
    await until(lambda: networks["b"].progress.waiting_for == ("c",))
    assert not any(task.done() for task in tasks.values())
    mesh.offer(mesh.plan(3, SMALLEST))
    results = await asyncio.gather(*tasks.values())
    assert results[0] == results[1]
    assert results[0] == [("counts/0", 4.0), ("counts/1", 2.0), ("sums/1", 20.0)]


@pytest.mark.parametrize("hears_of_the_middle", [True, False])
async def test_a_restart_tells_the_same_story(mesh: Mesh, hears_of_the_middle: bool) -> None:
    """From the records on disk; also one who was away while the others found it out."""
    tasks = await lose_d(mesh, networks_of(mesh))
    tasks.pop("c").cancel()
    await mesh.peers["c"].stop()
    if hears_of_the_middle:
        await mesh.peers["c"].start()
        tasks["c"] = start(mesh.peers["c"])
    mesh.offer(mesh.plan(2, SMALLER))
    if not hears_of_the_middle:
        await mesh.peers["c"].start()
        mesh.peers["c"].feed.offer(copy_of(mesh.plan(2, SMALLER), "c"))
        tasks["c"] = start(mesh.peers["c"])
    results = await asyncio.gather(*tasks.values())
    assert all(each == [("counts/0", 4.0), ("counts/1", 3.0), ("sums/1", 30.0)] for each in results)
    for name in SMALLER:  # the program again, from the start: nothing is sent
        await mesh.peers[name].stop()
        await mesh.peers[name].start()
        mesh.peers[name].feed.offer(copy_of(mesh.plan(2, SMALLER), name))
    again = await asyncio.gather(*(start(mesh.peers[name]) for name in SMALLER))
    assert again == results


async def test_a_total_that_was_formed_before_the_loss_is_passed_on(mesh: Mesh) -> None:
    """It is of the counted cohort: whoever lacks it gets it, and nothing is counted again."""
    await mesh.run(counted)
    for name in ("b", "c", "d"):
        await mesh.peers[name].stop()
    cut_off = mesh.peers["c"].directory / "run-1" / "step-00000001.pb"
    cut_off.unlink()  # as if c had been lost just before it was told
    for name in ("b", "c"):
        await mesh.peers[name].start()
    plan = mesh.plan(2, {"a": "", "b": "a", "c": "b"})
    for name in ("a", "b", "c"):
        mesh.peers[name].feed.offer(copy_of(plan, name))
    again = await asyncio.gather(*(start(mesh.peers[name]) for name in ("a", "b", "c")))
    assert all(each == [("counts/0", 4.0), ("sums/0", 40.0)] for each in again)


@pytest.mark.parametrize("step", ["counts/0", "sums/0", "counts/1"])
async def test_in_memory_nodes_are_lost_in_the_same_way(step: str) -> None:
    """At each step of the program; the root is one of them."""
    lost = {"d": "sums/0", "a": step}
    federation = MemoryFederation("abcd", lost)
    results = await federation.run(counted)
    assert set(results) == {"b", "c"}
    expected = {
        "counts/0": [("counts/0", 3.0), ("counts/1", 2.0), ("sums/1", 20.0)],
        "sums/0": [("counts/0", 4.0), ("counts/1", 2.0), ("sums/1", 20.0)],
        "counts/1": [("counts/0", 4.0), ("counts/1", 2.0), ("sums/1", 20.0)],
    }[step]
    assert all(each == expected for each in results.values())
