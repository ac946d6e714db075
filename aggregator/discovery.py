"""The discovery service: heartbeats in, plans out."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from aggregator.heartbeat import read_report
from aggregator.plan import Plan
from aggregator.planner import decide
from aggregator.presence import Presence, Report, heard, remembered
from aggregator.registry import EnrolledNode, Heartbeat, Registry
from aggregator.scene import Experience, Rules
from edge_node.errors import IdentityError, NetworkError
from edge_node.security.credentials import caller
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = ["DiscoveryService"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refusal(Exception):
    code: grpc.StatusCode
    reason: str


@dataclass
class DiscoveryService(discovery_pb2_grpc.DiscoveryServicer):
    """Knows who lives, and plans.

    Attributes:
        federation: its name.
        rules: what planning follows.
        registry: what must not be forgotten.
        clock: monotonic seconds; presences and planning live by it.
        calendar: UNIX seconds, for what is written down.
    """

    federation: str
    rules: Rules
    registry: Registry
    clock: Callable[[], float] = time.monotonic
    calendar: Callable[[], float] = time.time
    _presences: dict[str, Presence] = field(default_factory=dict)
    _enrolled: dict[str, EnrolledNode] = field(default_factory=dict)
    _heard: dict[str, Heartbeat] = field(default_factory=dict)
    _plan: Plan | None = None
    _experience: Experience = field(default_factory=Experience)
    _waiting: str = ""

    def __post_init__(self) -> None:
        self.refresh()
        self._plan = self.registry.latest_plan()
        now, beats = self.clock(), self.registry.heartbeats()
        members = self._plan.by_node.keys() if self._plan else frozenset[str]()
        for name in (beats.keys() | members) & self._enrolled.keys():
            report = beats[name].report if name in beats else Report()
            fingerprint = self._enrolled[name].fingerprint
            self._presences[name] = remembered(name, fingerprint, report, now=now)

    def refresh(self) -> None:
        """Read the enrolled nodes anew."""
        self._enrolled = {node.name: node for node in self.registry.nodes()}

    async def Heartbeat(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.HeartbeatRequest, context: Any
    ) -> discovery_pb2.HeartbeatReply:
        """Note that a node lives, and answer with the newest plan if it hasn't got it."""
        try:
            node = self._known(context)
            if request.session:  # without one it is only a question (`edge-node doctor`)
                self._note(node, request)
        except _Refusal as refusal:
            await context.abort(refusal.code, refusal.reason)
        self.tick()
        reply = discovery_pb2.HeartbeatReply(waiting=self._waiting)
        reply.time.GetCurrentTime()
        plan = self._plan
        if plan and request.session and node.name in plan.by_node and plan.epoch > request.epoch:
            reply.plan.CopyFrom(self._copy_for(node.name, plan))
        return reply

    def tick(self) -> None:
        """Plan, if a plan is due."""
        decision = decide(
            self.rules,
            self._presences.values(),
            self._plan,
            experience=self._experience,
            now=self.clock(),
        )
        self._experience, self._waiting = decision.experience, decision.waiting
        if decision.plan is not None:
            plan = replace(decision.plan, created=self.calendar())
            self.registry.save_plan(plan)
            self._plan = plan
            facts = {"epoch": plan.epoch, "run": plan.run, "nodes": len(plan.members)}
            _log.info("new plan: %s", decision.reason, extra=facts)

    def flush(self) -> None:
        """Put what was heard since the last time on disk, for `status` and for a restart."""
        beats, self._heard = list(self._heard.values()), {}
        if beats:
            self.registry.record(beats)

    def _known(self, context: Any) -> EnrolledNode:
        try:
            peer = caller(context, self.federation)
        except IdentityError as error:
            raise _Refusal(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
        if peer.name not in self._enrolled:
            self.refresh()
        node = self._enrolled.get(peer.name)
        if node is None or peer.role != "node":
            reason = f"{peer.name} is not enrolled here: run `edge-node enrol` with a new token"
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)
        if node.fingerprint != peer.fingerprint:
            reason = f"another certificate was issued for {peer.name} since; this one is void"
            raise _Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)
        return node

    def _note(self, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest) -> None:
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
        self._presences[node.name] = heard(
            before, node.name, node.fingerprint, report, now=now, liveness=self.rules.liveness
        )
        self._heard[node.name] = Heartbeat(node.name, report, self.calendar())

    def _report(self, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest) -> Report:
        epoch, run = (self._plan.epoch, self._plan.run) if self._plan else (0, 0)
        try:
            return read_report(request, node.name, epoch=epoch, run=run)
        except NetworkError as error:
            raise _Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error

    def _copy_for(self, receiver: str, plan: Plan) -> discovery_pb2.Plan:
        """The plan, with the certificate of the receiver's parent to be pinned."""
        message = plan.to_message()
        parent = plan.by_node[receiver].parent
        for member in message.members:
            if member.node == parent and parent in self._enrolled:
                member.certificate = self._enrolled[parent].certificate
        return message
