"""Somebody in the tree who wants to know a mask: announcements swapped, forged, replayed, weak."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from edge_node.errors import TangentMeshError
from edge_node.federation.plan import Plan
from edge_node.network.epoch.claims import claim_of
from edge_node.network.epoch.keys import announcement
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.network.wire.operation import Kind, Operation
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim
from edge_node.security.masks import MaskingKey
from edge_node.security.pki.identity import Identity
from edge_node.step import Content, Step
from tangentmesh.v1 import exchange_pb2
from tests.attacks.tampering import mislead, outcomes, tampering
from tests.support.mesh import Mesh

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (2**255 - 20).to_bytes(32, "little"),
]
"""Points whose products are zero whatever the other key (RFC 7748, section 6.1)."""

Forge = Callable[[bytes, str, Identity, Plan], bytes]


class WeakKey(MaskingKey):
    """A key whose public half is no key."""

    point = bytes(32)

    @property
    def public(self) -> bytes:
        """A point of small order."""
        return self.point


def announced(
    key: MaskingKey, node: str, identity: Identity, plan: Plan, claims: bytes = b""
) -> bytes:
    """An announcement in the name of ``node`` that ``identity`` has signed."""
    return parse_gathered(announcement(key, replace(identity, node=node), plan, claims))[node]


def swapped(content: bytes, victim: str, liar: Identity, plan: Plan) -> bytes:
    """The liar's key under the victim's signature."""
    own = announced(MaskingKey.generate(), victim, liar, plan)
    return content[:3] + own[3:35] + content[35:]


def unsigned(content: bytes, victim: str, liar: Identity, plan: Plan) -> bytes:
    """The liar's key with the victim's certificate, and no signature."""
    public, certificate = MaskingKey.generate().public, msgspec.msgpack.decode(content)[1]
    return msgspec.msgpack.encode((public, certificate, b""))


def signed_by_the_liar(content: bytes, victim: str, liar: Identity, plan: Plan) -> bytes:
    """In the victim's name, but the liar has no certificate of that name."""
    return announced(MaskingKey.generate(), victim, liar, plan)


def of_the_liar(content: bytes, victim: str, liar: Identity, plan: Plan) -> bytes:
    """What the liar has announced of itself."""
    return announced(MaskingKey.generate(), liar.node, liar, plan)


FORGERIES: dict[str, tuple[Forge, str]] = {
    "swapped": (swapped, "the signature is not by this certificate's key"),
    "unsigned": (unsigned, "the signature is not by this certificate's key"),
    "signed by the liar": (
        signed_by_the_liar,
        "the certificate shown for {} is not the planned one",
    ),
    "the liar's own": (of_the_liar, "the certificate shown for {} is not the planned one"),
    "cut": (lambda content, *_: content[:-1], "masking-key statement can't be read"),
    "empty": (lambda *_: b"", "masking-key statement can't be read"),
}


async def own_sum(network: TreeNetwork) -> float:
    """A program of one step."""
    return float((await network.sum(Step("s"), np.full(12, 1.0)))[0])


@pytest.mark.parametrize(("forge", "reason"), FORGERIES.values(), ids=FORGERIES)
async def test_a_key_changed_on_its_way_up_is_refused(
    mesh: Mesh, forge: Forge, reason: str
) -> None:
    """By every node, before it has masked anything with it: no words have left anybody."""
    sums: list[Operation] = []

    def change(operation: Operation, payload: bytes) -> bytes:
        if operation.kind == Kind.KIND_SUM:
            sums.append(operation)
        if operation.kind != Kind.KIND_KEYS:
            return payload
        told = parse_gathered(payload)
        return gathered(told | {"c": forge(told["c"], "c", mesh.peers["b"].identity, plan)})

    await mesh.start(CHAIN, link_types={"b": tampering(change)})
    plan = mesh.plan(1, CHAIN)
    mesh.offer(plan)
    for error in (await outcomes(mesh, own_sum)).values():
        assert isinstance(error, TangentMeshError)
        assert reason.format("c") in str(error)
    assert not sums


