"""Totals of two cohorts, subtracted: what guards refuse, ways around them, and what is left."""

import asyncio
import shutil

import numpy as np
import pytest

from edge_node.config import SitePolicy
from edge_node.errors import CohortRefusedError
from edge_node.federation.plan import Plan
from edge_node.network.base import Network
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.wire.operation import Operation
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.step import Step
from tests.support.mesh import DEADLINE, Mesh, Peer

pytestmark = pytest.mark.timeout(60)

FOUR = {"a": "", "b": "a", "c": "a", "d": "a"}
THREE = {"a": "", "b": "a", "c": "a"}


def secret(node: str) -> np.ndarray:
    """What a node gives."""
    return np.random.default_rng(ord(node)).normal(size=12)


async def one_sum(network: Network) -> np.ndarray:
    """A program of one step."""
    return await network.sum(Step("statistics"), secret(network.node))


def guard(peer: Peer) -> None:
    """Give a site its guard, as a new process does."""
    name = peer.identity.node
    ledger = Ledger.open(peer.directory / "ledger", peer.directory / "ledger.key", new=True)
    peer.guard = SiteGuard(name, SitePolicy(), ledger, name.encode().ljust(32))


async def start(mesh: Mesh, *, guarded: bool) -> None:
    """Four sites."""
    await mesh.start(FOUR)
    for peer in mesh.peers.values():
        if guarded:
            guard(peer)


async def run(mesh: Mesh, plan: Plan) -> list[object]:
    """What becomes of the program at the plan's nodes."""
    mesh.offer(plan)
    works = [one_sum(mesh.peers[node].network(plan.run)) for node in plan.cohort]
    async with asyncio.timeout(DEADLINE):
        return list(await asyncio.gather(*works, return_exceptions=True))


async def test_without_guards_two_cohorts_give_away_the_one_they_differ_by(mesh: Mesh) -> None:
    """The control: all masks are right, and the difference is a site's own vector."""
    await start(mesh, guarded=False)
    with_d = (await run(mesh, mesh.plan(1, FOUR)))[0]
    without = (await run(mesh, mesh.plan(2, THREE, run=2)))[0]
    np.testing.assert_allclose(with_d - without, secret("d"), atol=1e-15)


async def test_with_guards_the_second_cohort_gets_no_total(mesh: Mesh) -> None:
    """Each site refuses by itself, whoever plans."""
    await start(mesh, guarded=True)
    await run(mesh, mesh.plan(1, FOUR))
    for error in await run(mesh, mesh.plan(2, THREE, run=2)):
        assert isinstance(error, CohortRefusedError)
        assert "would differ by d alone" in str(error)


@pytest.mark.parametrize(
    ("run_again", "reason"), [(1, "an epoch was planned again"), (2, "would differ by d alone")]
)
async def test_an_epoch_that_is_planned_twice_gets_no_second_total(
    mesh: Mesh, run_again: int, reason: str
) -> None:
    """A site that has lost its newest plan, and its run's records, is told that epoch's again.

    The same number with other members is not "this epoch's own contribution once more".
    """
    await start(mesh, guarded=True)
    await run(mesh, mesh.plan(1, FOUR))
    for peer in mesh.peers.values():
        await peer.stop()
        (peer.directory / "plan.pb").unlink()
        shutil.rmtree(peer.directory / "run-1")
        await peer.start()
        guard(peer)
    for error in await run(mesh, mesh.plan(1, THREE, run=run_again)):
        assert isinstance(error, CohortRefusedError)
        assert reason in str(error)


class NeverAnswered(ParentLink):
    """The parent gets the message, and its child never gets the total."""

    async def exchange(
        self, plan: Plan, operation: Operation, payload: bytes, limit: int, *, node: str
    ) -> bytes:
        """As ever, but for the first epoch's sum."""
        content = await super().exchange(plan, operation, payload, limit, node=node)
        if operation.is_step and plan.epoch == 1:
            await asyncio.Event().wait()
        return content


async def test_a_root_that_lies_about_how_far_it_is_gets_a_second_total(mesh: Mesh) -> None:
    """The stated limit: roots are believed when they say that they haven't formed a total.

    One that withholds it, and says so when a member is lost, can tell that member's part: a crash
    would otherwise cost a run, and not a sweep.
    """
    await mesh.start(FOUR, link_types=dict.fromkeys("bcd", NeverAnswered))
    for peer in mesh.peers.values():
        guard(peer)
    mesh.offer(mesh.plan(1, FOUR))
    honest = {n: asyncio.ensure_future(one_sum(mesh.peers[n].network())) for n in "bcd"}
    withheld = await one_sum(mesh.peers["a"].network())
    honest["d"].cancel()
    await mesh.peers["d"].stop()
    await mesh.peers["a"].stop()
    shutil.rmtree(mesh.peers["a"].directory / "run-1")
    await mesh.peers["a"].start()
    guard(mesh.peers["a"])
    mesh.offer(mesh.plan(2, THREE))
    async with asyncio.timeout(DEADLINE):
        second, *_ = await asyncio.gather(
            one_sum(mesh.peers["a"].network()), honest["b"], honest["c"]
        )
    np.testing.assert_allclose(withheld - second, secret("d"), atol=1e-15)
    await asyncio.gather(honest["d"], return_exceptions=True)
