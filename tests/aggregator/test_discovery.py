"""What nodes get from the discovery service, and what it does not take from them."""

from collections.abc import Iterator

import pytest

from edge_node.security.authority import Authority
from tests.aggregator.discovered import Discovered, discovered


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), "discovery")


@pytest.fixture
def aggregator(authority: Authority) -> Iterator[Discovered]:
    """An aggregator with the enrolled nodes a, b and c."""
    with discovered(authority) as made:
        yield made.enrol("a", "b", "c").start()


def members(aggregator: Discovered) -> str:
    """The cohort of the newest plan, as one word."""
    plan = aggregator.registry.latest_plan()
    return "".join(member.node for member in plan.members) if plan else ""


@pytest.mark.parametrize("jump", [-1e6, 1e6])
async def test_the_calendar_kills_nobody(aggregator: Discovered, jump: float) -> None:
    """The machine's clock is set; nodes that were heard a moment ago are alive, and in the plan."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.date += jump
    aggregator.service.tick()
    assert members(aggregator) == "abc"
    assert aggregator.registry.latest_plan().epoch == 1
    await aggregator.beat("a")
    aggregator.service.flush()
    assert aggregator.registry.heartbeats()["a"].last_seen == aggregator.date


async def test_the_calendar_keeps_nobody_alive(aggregator: Discovered) -> None:
    """A node that is silent for longer than `liveness` is gone, whatever the date."""
    await aggregator.first_plan("a", "b", "c")
    aggregator.now += 16
    aggregator.date -= 3600
    for node in "ab":
        await aggregator.beat(node, epoch=1, run=1)
    aggregator.service.tick()
    assert members(aggregator) == "ab"


async def test_a_node_that_died_with_the_aggregator_is_not_planned(aggregator: Discovered) -> None:
    """After a restart the others wait for it, `liveness` at most, and then begin without it."""
    for node in "abc":
        await aggregator.beat(node)
    aggregator.service.flush()
    aggregator.start()
    aggregator.now += 1
    for node in "ab":
        reply = await aggregator.beat(node)
    assert reply.waiting == "the aggregator has just started and waits to hear from c"
    aggregator.now += 13.9
    for node in "ab":
        await aggregator.beat(node)
    aggregator.service.tick()
    assert members(aggregator) == ""
    aggregator.now += 0.2
    aggregator.service.tick()
    assert members(aggregator) == "ab"


async def test_a_restart_loses_no_member(aggregator: Discovered) -> None:
    """Members that were never written down are waited for, too; heard again, they go on."""
    plan = await aggregator.first_plan("a", "b", "c")
    aggregator.start()  # nothing was flushed
    for node in "abc":
        aggregator.now += 4
        aggregator.service.tick()
        await aggregator.beat(node, epoch=plan.epoch, run=plan.run)
    aggregator.service.tick()
    assert aggregator.registry.latest_plan().epoch == plan.epoch
