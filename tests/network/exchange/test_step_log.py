"""What is logged of a run's steps: enough to see which node the others wait for."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_node.network.exchange.step_log import log_step
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.framing import EdgeBytes
from edge_node.network.wire.operation import Kind, Operation
from edge_node.security.pki.authority import Authority
from edge_node.step import Step
from tests.support.mesh import DEADLINE, Mesh, until

STEP = Operation(run=7, epoch=3, kind=Kind.KIND_SUM, sequence=5, step="moments")
PARENTS = {"a": "", "b": "a", "c": "b"}


@pytest.mark.parametrize(
    ("child", "parent", "times", "waited_for"),
    [
        ("c", "a", (0.0, 9.0, 10.0), "c"),
        ("c", "a", (0.0, 1.0, 10.0), "a"),
        ("c", "", (0.0, 1.0, 10.0), "c"),
        ("", "a", (0.0, 1.0, 1.5), "a"),
        ("", "", (0.0, 0.0, 0.0), ""),
    ],
    ids=["child", "parent", "root", "leaf", "alone"],
)
def test_the_longer_wait_is_named(
    caplog: pytest.LogCaptureFixture,
    child: str,
    parent: str,
    times: tuple[float, ...],
    waited_for: str,
) -> None:
    """A root has no parent and a leaf no children: each waits for the other side, if at all."""
    caplog.set_level(logging.INFO)
    log_step(STEP, child=child, parent=parent, times=times, edge=EdgeBytes(70, 80))
    (record,) = caplog.records
    facts = {"run": 7, "epoch": 3, "sequence": 5, "step": "moments", "waited_for": waited_for}
    assert vars(record).items() >= facts.items()
    assert vars(record)["seconds"] == times[-1] - times[0]


def test_what_a_step_cost(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes over the edge to the parent; processor time and memory are the process's so far."""
    caplog.set_level(logging.INFO)
    before = time.process_time()
    for _ in range(2):
        log_step(STEP, child="c", parent="p", times=(0.0, 1.0, 2.0), edge=EdgeBytes(70, 80))
    first, second = (vars(record) for record in caplog.records)
    assert first.items() >= {"kind": "sum", "sent": 70, "received": 80}.items()
    assert round(before, 3) <= first["processor_seconds"] <= second["processor_seconds"]
    assert first["peak_bytes"] > 10e6


def test_what_an_epoch_begins_with(caplog: pytest.LogCaptureFixture) -> None:
    """It is no step, and has no position in the run."""
    caplog.set_level(logging.INFO)
    claims = Operation.of_epoch(7, 3, Kind.KIND_CLAIMS)
    for each in (STEP, claims):
        log_step(each, child="c", parent="", times=(0.0, 1.0, 2.0), edge=EdgeBytes())
    step, beginning = caplog.records
    assert (step.getMessage(), beginning.getMessage()) == ("a step is complete", "an epoch begins")
    assert vars(beginning).items() >= {"step": "claims", "waited_for": "c"}.items()
    assert vars(step).keys() - vars(beginning).keys() == {"sequence"}


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """Three nodes in a chain, with a plan."""
    async with Mesh(Authority.create(tmp_path / "ca", "logs"), tmp_path) as made:
        await made.start(PARENTS)
        made.offer(made.plan(1, PARENTS))
        yield made


async def test_every_step_is_logged_at_every_node(
    mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """In its order, with its time; the node that comes late is named by the one above it."""
    now = 0.0
    views = {n: replace(peer.network(), clock=lambda: now) for n, peer in mesh.peers.items()}

    async def program(network: TreeNetwork) -> None:
        nonlocal now
        await network.sum(Step("first"), np.ones(3))
        if network.node == "c":
            await until(lambda: all(views[node].progress.step == "second" for node in "ab"))
            now = 10.0
        await network.sum(Step("second"), np.ones(3))

    caplog.set_level(logging.INFO, logger="edge_node.network.exchange.step_log")
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*map(program, views.values()))
    logged = [vars(record) for record in caplog.records if record.msg == "a step is complete"]
    steps = [(each["sequence"], each["step"]) for each in logged]
    assert sorted(steps) == [(0, "first")] * 3 + [(1, "second")] * 3
    second = [each for each in logged if each["step"] == "second"]
    waits = sorted((each["waited_for"], each["seconds"]) for each in second)
    assert waits == [("b", 0.0), ("b", 10.0), ("c", 10.0)]  # of c, a and b
    edges = [mesh.peers[node].traffic.edge(parent) for node, parent in PARENTS.items()]
    costs = [vars(record) for record in caplog.records]  # with those of the epoch's beginning
    assert sum(each["sent"] for each in costs) == sum(edge.sent for edge in edges) > 0
    assert sum(each["received"] for each in costs) == sum(edge.received for edge in edges) > 0
