"""Every sum of a tree is masked: there is no way around it, and records show whose keys did it."""

import asyncio
import inspect
import re

import msgspec
import numpy as np
import pytest

from aggregator.cli import cli as aggregator_cli
from aggregator.directory.config import AggregatorConfig
from edge_node.cli import cli as edge_node_cli
from edge_node.config import FederationSpec, ModelSpec, NodeConfig, SitePolicy, TimingSpec
from edge_node.errors import IdentityError
from edge_node.network.base import Network
from edge_node.network.epoch import epoch
from edge_node.network.epoch.keys import masked_cohort
from edge_node.network.tree import tree
from edge_node.step import Content, Step
from tests.support.mesh import Mesh

pytestmark = pytest.mark.timeout(60)

TRIANGLE = {"a": "", "b": "a", "c": "b"}
SWITCHES = re.compile("mask|secure|plain|encrypt|unsafe|debug")


@pytest.fixture
async def mesh(mesh: Mesh) -> Mesh:
    """Three peers with a plan."""
    await mesh.start(TRIANGLE)
    mesh.offer(mesh.plan(1, TRIANGLE))
    return mesh


async def test_records_say_whose_keys_masked_a_sum(mesh: Mesh) -> None:
    """Nobody's before the first sum of an epoch; then the whole cohort's, at every node."""

    async def gather(network: Network) -> None:
        await network.gather(Step("g", Content.PUBLIC), b"")

    async def gather_and_sum(network: Network) -> None:
        await gather(network)
        await network.sum(Step("s"), np.ones(3))

    stores = [peer.store.run(1) for peer in mesh.peers.values()]
    await mesh.run(gather)
    assert [masked_cohort(records, 1, 1) for records in stores] == [()] * 3
    await mesh.run(gather_and_sum)
    assert [masked_cohort(records, 1, 1) for records in stores] == [("a", "b", "c")] * 3


async def test_no_sum_leaves_without_masks(
    mesh: Mesh, wire: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When masks can't be agreed on, the sum fails, and not a word of it was sent."""

    def refuse(*_: object) -> None:
        raise IdentityError("no masks")

    monkeypatch.setattr(epoch, "pairwise_masks", refuse)
    sums = (peer.network().sum(Step("step-of-a-sum"), np.ones(9)) for peer in mesh.peers.values())
    failures = await asyncio.gather(*sums, return_exceptions=True)
    assert {type(each) for each in failures} == {IdentityError}
    assert wire
    assert b"step-of-a-sum" not in b"".join(wire)


def test_nothing_turns_masks_off() -> None:
    """No setting, option or argument has a name for it."""
    parameters = inspect.signature(tree.TreeNetwork).parameters
    assert {name for name in parameters if SWITCHES.search(name)} <= {"_masks"}
    for table in (FederationSpec, ModelSpec, TimingSpec, NodeConfig, SitePolicy, AggregatorConfig):
        names = [each.name for each in msgspec.structs.fields(table)]
        assert not [name for name in names if SWITCHES.search(name)]
    for group in (edge_node_cli, aggregator_cli):
        for command in group.commands.values():
            named = [name for each in command.params for name in (each.name, *each.opts)]
            assert not [name for name in named if SWITCHES.search(str(name))]
