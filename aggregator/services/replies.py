"""What the answer to a heartbeat brings, if the caller lacks it."""

from aggregator.ca.authorities import Authorities
from aggregator.members.certificates import NodeCertificates
from edge_node.network.wire.plan import PlanCopies
from tangentmesh.v1 import discovery_pb2

__all__ = ["add_authorities", "add_denylist", "add_plan"]


def add_denylist(
    reply: discovery_pb2.HeartbeatReply, certificates: NodeCertificates, *, held: bytes
) -> None:
    """Add the denylist, unless the caller holds it (``held``: its digest) or has none at all."""
    if held and held != certificates.denylist_digest:
        reply.denylist.fingerprints.extend(sorted(certificates.denials))


def add_authorities(
    reply: discovery_pb2.HeartbeatReply, authorities: Authorities, *, trusted: frozenset[bytes]
) -> None:
    """Add all authorities, unless the caller trusts just these or doesn't say which it trusts."""
    if trusted and trusted != set(authorities.fingerprints):
        for each in authorities.certificates:
            reply.authorities.add(certificate=each.certificate, proof=each.proof)


def add_plan(
    reply: discovery_pb2.HeartbeatReply,
    copies: PlanCopies,
    certificates: NodeCertificates,
    *,
    node: str,
) -> None:
    """Add the node's copy of the plan, and the consents of nodes that have left."""
    parent = certificates.nodes.get(copies.plan.parent(node))
    copies.write(reply.plan, node=node, certificate=parent.certificate if parent else b"")
    reply.departures.extend(
        discovery_pb2.Departure(
            node=each.node,
            certificate=each.certificate,
            epoch=each.epoch,
            signature=each.signature,
        )
        for each in certificates.departures
    )
