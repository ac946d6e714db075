"""An aggregator that lies about the plan: to some nodes, about others, or about the past."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from edge_node.errors import IdentityError, NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.operation import EPOCH_KINDS, Operation
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.step import Step
from tangentmesh.v1 import discovery_pb2
from tests.attacks.tampering import call, outcomes
from tests.support.identities import issue
from tests.support.mesh import Mesh, copy_of, until

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
STAR = {"a": "", "b": "a", "c": "a"}


async def own_sum(network: TreeNetwork) -> float:
    """A program of one step."""
    return float((await network.sum(Step("s"), np.ones(12)))[0])


def give(mesh: Mesh, node: str, plan: Plan) -> None:
    """One node is told this plan, whatever the others are told."""
    mesh.peers[node].feed.offer(copy_of(plan, node))


def other_fingerprint(mesh: Mesh, plan: Plan) -> Plan:
    """The same, but c is somebody else."""
    stranger = mesh.identity("c")
    return with_member(plan, "c", fingerprint=stranger.fingerprint)


def with_member(plan: Plan, node: str, **changes: object) -> Plan:
    """The plan with something else said of one member."""
    members = tuple(
        replace(each, **changes) if each.node == node else each  # type: ignore[arg-type]
        for each in plan.members
    )
    return replace(plan, members=members)


def without_d(mesh: Mesh, plan: Plan) -> Plan:
    """The same, but for a member: totals of both would differ by its part."""
    return mesh.plan(1, {"a": "", "b": "a", "c": "a"})


SPLIT: dict[str, Callable[[Mesh, Plan], Plan]] = {
    "a member less": without_d,
    "another member's certificate": other_fingerprint,
    "another tree": lambda mesh, _: mesh.plan(1, {"a": "", "b": "a", "c": "a", "d": "c"}),
    "another run": lambda _, plan: replace(plan, run=2),
    "another address": lambda _, plan: with_member(plan, "c", address="127.0.0.1:1"),
}


@pytest.mark.parametrize("change", SPLIT.values(), ids=SPLIT)
async def test_two_plans_of_one_epoch_stop_at_the_first_message(
    mesh: Mesh, change: Callable[[Mesh, Plan], Plan]
) -> None:
    """A child and its parent compare the plan's hash before a byte of a message is sent."""
    await mesh.start("abcd")
    plan = mesh.plan(1, {"a": "", "b": "a", "c": "a", "d": "a"})
    for node in "ac":
        give(mesh, node, plan)
    other = change(mesh, plan)
    give(mesh, "b", other)
    networks = {n: mesh.peers[n].network(other.run if n == "b" else 1) for n in "abc"}
    runs = [asyncio.ensure_future(own_sum(network)) for network in networks.values()]
    link = mesh.peers["b"].link
    await until(lambda: "different plans" in link.trouble)
    for run in runs:
        run.cancel()
    ended = await asyncio.gather(*runs, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}
    assert "b and a hold different plans of epoch 1" in link.trouble
    assert mesh.peers["a"].store.run(1).frontier == 0
    assert mesh.peers["a"].traffic.edges["b"].received < 400  # headers, and no payload


async def test_an_invented_node_in_ones_place_learns_no_mask(mesh: Mesh, tmp_path: Path) -> None:
    """An aggregator without the authority's key names a node of its own making in the plan.

    What it announces is not believed: nobody's words leave.
    """
    await mesh.start("abc")
    inventor = Authority.create(tmp_path / "invented", mesh.authority.federation)
    invented = replace(issue(inventor, "b"), ca_pem=mesh.authority.certificate_pem)
    await mesh.peers["b"].stop()
    mesh.peers["b"].identity = invented
    await mesh.peers["b"].start()
    mesh.offer(mesh.plan(1, {"a": "b", "b": "", "c": "b"}))
    for error in (await outcomes(mesh, own_sum)).values():
        assert isinstance(error, IdentityError)
        assert "the certificate was issued by another authority" in str(error)
    assert mesh.peers["a"].store.run(1).frontier == 0


async def test_an_invented_node_that_the_authority_certified_is_believed(mesh: Mesh) -> None:
    """The stated limit: who owns the authority's key can invent nodes; `peers` names who may be."""
    await mesh.start(["a", "b", "invented"])
    mesh.offer(mesh.plan(1, {"a": "", "b": "a", "invented": "a"}))
    assert set((await outcomes(mesh, own_sum)).values()) == {3.0}


def message(mesh: Mesh, **changes: object) -> discovery_pb2.Plan:
    """A good plan for a, changed on the wire."""
    wire = copy_of(mesh.plan(4, CHAIN), "a")
    for name, value in changes.items():
        setattr(wire, name, value)
    return wire


def circle(mesh: Mesh) -> discovery_pb2.Plan:
    """B dials c, and c dials b."""
    wire = message(mesh)
    next(each for each in wire.members if each.node == "b").parent = "c"
    return wire


