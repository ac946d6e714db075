"""Run after run over the same rows: each tells numbers, and together they would give rows away."""

import asyncio

import msgspec
import numpy as np
import pytest

from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    ModelSpec,
    SitePolicy,
    SiteRefinement,
    Task,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.model.model import Model
from edge_node.network.epoch.guard import Unguarded
from edge_node.network.tree.tree import TreeNetwork
from edge_node.program import infer
from edge_node.security.disclosure.bill import Bill
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.lifetime import basis_of
from tests.support.mesh import DEADLINE, Mesh, Peer

pytestmark = pytest.mark.timeout(120)

STAR = {"a": "", "b": "a", "c": "a", "d": "a"}
ROWS = 64
DATA = DataSpec(
    task=Task.REGRESSION, target="y", columns=(Column(name="u"), Column(name="v"), Column(name="w"))
)
SPEC = FederationSpec(
    name="attacked",
    data=DATA,
    model=ModelSpec(
        landmarks=40,
        depths=(1,),
        biases=(1.0,),
        metric_repetitions=0,
        site_refinement=SiteRefinement.NONE,
    ),
)
OTHER = msgspec.structs.replace(SPEC, model=msgspec.structs.replace(SPEC.model, seed=1))


def source(node: str) -> MemorySource:
    """A site's rows."""
    rng = np.random.default_rng(ord(node))
    inputs = rng.normal(size=(ROWS, 3))
    labels = np.empty((ROWS, 0), dtype=object)
    return MemorySource((Batch(inputs, labels, np.sin(inputs[:, 0]) + inputs[:, 1]),))


class Forgetful(Unguarded):
    """A site as it was: it says how many rows it has, and keeps no account of what they tell."""

    def claim(self, run: int, cohort: object) -> Claim:
        """As large as the others."""
        return Claim(bytes(VERSION_BYTES), size=6)


def guard(peer: Peer, spec: FederationSpec) -> None:
    """Give a site its guard, as a process does that starts with a spec."""
    name = peer.identity.node
    ledger = Ledger.open(peer.directory / "ledger", peer.directory / "ledger.key", new=True)
    policy, version = SitePolicy(), name.encode().ljust(VERSION_BYTES)
    basis = basis_of(spec, policy)
    peer.guard = SiteGuard(name, policy, ledger, version, rows=ROWS, basis=basis)


async def run(mesh: Mesh, number: int, spec: FederationSpec) -> list[Model | BaseException]:
    """A run of all sites: each one's model, or why it refused."""

    async def learn(network: TreeNetwork) -> Model:
        own = mesh.peers[network.node].guard

        def partitioned() -> bool:
            return isinstance(own, SiteGuard) and own.partitioned(number)

        rows = source(network.node)
        return await infer(network, rows, spec, partitioned=partitioned, run=number)

    mesh.offer(mesh.plan(number, STAR, run=number))
    works = [learn(mesh.peers[node].network(number)) for node in STAR]
    async with asyncio.timeout(DEADLINE):
        return await asyncio.gather(*works, return_exceptions=True)


def bill_of(results: list[Model | BaseException]) -> Bill:
    """What a run has told that all sites have completed."""
    (bill,) = {msgspec.json.encode(each.provenance.bill) for each in results if _is_model(each)}
    return msgspec.json.decode(bill, type=Bill)


def _is_model(result: object) -> bool:
    assert isinstance(result, Model), result
    return True


def told(peer: Peer) -> int:
    """Over a site's rows in their life, by its ledger."""
    return Ledger.open(
        peer.directory / "ledger", peer.directory / "ledger.key", new=False
    ).life.told()


async def test_the_same_run_again_tells_nothing_new(mesh: Mesh) -> None:
    """Bit for bit the same words: as often as anybody likes, though little is left to be told."""
    await mesh.start(STAR)
    for number in (1, 2, 3):
        for peer in mesh.peers.values():
            guard(peer, SPEC)  # all have been restarted
        bill = bill_of(await run(mesh, number, SPEC))
        assert bill.per_cell > SPEC.most_told / 2, "so as many others would be too many"
        assert {told(peer) for peer in mesh.peers.values()} == {bill.told}


async def test_runs_together_tell_no_more_than_one(mesh: Mesh) -> None:
    """Other landmarks over the same rows: refused by every site, or planned from what is left."""
    await mesh.start(STAR)
    for number, spec in enumerate((SPEC, OTHER), start=1):
        for peer in mesh.peers.values():
            guard(peer, spec)
        results = await run(mesh, number, spec)
        assert all(isinstance(each, Model | CohortRefusedError) for each in results)
    cells = 3 * ROWS * (len(DATA.columns) + 1)
    for peer in mesh.peers.values():
        assert SPEC.most_told / 2 < told(peer) / cells <= SPEC.most_told


async def test_sites_that_keep_no_account_tell_too_much(mesh: Mesh) -> None:
    """The control: each run is below the ceiling, and together they are above."""
    await mesh.start(STAR)
    for peer in mesh.peers.values():
        peer.guard = Forgetful()
    bills = [bill_of(await run(mesh, 1, SPEC)), bill_of(await run(mesh, 2, OTHER))]
    assert all(bill.per_cell <= SPEC.most_told for bill in bills)
    assert sum(bill.per_cell for bill in bills) > SPEC.most_told
