"""The discovery service: heartbeats in, plans out.

A heartbeat is answered from memory. Planning and writing go on beside, in threads: however long
they take, and whether the disk can be written or not, nodes are heard and get the newest plan.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import grpc

from aggregator.ca.certification import HAS_LEFT, Certification
from aggregator.planning.planner import decide
from aggregator.planning.presence import Presence, heard, remembered
from aggregator.planning.snapshot import PlanHistory, Rules
from aggregator.registry.registry import EnrolledNode, Heartbeat, Registry
from aggregator.services.heartbeat import read_report
from edge_node.errors import (
    IdentityError,
    MachineError,
    NetworkError,
    RefusedError,
    TangentMeshError,
)
from edge_node.federation.plan import Plan
from edge_node.federation.report import Report
from edge_node.network.wire.plan import PlanCopies
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.certificates import pem_of
from edge_node.security.tls.credentials import Caller, caller
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = ["DiscoveryService"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refusal(Exception):
    code: grpc.StatusCode
    reason: str


@dataclass
class DiscoveryService(discovery_pb2_grpc.DiscoveryServicer):
    """Knows who lives, and plans. One event loop calls all of it.

    Attributes:
        federation: its name.
        rules: what planning follows.
        registry: what must not be forgotten.
        certification: who holds which certificate; default: the registry's, which nobody renews.
        clock: monotonic seconds; presences and planning live by it.
        calendar: UNIX seconds, for what is written down.
    """

    federation: str
    rules: Rules
    registry: Registry
    certification: Certification = None  # type: ignore[assignment]  # made where it is missing
    clock: Callable[[], float] = time.monotonic
    calendar: Callable[[], float] = time.time
    _presences: dict[str, Presence] = field(default_factory=dict)
    _heard: dict[str, Heartbeat] = field(default_factory=dict)  # since it was last written down
    _plan: Plan | None = None
    _experience: PlanHistory = field(default_factory=PlanHistory)
    _waiting: str = ""
    _trouble: str = ""  # why the registry can't be used; empty: it can
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.certification = self.certification or Certification(self.registry)
        self._plan = self.registry.latest_plan()
        now, beats = self.clock(), self.registry.heartbeats()
        members = self._plan.by_node.keys() if self._plan else frozenset[str]()
        for name in (beats.keys() | members) & self._enrolled.keys():
            report = beats[name].report if name in beats else Report()
            fingerprint = self._enrolled[name].fingerprint
            if fingerprint not in self.certification.denials:
                self._presences[name] = remembered(name, fingerprint, report, now=now)

    @property
    def _enrolled(self) -> dict[str, EnrolledNode]:
        return self.certification.nodes

    async def Heartbeat(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.HeartbeatRequest, context: Any
    ) -> discovery_pb2.HeartbeatReply:
        """Note that a node lives, and answer with the newest plan if it hasn't got it."""
        try:
            peer, node = self._known(context)
            if request.session:  # without one it is only a question (`edge-node doctor`)
                self._note(peer, node, request)
        except _Refusal as refusal:
            await context.abort(refusal.code, refusal.reason)
        reply = discovery_pb2.HeartbeatReply(waiting=self._waiting)
        reply.time.GetCurrentTime()
        if request.session:
            self.certification.inform(peer, node, request, reply, now=self.clock())
        plan = self._plan
        if plan and request.session and node.name in plan.by_node and plan.epoch > request.epoch:
            parent = self._enrolled.get(plan.parent(node.name))
            certificate = parent.certificate if parent else b""
            PlanCopies(plan).write(reply.plan, node=node.name, certificate=certificate)
            reply.departures.extend(
                discovery_pb2.Departure(
                    node=each.node,
                    certificate=each.certificate,
                    epoch=each.epoch,
                    signature=each.signature,
                )
                for each in self.certification.departures
            )
        return reply

    async def Renew(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.RenewRequest, context: Any
    ) -> discovery_pb2.RenewReply:
        """A certificate for the caller's new key."""
        try:
            peer, _ = self._known(context)
            renewed = await asyncio.to_thread(
                self.certification.renew, peer, request.csr, request.proof, now=self.calendar()
            )
        except _Refusal as refusal:
            await context.abort(refusal.code, refusal.reason)
        except MachineError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        except TangentMeshError as error:
            _log.warning("a renewal was refused: %s", error)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        if renewed is None:
            return discovery_pb2.RenewReply()
        self.certification.put(renewed, renewal=True)
        _log.info("%s renews its certificate", renewed.name)
        pem = pem_of(renewed.certificate, where=renewed.name)
        return discovery_pb2.RenewReply(certificate=pem)

    async def Leave(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.LeaveRequest, context: Any
    ) -> discovery_pb2.LeaveReply:
        """Let the caller be no member any longer; asked again, it answers the same."""
        try:
            peer = self._caller(context)
            if not self.certification.has_left(peer):
                departure = self._departure(self._member(peer), peer, request)
                await asyncio.to_thread(
                    self.registry.remove,
                    peer.name,
                    reason=HAS_LEFT,
                    now=self.calendar(),
                    departure=departure,
                )
                _log.info("%s leaves", peer.name, extra={"consents": departure is not None})
                await self.refresh()
        except _Refusal as refusal:
            await context.abort(refusal.code, refusal.reason)
        except MachineError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        except TangentMeshError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        return discovery_pb2.LeaveReply()

    def _departure(
        self, node: EnrolledNode, peer: Caller, request: discovery_pb2.LeaveRequest
    ) -> Departure | None:
        """What the caller says to the others. Raises IdentityError if it hasn't signed it."""
        if not request.signature:
            return None
        renewed = self.certification.renewals.get(peer.name, node)
        used = renewed if peer.fingerprint == renewed.fingerprint else node
        departure = Departure(peer.name, used.certificate, request.epoch, request.signature)
        departure.check_signature(self.federation)
        return departure

    def enrolled(self, node: EnrolledNode) -> None:
        """A node has enrolled just now."""
        self.certification.put(node)

    async def refresh(self) -> None:
        """Take what other programs have written to the registry; drop nodes that are denied."""
        if not await self._done(self.certification.refresh()):
            return
        for name, presence in list(self._presences.items()):
            if presence.fingerprint in self.certification.denials:
                _log.warning("%s is denied", name)
                del self._presences[name]
                self._heard.pop(name, None)
                self._news.set()

    async def keep_refreshing(self, seconds: float) -> None:
        """Refresh every ``seconds``, for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def keep_planning(self, seconds: float) -> None:
        """Plan at once when something has happened, and after ``seconds`` at the latest; for ever.

        Between two times there is a pause, so that what happens at many nodes is one occasion.
        """
        while True:
            self._news.clear()
            await self.plan()
            await asyncio.sleep(seconds / 10)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)

    async def keep_writing(self, seconds: float) -> None:
        """Put what was heard on disk every ``seconds``, for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.write()

    async def plan(self) -> None:
        """Issue a plan if one is due. It is on disk before anybody hears of it.

        If it can't be written, the one before stays, and the next call tries again.
        """
        presences = tuple(self._presences.values())
        decision = await asyncio.to_thread(
            decide,
            self.rules,
            presences,
            self._plan,
            experience=self._experience,
            now=self.clock(),
            departed=self._plan.by_node.keys() - self._enrolled.keys() if self._plan else (),
        )
        if decision.plan is not None:
            plan = replace(decision.plan, created=datetime.fromtimestamp(self.calendar(), UTC))
            if not await self._written(lambda: self.registry.save_plan(plan)):
                self._waiting = f"the next plan can't be written: {self._trouble}"
                return
            self._plan = plan
            self._adopted(member.fingerprint for member in plan.members)
            facts = {"epoch": plan.epoch, "run": plan.run, "nodes": len(plan.members)}
            _log.info("new plan: %s", decision.reason, extra=facts)
        self._experience, self._waiting = decision.experience, decision.waiting
        await self._adopt_idle()

    async def _adopt_idle(self) -> None:
        """Renewed certificates of nodes that the plan doesn't name need not wait for another."""
        planned = self._plan.by_node if self._plan else {}
        renewed = [
            each.renewed
            for name, each in self._presences.items()
            if each.renewed
            and (name not in planned or planned[name].fingerprint != each.fingerprint)
        ]
        if renewed and await self._written(lambda: self.registry.adopt(renewed)):
            self._adopted(renewed)

    def _adopted(self, fingerprints: Iterable[bytes]) -> None:
        """Renewed certificates among these are their nodes' own from now on."""
        adopted = set(fingerprints)
        self.certification.adopted(adopted)
        for name, each in self._presences.items():
            if each.renewed in adopted:
                self._presences[name] = replace(
                    each, fingerprint=each.renewed, renewed=b"", ending=math.inf
                )

    async def write(self) -> None:
        """Put what was heard since the last time on disk, for `status` and for a restart.

        If that fails, it stays to be written the next time, unless something newer is heard.
        """
        beats, self._heard = self._heard, {}
        if beats and not await self._written(lambda: self.registry.record(beats.values())):
            self._heard = beats | self._heard

    async def _written(self, write: Callable[[], None]) -> bool:
        return await self._done(asyncio.to_thread(write))

    async def _done(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the registry could be used; if not, it is said once."""
        try:
            await work
        except MachineError as error:
            if str(error) != self._trouble:
                _log.error("going on without the registry, and trying again: %s", error)
            self._trouble = str(error)
            return False
        if self._trouble:
            _log.info("the registry can be written again")
        self._trouble = ""
        return True

    def _known(self, context: Any) -> tuple[Caller, EnrolledNode]:
        peer = self._caller(context)
        return peer, self._member(peer)

    def _caller(self, context: Any) -> Caller:
        try:
            return caller(context, self.federation)
        except IdentityError as error:
            raise _Refusal(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error

    def _member(self, peer: Caller) -> EnrolledNode:
        try:
            return self.certification.holder(peer)
        except RefusedError as error:
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error

    def _note(
        self, peer: Caller, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest
    ) -> None:
        if request.spec_hash != self.rules.spec_hash:
            reason = (
                f"{node.name} holds another federation spec: expected hash "
                f"{self.rules.spec_hash.hex()[:16]}, found {request.spec_hash.hex()[:16]}. Copy "
                f"the aggregator's federation.toml to the node"
            )
            raise _Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason)
        report, now = self._report(node, request), self.clock()
        before = self._presences.get(node.name)
        if before is None or before.report.session != report.session:
            _log.info("%s is here", node.name, extra={"address": report.address or "no inbound"})
        after = heard(
            before, node.name, node.fingerprint, report, now=now, liveness=self.rules.liveness
        )
        after = self._with_renewal(after, peer, node)
        if before is None or _occasion(before) != _occasion(after):
            self._news.set()
        self._presences[node.name] = after
        self._heard[node.name] = Heartbeat(node.name, report, self.calendar())

    def _with_renewal(self, presence: Presence, peer: Caller, node: EnrolledNode) -> Presence:
        """The presence of a node that calls with its renewed certificate, or doesn't."""
        if peer.fingerprint == node.fingerprint:
            return replace(presence, renewed=b"", ending=math.inf)
        if peer.fingerprint == presence.renewed:
            return presence
        left = self.certification.left(node, self.calendar())
        return replace(presence, renewed=peer.fingerprint, ending=self.clock() + left)

    def _report(self, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest) -> Report:
        epoch, run = (self._plan.epoch, self._plan.run) if self._plan else (0, 0)
        try:
            return read_report(request, node.name, epoch=epoch, run=run)
        except NetworkError as error:
            raise _Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _occasion(presence: Presence) -> tuple[object, ...]:
    """What of a presence is a reason to plan at once; all else can wait for the next time."""
    report = presence.report
    return (
        presence.joined,
        presence.changed,
        presence.remembered,
        presence.renewed,
        report.session,
        report.address,
    )
