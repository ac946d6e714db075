"""A node's state changes in one place, and nothing that was read before undoes it."""

import asyncio
import threading
from dataclasses import replace

import pytest

from aggregator.members.certificates import NodeCertificates
from aggregator.members.members import Members
from aggregator.registry.registry import Denial, EnrolledNode, Registry
from edge_node.errors import RefusedError
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.authority import Authority
from edge_node.security.tls.credentials import Caller
from tests.support.identities import issue
from tests.support.mesh import DEADLINE


def node(name: str, number: int = 1) -> EnrolledNode:
    """A node with a certificate of this number."""
    return EnrolledNode(name, b"DER %d" % number, bytes([number]) * 32, 0.0)


class SlowRegistry(Registry):
    """Its reading doesn't end until it is told to."""

    reading: threading.Event
    answering: threading.Event

    def departures(self) -> list[Departure]:
        """Wait."""
        found = super().departures()
        self.reading.set()
        assert self.answering.wait(DEADLINE)
        return found


@pytest.mark.parametrize("changed", [True, False])
async def test_a_change_is_not_undone_by_what_was_read_before(changed: bool) -> None:
    """It is read again the next time; if nothing has changed, what was read counts."""
    with SlowRegistry.open(":memory:") as registry:
        registry.reading, registry.answering = threading.Event(), threading.Event()
        registry.answering.set()
        members = Members(registry, 15.0)
        registry.reading.clear()
        registry.answering.clear()
        refreshing = asyncio.ensure_future(members.refresh())
        await asyncio.to_thread(registry.reading.wait, DEADLINE)
        registry.keep_enrolment(node("b"), now=0.0)
        if changed:
            members.enrolled(node("a"))
        registry.answering.set()
        await refreshing
        assert ("a" in members.certificates.nodes) == changed
        await members.refresh()
        assert members.certificates.nodes.keys() == {"b"}


async def test_a_denial_is_not_put_off_by_changes() -> None:
    """Whatever else happens while it is read: a denied node could see to it that something does."""
    with SlowRegistry.open(":memory:") as registry:
        registry.reading, registry.answering = threading.Event(), threading.Event()
        registry.answering.set()
        registry.keep_enrolment(node("a"), now=0.0)
        members = Members(registry, 15.0)
        caller = Caller("a", "node", node("a").fingerprint)
        members.certificates.member(caller)  # the control
        registry.reading.clear()
        registry.answering.clear()
        registry.deny([Denial(caller.fingerprint, "a", "stolen", 0.0)])
        refreshing = asyncio.ensure_future(members.refresh())
        await asyncio.to_thread(registry.reading.wait, DEADLINE)
        members.renewed(node("a", 2))
        registry.answering.set()
        await refreshing
        assert members.certificates.renewals == {"a": node("a", 2)}
        with pytest.raises(RefusedError, match="denied"):
            members.certificates.member(caller)


def test_a_renewed_certificate_counts_beside_the_one_in_force() -> None:
    """Until it is adopted; then it alone counts."""
    old, new = node("a", 1), node("a", 2)
    both = NodeCertificates(nodes={"a": old}).with_renewed(new)
    callers = [Caller("a", "node", each.fingerprint) for each in (old, new)]
    assert [both.member(caller) for caller in callers] == [old, old]
    assert [both.shown(caller, old) for caller in callers] == [old, new]
    adopted = both.with_adopted([new.fingerprint])
    assert (adopted.nodes, adopted.renewals) == ({"a": new}, {})
    assert adopted.member(callers[1]) == new
    assert both.with_adopted([b"another"]) == both


def test_an_enrolment_voids_what_was_before(authority: Authority) -> None:
    """The renewed certificate, too."""
    identity = issue(authority, "a")
    first = EnrolledNode("a", identity.certificate_der, identity.fingerprint, 0.0)
    renewed = replace(first, fingerprint=bytes(32))
    before = NodeCertificates().with_enrolled(first).with_renewed(renewed)
    assert before.member(Caller("a", "node", renewed.fingerprint)) == first
    after = before.with_enrolled(replace(first, fingerprint=bytes(range(32))))
    for each in (first, renewed):
        with pytest.raises(RefusedError, match="this one is void"):
            after.member(Caller("a", "node", each.fingerprint))
