"""Nodes that leave, and nodes that are taken out."""

import grpc
import pytest

from aggregator.members.certificates import HAS_LEFT
from aggregator.registry.registry import EnrolledNode
from edge_node.errors import RefusedError
from edge_node.security.disclosure.departure import Departure
from tangentmesh.v1 import discovery_pb2
from tests.aggregator.discovered import Aborted, Call, Discovered
from tests.support.identities import issue


async def leave(aggregator: Discovered, node: str, departure: Departure | None = None) -> None:
    """The node's request. Raises Aborted."""
    request = discovery_pb2.LeaveRequest()
    if departure is not None:
        request.epoch, request.signature = departure.epoch, departure.signature
    await aggregator.service.Leave(request, Call(aggregator.identities[node]))


async def settled(aggregator: Discovered, nodes: str) -> discovery_pb2.HeartbeatReply:
    """These nodes are complete and go on; the answer that one of them has after a while."""
    plan = aggregator.registry.latest_plan()
    said = {"epoch": plan.epoch, "run": plan.run, "phase": discovery_pb2.PHASE_COMPLETE}
    for node in nodes:
        await aggregator.beat(node, **said)
    aggregator.now += aggregator.rules.settle
    for node in nodes:
        await aggregator.beat(node, **said)
    await aggregator.planning.update()
    return await aggregator.beat(nodes[0], **said)


async def test_the_others_go_on_without_a_node_that_left(aggregator: Discovered) -> None:
    """A new run; with the plan comes what the node consents to, signed."""
    await aggregator.first_plan(*"abcd")
    leaver = aggregator.identities["d"]
    await leave(aggregator, "d", Departure.of(leaver, 1))
    reply = await settled(aggregator, "abc")
    assert (reply.plan.run, aggregator.cohort) == (2, "abc")
    (said,) = reply.departures
    departure = Departure(said.node, said.certificate, said.epoch, said.signature)
    departure.check(leaver.ca_pem, leaver.federation)
    assert (departure.node, departure.epoch) == ("d", 1)


async def test_a_node_that_left_is_no_member(aggregator: Discovered) -> None:
    """Its certificate is denied; it may ask to leave again, and enrol again with a new key."""
    await aggregator.first_plan(*"abcd")
    await leave(aggregator, "d")
    await leave(aggregator, "d")
    with pytest.raises(Aborted, match="has left the federation") as caught:
        await aggregator.beat("d")
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert [node.name for node in aggregator.registry.nodes()] == ["a", "b", "c"]
    assert [denial.reason for denial in aggregator.registry.denials()] == [HAS_LEFT]
    assert not (await settled(aggregator, "abc")).departures
    aggregator.registry.add_token(b"new", "d", expires_at=aggregator.date)
    identity = aggregator.identities["d"] = issue(aggregator.authority, "d")
    again = EnrolledNode("d", identity.certificate_der, identity.fingerprint, aggregator.date)
    aggregator.registry.enrol(b"new", "d", now=aggregator.date, issue=lambda: again)
    await aggregator.members.refresh()
    await aggregator.beat("d")


async def test_a_restart_forgets_nothing(aggregator: Discovered) -> None:
    """Neither that the node has left, nor what it said."""
    await aggregator.first_plan(*"abcd")
    await leave(aggregator, "d", Departure.of(aggregator.identities["d"], 1))
    aggregator.start()
    reply = await settled(aggregator, "abc")
    assert (reply.plan.run, aggregator.cohort, len(reply.departures)) == (2, "abc", 1)


async def test_nobody_consents_for_another(aggregator: Discovered) -> None:
    """A signature that isn't the caller's changes nothing."""
    await aggregator.first_plan(*"abcd")
    with pytest.raises(Aborted) as caught:
        await leave(aggregator, "d", Departure.of(aggregator.identities["c"], 1))
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert len(aggregator.registry.nodes()) == 4


@pytest.mark.parametrize(("epoch", "good"), [(0, True), (1, True), (2, False), (2**63, False)])
async def test_nobody_consents_for_what_is_to_come(
    aggregator: Discovered, epoch: int, good: bool
) -> None:
    """The name may be another node's by then: nothing would make that consent void."""
    await aggregator.first_plan(*"abcd")
    departure = Departure.of(aggregator.identities["d"], epoch)
    if good:
        await leave(aggregator, "d", departure)
    else:
        with pytest.raises(Aborted, match="still to come") as caught:
            await leave(aggregator, "d", departure)
        assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert [each.epoch for each in aggregator.registry.departures()] == [epoch] * good
    assert len(aggregator.registry.nodes()) == 4 - good


async def test_a_node_that_is_evicted(aggregator: Discovered) -> None:
    """By another program, while the server runs: no plan names it from then on."""
    await aggregator.first_plan(*"abcd")
    aggregator.registry.remove("d", reason="its contract has ended", now=aggregator.date)
    await aggregator.members.refresh()
    reply = await settled(aggregator, "abc")
    assert (reply.plan.run, aggregator.cohort, len(reply.departures)) == (2, "abc", 0)
    with pytest.raises(Aborted, match="its contract has ended"):
        await aggregator.beat("d")
    with pytest.raises(RefusedError, match="no node of this name"):
        aggregator.registry.remove("d", reason="", now=aggregator.date)
