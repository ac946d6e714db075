"""Whether a row took part, from what every member is told before the first sum."""

import asyncio

import msgspec
import numpy as np
import pytest

from edge_node.config import FederationSpec, Level, NodeConfig, Task
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.network.base import Network
from edge_node.network.epoch.claims import cohort_of
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.node.participation import Participation
from edge_node.security.disclosure.cohort import Claim
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.step import Content, Step
from tests.program.test_private_program import spec_for
from tests.support.mesh import DEADLINE, Mesh

pytestmark = pytest.mark.timeout(60)

STAR = {"a": "", "b": "a", "c": "a"}
HEADER, ROWS = "x,z,kind,y", ["1,2,a,3", "2,1,b,5", "0,4,b,2"]
NOISE = DiscreteGaussian(Level.RECORD, multiplier=5.0, sensitivity=2.0**29, size=3)


def start_site(mesh: Mesh, node: str, spec: FederationSpec, rows: list[str]) -> None:
    """Give a peer the guard that a daemon has which starts with these rows."""
    peer, paths = mesh.peers[node], NodePaths(mesh.directory / f"site-{node}")
    for directory in (paths.state, paths.identity):
        directory.mkdir(parents=True, exist_ok=True)
    data = paths.root / "rows.csv"
    data.write_text("\n".join([HEADER, *rows]) + "\n")
    site = Participation(
        paths,
        NodeConfig(name=node, data=data.name),
        spec,
        open_source(data, spec.data),
        None,
        peer.feed,
        peer.store,
        connect=lambda *_: peer.network(),
        tell=lambda: None,
    )
    assert site.guard is not None, site.reason
    peer.guard = site.guard


async def what_b_reads(mesh: Mesh, run: int, spec: FederationSpec) -> dict[str, Claim]:
    """Every member's claim in a run of one sum, from the records of member b."""
    plan = mesh.plan(run, STAR, run=run)
    mesh.offer(plan)
    noisy = spec.privacy is not None

    async def one_sum(network: Network) -> object:
        step = Step("release", Content.NOISY if noisy else Content.STATISTICS)
        terms = {"noise": NOISE} if noisy else {}
        return await network.sum(step, np.zeros(3), **terms)

    async with asyncio.timeout(DEADLINE):
        sums = (one_sum(mesh.peers[node].network(run)) for node in STAR)
        await asyncio.gather(*sums, return_exceptions=True)  # a guard may refuse: all was told
    b = mesh.peers["b"]
    told = b.store.run(run).find(Operation.of_epoch(run, run, Kind.KIND_CLAIMS))
    return dict(cohort_of(b.identity, plan, parse_record(told, where="b").payload).claims)


async def told_apart(mesh: Mesh, spec: FederationSpec) -> set[str]:
    """The sites of which b can say that their rows differ between two runs. In the second one, a
    has one row more: four, the next power of two.
    """
    await mesh.start(STAR)
    for node in STAR:
        start_site(mesh, node, spec, ROWS)
    first = await what_b_reads(mesh, 1, spec)
    start_site(mesh, "a", spec, [*ROWS, "0,5,a,1"])
    second = await what_b_reads(mesh, 2, spec)
    return {node for node in STAR if first[node] != second[node]}


@pytest.mark.parametrize("epsilon", [0.01, 100.0])
async def test_with_noise_nothing_else_tells_that_a_row_was_added(
    mesh: Mesh, epsilon: float
) -> None:
    """However small epsilon is, a name of the rows in clear would tell it with certainty."""
    assert await told_apart(mesh, spec_for(Task.REGRESSION, epsilon=epsilon)) == set()


async def test_without_a_promise_of_privacy_a_changed_file_shows(mesh: Mesh) -> None:
    """The control: the guards of the others must know whose rows have changed."""
    spec = spec_for(Task.REGRESSION)
    columns = tuple(
        msgspec.structs.replace(column, bounds=None, missing=False) for column in spec.data.columns
    )
    data = msgspec.structs.replace(spec.data, columns=columns)
    exact = msgspec.structs.replace(spec, data=data, privacy=None)
    assert await told_apart(mesh, exact) == {"a"}
