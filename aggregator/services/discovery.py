"""The discovery service: heartbeats in, plans out.

A heartbeat is answered from memory: it waits neither for planning nor for the disk.
"""

import logging
from dataclasses import dataclass
from typing import Any

import grpc

from aggregator.ca.issuer import Issuer
from aggregator.members.members import Members
from aggregator.registry.registry import EnrolledNode
from aggregator.services.calls import Refusal, errors_end
from aggregator.services.heartbeat import read_report
from aggregator.services.planning import Planning
from aggregator.services.replies import add_authorities, add_denylist, add_plan
from edge_node.errors import IdentityError, NetworkError, RefusedError
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.certificates import pem_of
from edge_node.security.tls.credentials import Caller, caller
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = ["DiscoveryService"]

_log = logging.getLogger(__name__)


@dataclass
class DiscoveryService(discovery_pb2_grpc.DiscoveryServicer):
    """Hears nodes, and hands out plans, certificates and denylist. Only one event loop uses it.

    Attributes:
        federation: its name.
        members: who is enrolled, and who is there.
        planning: the newest plan.
        issuer: renews certificates.
    """

    federation: str
    members: Members
    planning: Planning
    issuer: Issuer

    async def Heartbeat(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.HeartbeatRequest, context: Any
    ) -> discovery_pb2.HeartbeatReply:
        """Note that a node lives, and answer with what it lacks.

        Without a session it is only a question (`edge-node doctor`), and leaves no trace.
        """
        async with errors_end(context):
            peer = self._caller(context)
            node = self._member(peer)
            if request.session:
                self._hear(peer, node, request)
        reply = discovery_pb2.HeartbeatReply(waiting=self.planning.waiting)
        reply.time.GetCurrentTime()
        if request.session:
            self._tell(peer, node, request, reply)
        return reply

    async def Renew(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.RenewRequest, context: Any
    ) -> discovery_pb2.RenewReply:
        """A certificate for the caller's new key."""
        async with errors_end(context):
            peer = self._caller(context)
            self._member(peer)
            try:
                renewed = await self.issuer.renew(peer, request.csr, request.proof)
            except (IdentityError, RefusedError) as error:
                _log.warning("a renewal was refused: %s", error)
                raise
        if renewed is None:
            return discovery_pb2.RenewReply()
        _log.info("%s renews its certificate", renewed.name)
        pem = pem_of(renewed.certificate, where=renewed.name)
        return discovery_pb2.RenewReply(certificate=pem)

    async def Leave(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.LeaveRequest, context: Any
    ) -> discovery_pb2.LeaveReply:
        """End the caller's membership; asked again, it answers the same."""
        async with errors_end(context):
            peer = self._caller(context)
            if not self.members.certificates.has_left(peer):
                departure = self._departure(peer, self._member(peer), request)
                await self.members.leave(peer, departure)
        return discovery_pb2.LeaveReply()

    def _caller(self, context: Any) -> Caller:
        try:
            return caller(context, self.federation)
        except IdentityError as error:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error

    def _member(self, peer: Caller) -> EnrolledNode:
        try:
            return self.members.certificates.member(peer)
        except RefusedError as error:
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error

    def _hear(
        self, peer: Caller, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest
    ) -> None:
        """Take a node's report. Raises Refusal if it makes no sense or is for another spec."""
        expected = self.planning.rules.spec_hash
        if request.spec_hash != expected:
            reason = (
                f"{node.name} holds another federation spec: expected hash "
                f"{expected.hex()[:16]}, found {request.spec_hash.hex()[:16]}. Copy "
                f"the aggregator's federation.toml to the node"
            )
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason)
        plan = self.planning.plan
        epoch, run = (plan.epoch, plan.run) if plan else (0, 0)
        try:
            report = read_report(request, node.name, epoch=epoch, run=run)
        except NetworkError as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        self.members.heard(peer, node, report)
        trusted = frozenset(request.authorities)
        self.issuer.trust.heard(node.name, trusted, now=self.members.clock())

    def _tell(
        self,
        peer: Caller,
        node: EnrolledNode,
        request: discovery_pb2.HeartbeatRequest,
        reply: discovery_pb2.HeartbeatReply,
    ) -> None:
        """Add to the answer what the caller lacks, and whether it should renew at once."""
        certificates, authorities = self.members.certificates, self.issuer.authorities()
        add_denylist(reply, certificates, held=request.denylist)
        add_authorities(reply, authorities, trusted=frozenset(request.authorities))
        reply.renew = self.issuer.should_renew(peer, node)
        newest = self.planning.newest
        if newest and node.name in newest.plan.by_node and newest.plan.epoch > request.epoch:
            add_plan(reply, newest, certificates, node=node.name)

    def _departure(
        self, peer: Caller, node: EnrolledNode, request: discovery_pb2.LeaveRequest
    ) -> Departure | None:
        """The caller's consent, if it gives one.

        Raises:
            IdentityError: it hasn't signed it.
            RefusedError: it consents for epochs that are still to come, in which its name may be
                another node's.
        """
        if not request.signature:
            return None
        newest = self.planning.plan.epoch if self.planning.plan else 0
        if request.epoch > newest:
            raise RefusedError(
                f"{peer.name} can't consent for epochs that are still to come",
                expected=f"an epoch up to {newest}",
                found=str(request.epoch),
                remedy="Leave without `--consent`, or once the node has a plan of this aggregator",
            )
        shown = self.members.certificates.shown(peer, node)
        departure = Departure(peer.name, shown.certificate, request.epoch, request.signature)
        departure.check_signature(self.federation)
        return departure
