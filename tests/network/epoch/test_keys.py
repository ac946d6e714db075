"""A masking key is believed if the planned node signed it, with a certificate of the authority."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edge_node.errors import IdentityError, NetworkError, TangentMeshError
from edge_node.federation.plan import Member, Plan
from edge_node.network.epoch.keys import announcement, pairwise_masks
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.security.masks import MaskingKey
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from tests.support.identities import issue
from tests.support.mesh import SPEC_HASH

NODES = ("a", "b", "c")
ZEROS, RUNS = np.zeros(8, dtype=np.uint64), [(8, True)]
CLAIMS = b"what all have claimed"


@pytest.fixture(scope="module")
def identities(authority: Authority) -> dict[str, Identity]:
    """Three nodes that the authority has certified."""
    return {node: issue(authority, node) for node in NODES}


@pytest.fixture(scope="module")
def keys() -> dict[str, MaskingKey]:
    """Their masking keys."""
    return {node: MaskingKey.generate() for node in NODES}


def plan_of(identities: dict[str, Identity], epoch: int = 1) -> Plan:
    """A star whose root is a."""
    members = tuple(
        Member(node, f"{node}:1", identity.fingerprint, "" if node == "a" else "a")
        for node, identity in sorted(identities.items())
    )
    edges = tuple((node, "a") for node in identities if node != "a")
    return Plan(epoch, 1, SPEC_HASH, "a", members, edges, datetime(2026, 1, 1, tzinfo=UTC))


def everybody(keys: dict[str, MaskingKey], identities: dict[str, Identity], plan: Plan) -> bytes:
    """What the cohort has gathered."""
    parts = [announcement(keys[node], identities[node], plan, CLAIMS) for node in identities]
    return gathered({name: data for part in parts for name, data in parse_gathered(part).items()})


def test_masks_of_a_cohort_cancel(
    keys: dict[str, MaskingKey], identities: dict[str, Identity]
) -> None:
    """Each node derives its masks from what all have announced."""
    plan = plan_of(identities)
    payload = everybody(keys, identities, plan)
    masked = [
        pairwise_masks(keys[n], identities[n], plan, CLAIMS, payload).mask(ZEROS, RUNS, "0/s")
        for n in NODES
    ]
    total = sum(int(words[6]) + (int(words[7]) << 64) for words in masked)
    assert total % (1 << 128) == 0
    assert all(words.any() for words in masked)


def test_a_certificate_of_the_planners_own_making_is_refused(
    keys: dict[str, MaskingKey],
    identities: dict[str, Identity],
    foreign_authority: Authority,
) -> None:
    """Its fingerprint is in the plan and its signature is right; the authority never saw it.

    Otherwise an aggregator without the authority's key could pose as all peers of a node.
    """
    invented = {
        **identities,
        "b": issue(foreign_authority, "b"),
        "c": issue(foreign_authority, "c"),
    }
    plan = plan_of(invented)
    payload = everybody(keys, invented, plan)
    with pytest.raises(IdentityError, match="issued by another authority"):
        pairwise_masks(keys["a"], identities["a"], plan, CLAIMS, payload)


def test_a_certificate_of_another_node_is_refused(
    authority: Authority, keys: dict[str, MaskingKey], identities: dict[str, Identity]
) -> None:
    """One member's certificate can't stand for two."""
    posing = replace(issue(authority, "d"), node="b")
    invented = {**identities, "b": posing}
    plan = plan_of(invented)
    with pytest.raises(IdentityError, match="another member's"):
        pairwise_masks(keys["a"], identities["a"], plan, CLAIMS, everybody(keys, invented, plan))


def test_an_expired_certificate_is_refused(
    authority: Authority, keys: dict[str, MaskingKey], identities: dict[str, Identity]
) -> None:
    """As TLS would."""
    key = generate_key()
    certificate = authority.issue(
        signing_request(key, "b"),
        node="b",
        lifetime=timedelta(days=1),
        now=datetime.now(UTC) - timedelta(days=3),
    )
    old = Identity("b", authority.federation, key, certificate, authority.certificate_pem)
    invented = {**identities, "b": old}
    plan = plan_of(invented)
    with pytest.raises(IdentityError, match="expired"):
        pairwise_masks(keys["a"], identities["a"], plan, CLAIMS, everybody(keys, invented, plan))


def _swapped(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {**parts, "b": parts["c"], "c": parts["b"]}


def _shrunk(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {node: part for node, part in parts.items() if node != "c"}


def _grown(parts: dict[str, bytes]) -> dict[str, bytes]:
    return {**parts, "d": parts["c"]}


CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], type, str]] = {
    "swapped": (_swapped, NetworkError, "is not the planned one"),
    "shrunk": (_shrunk, IdentityError, "not those of the cohort"),
    "grown": (_grown, IdentityError, "not those of the cohort"),
    "unreadable": (lambda parts: {**parts, "b": b"\x93"}, IdentityError, "can't be read"),
    "empty": (lambda parts: {**parts, "b": b""}, IdentityError, "can't be read"),
}


@pytest.mark.parametrize(("change", "error", "reason"), CHANGES.values(), ids=CHANGES.keys())
def test_announcements_are_those_of_the_cohort(
    keys: dict[str, MaskingKey],
    identities: dict[str, Identity],
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    error: type[TangentMeshError],
    reason: str,
) -> None:
    """Nobody missing, nobody more, nobody in another's place."""
    plan = plan_of(identities)
    payload = gathered(change(parse_gathered(everybody(keys, identities, plan))))
    with pytest.raises(error, match=reason):
        pairwise_masks(keys["a"], identities["a"], plan, CLAIMS, payload)


@pytest.mark.parametrize("other", ["epoch", "spec", "cohort", "tree"])
def test_an_announcement_of_another_plan_is_refused(
    keys: dict[str, MaskingKey], identities: dict[str, Identity], other: str
) -> None:
    """The signature covers the plan's hash: epoch, spec, cohort and tree are bound in."""
    plan = plan_of(identities)
    plans = {
        "epoch": replace(plan, epoch=2),
        "spec": replace(plan, spec_hash=bytes(32)),
        "cohort": plan_of({n: identities[n] for n in ("a", "b")}),
        "tree": replace(
            plan,
            members=(*plan.members[:2], replace(plan.members[2], parent="b")),
            edges=(*plan.edges, ("c", "b")),
        ),
    }
    parts = parse_gathered(everybody(keys, identities, plan))
    replayed = parse_gathered(announcement(keys["b"], identities["b"], plans[other], CLAIMS))
    with pytest.raises(IdentityError, match="signature"):
        pairwise_masks(keys["a"], identities["a"], plan, CLAIMS, gathered(parts | replayed))