def itself(mesh: Mesh) -> discovery_pb2.Plan:
    """The aggregator as a member, under the name by which nodes know it."""
    wire = message(mesh)
    wire.members.add(node="aggregator", address="x:1", fingerprint=bytes(32), parent="a")
    wire.members.sort(key=lambda each: each.node)
    wire.edges.add(a="aggregator", b="a")
    return wire


def twin(mesh: Mesh) -> discovery_pb2.Plan:
    """One certificate under two names: a cohort that looks larger than it is."""
    wire = message(mesh)
    wire.members[2].fingerprint = wire.members[1].fingerprint
    return wire


def without_receiver(mesh: Mesh) -> discovery_pb2.Plan:
    """A plan of others."""
    return copy_of(mesh.plan(4, {"b": "", "c": "b"}), "b")


def wrong_parent(mesh: Mesh) -> discovery_pb2.Plan:
    """The certificate to be pinned is not the parent's."""
    wire = copy_of(mesh.plan(4, {"a": "b", "b": "", "c": "b"}), "a")
    next(each for each in wire.members if each.node == "b").certificate = b"another"
    return wire


LIES: dict[str, tuple[Callable[[Mesh], discovery_pb2.Plan], str]] = {
    "a circle": (circle, "no path from"),
    "itself a member": (itself, "reserved"),
    "one certificate twice": (twin, "two members have the same certificate"),
    "without its receiver": (without_receiver, "does not name a"),
    "another certificate to pin": (wrong_parent, "is not the planned one"),
    "another spec": (lambda m: message(m, spec_hash=bytes(32)), "another federation spec"),
    "no spec": (lambda m: message(m, spec_hash=b""), "spec hash has 0 bytes"),
    "another root": (lambda m: message(m, root="c"), "it has the root 'c'"),
}


@pytest.mark.parametrize(("lie", "reason"), LIES.values(), ids=LIES)
async def test_a_plan_that_is_none_is_refused_and_the_one_before_stays(
    mesh: Mesh, lie: Callable[[Mesh], discovery_pb2.Plan], reason: str
) -> None:
    """And the plan on disk, too."""
    await mesh.start(CHAIN)
    feed = mesh.peers["a"].feed
    feed.offer(copy_of(mesh.plan(3, CHAIN), "a"))
    with pytest.raises(NetworkError, match=reason):
        feed.offer(lie(mesh))
    assert feed.epoch == 3
    await mesh.peers["a"].stop()
    assert (await mesh.peers["a"].start()).feed.epoch == 3
    mesh.peers["a"].feed.offer(message(mesh))  # the control: without the lie it is used
    assert mesh.peers["a"].feed.epoch == 4


@pytest.mark.parametrize("epoch", [1, 4, 5])
async def test_a_plan_that_was_rolled_back_is_not_used(mesh: Mesh, epoch: int) -> None:
    """Of an earlier epoch, or of this one with another cohort; nor after a restart."""
    await mesh.start(CHAIN)
    a = mesh.peers["a"]
    a.feed.offer(copy_of(mesh.plan(5, CHAIN), "a"))
    for _ in range(2):
        a.feed.offer(copy_of(mesh.plan(epoch, {"a": "", "b": "a"}), "a"))
        assert a.feed.current is not None
        assert (a.feed.epoch, a.feed.current.cohort) == (5, ("a", "b", "c"))
        await a.stop()
        await a.start()


async def test_the_aggregator_is_no_peer(mesh: Mesh) -> None:
    """Its certificate is the authority's, and no node takes a message from it, or answers one."""
    await mesh.start(STAR)
    plan = mesh.plan(1, STAR)
    mesh.offer(plan)
    (kind, *_) = EPOCH_KINDS
    operation = Operation.of_epoch(1, 1, kind)
    for identity in (aggregator(mesh.authority), mesh.identity("z")):
        header = operation.header(plan.hash, b"x")
        answer = await call(identity, mesh.peers["a"], header, b"x")
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        assert "is not a node" in answer.reason or "z is no child of a" in answer.reason
        assert not answer.wanted


def aggregator(authority: Authority) -> Identity:
    """What the aggregator shows."""
    return issue(authority, "aggregator", role="aggregator")


async def test_an_invented_child_is_given_no_total(mesh: Mesh) -> None:
    """A stranger with a certificate of the authority, but not of the plan, asks for a total."""
    await mesh.start(STAR)
    plan = mesh.plan(1, STAR)
    mesh.offer(plan)
    assert set((await outcomes(mesh, own_sum)).values()) == {3.0}
    operation = Operation(1, 1, 1, 0, "s")
    for identity in (mesh.identity("b"), mesh.identity("e")):
        answer = await call(identity, mesh.peers["a"], operation.header(plan.hash, b""))
        assert answer.code is grpc.StatusCode.PERMISSION_DENIED
        assert not answer.chunks
    known = await call(mesh.peers["b"].identity, mesh.peers["a"], operation.header(plan.hash, b""))
    assert known.code is grpc.StatusCode.OK  # the control
    assert known.chunks