@pytest.mark.parametrize(("forge", "reason"), FORGERIES.values(), ids=FORGERIES)
async def test_a_key_changed_on_its_way_down_is_refused(
    mesh: Mesh, forge: Forge, reason: str
) -> None:
    """A man in the middle of a pair changes the root's key on its way to the last in the chain."""
    await mesh.start(CHAIN)
    plan = mesh.plan(1, CHAIN)
    mesh.offer(plan)

    def change(record: exchange_pb2.Record) -> None:
        told = parse_gathered(record.payload)
        lie = forge(told["a"], "a", mesh.peers["b"].identity, plan)
        record.payload = gathered(told | {"a": lie})

    mislead(mesh.peers["b"], "c", "keys", change)

    over = asyncio.Event()

    async def until_the_victim_ends(network: TreeNetwork) -> object:
        if network.node != "c":
            waiting = asyncio.ensure_future(own_sum(network))
            await over.wait()
            return waiting.cancel()
        try:
            return await own_sum(network)
        finally:
            over.set()

    error = (await outcomes(mesh, until_the_victim_ends))["c"]
    assert isinstance(error, TangentMeshError)
    assert reason.format("a") in str(error)


async def test_a_key_of_an_earlier_epoch_is_refused(mesh: Mesh) -> None:
    """Its owner signed it and keeps it secret, but the signature is for another epoch."""
    kept: list[bytes] = []

    def change(operation: Operation, payload: bytes) -> bytes:
        if operation.kind != Kind.KIND_KEYS:
            return payload
        told = parse_gathered(payload)
        kept.append(told["c"])
        return gathered(told | {"c": kept[0]})

    async def in_two_epochs(network: TreeNetwork) -> float:
        await network.sum(Step("first"), np.ones(12))
        await network.gather(Step("between", Content.PUBLIC), b"")
        if network.node == "a":
            mesh.offer(mesh.plan(2, CHAIN))
        await network.feed.wait_newer(1)
        return float((await network.sum(Step("second"), np.ones(12)))[0])

    await mesh.start(CHAIN, link_types={"b": tampering(change)})
    mesh.offer(mesh.plan(1, CHAIN))
    for error in (await outcomes(mesh, in_two_epochs)).values():
        assert isinstance(error, TangentMeshError)
        assert "the signature is not by this certificate's key" in str(error)
    assert len(kept) == 2


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: point.hex()[:8])
async def test_a_weak_key_is_refused(mesh: Mesh, point: bytes) -> None:
    """With a point of small order, everybody would know the member's secrets with the others."""

    def change(operation: Operation, payload: bytes) -> bytes:
        if operation.kind != Kind.KIND_KEYS:
            return payload
        weak = WeakKey(MaskingKey.generate().private)
        object.__setattr__(weak, "point", point)
        told = parse_gathered(payload)
        c = mesh.peers["c"]
        claims = c.store.run(1).claims(1)
        return gathered(told | {"c": announced(weak, "c", c.identity, plan, claims)})

    await mesh.start(CHAIN, link_types={"c": tampering(change)})
    plan = mesh.plan(1, CHAIN)
    mesh.offer(plan)
    found = await outcomes(mesh, own_sum)
    for node in "ab":
        assert "not a usable X25519 public key" in str(found[node])
    assert "another masking key than this node's" in str(found["c"])


async def test_keys_that_nobody_touches_are_used(mesh: Mesh) -> None:
    """The control: the same mesh with a link that changes nothing."""
    await mesh.start(CHAIN, link_types={"b": tampering(lambda _, payload: payload)})
    mesh.offer(mesh.plan(1, CHAIN))
    assert await outcomes(mesh, own_sum) == dict.fromkeys("abc", 3.0)


@pytest.mark.parametrize("lie", [False, True])
async def test_a_member_that_claims_two_things_gets_no_sum(mesh: Mesh, lie: bool) -> None:
    """The parent b tells its child c another size of its own than all others, and signs it, too.

    The others' keys are signed for other claims than c was told, and c's for others than they were.
    The control: b passes on what it has told all.
    """

    def change(record: exchange_pb2.Record) -> None:
        b = mesh.peers["b"].identity
        claim = Claim(bytes(VERSION_BYTES), size=20)
        told = parse_gathered(record.payload)
        record.payload = gathered(
            told | parse_gathered(claim_of(claim, 0, b, plan)) if lie else told
        )

    await mesh.start(CHAIN)
    plan = mesh.plan(1, CHAIN)
    mesh.offer(plan)
    mislead(mesh.peers["b"], "c", "claims", change)
    for node, found in (await outcomes(mesh, own_sum)).items():
        if not lie:
            assert found == 3.0
            continue
        assert isinstance(found, TangentMeshError)
        assert "the signature is not by this certificate's key" in str(found), node
