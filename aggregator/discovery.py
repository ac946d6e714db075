"""The discovery service: heartbeats in, plans out.

A heartbeat is answered from memory. Planning and writing go on beside, in threads: however long
they take, and whether the disk can be written or not, nodes are heard and get the newest plan.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from aggregator.heartbeat import read_report
from aggregator.plan import Plan
from aggregator.planner import decide
from aggregator.presence import Presence, Report, heard, remembered
from aggregator.registry import EnrolledNode, Heartbeat, Registry
from aggregator.scene import Experience, Rules
from edge_node.errors import IdentityError, MachineError, NetworkError
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
    """Knows who lives, and plans. One event loop calls all of it.

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
    _heard: dict[str, Heartbeat] = field(default_factory=dict)  # since it was last written down
    _plan: Plan | None = None
    _experience: Experience = field(default_factory=Experience)
    _waiting: str = ""
    _trouble: str = ""  # why the registry can't be used; empty: it can
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._enrolled = {node.name: node for node in self.registry.nodes()}
        self._plan = self.registry.latest_plan()
        now, beats = self.clock(), self.registry.heartbeats()
        members = self._plan.by_node.keys() if self._plan else frozenset[str]()
        for name in (beats.keys() | members) & self._enrolled.keys():
            report = beats[name].report if name in beats else Report()
            fingerprint = self._enrolled[name].fingerprint
            self._presences[name] = remembered(name, fingerprint, report, now=now)

    async def Heartbeat(  # noqa: N802 - named by the protocol
        self, request: discovery_pb2.HeartbeatRequest, context: Any
    ) -> discovery_pb2.HeartbeatReply:
        """Note that a node lives, and answer with the newest plan if it hasn't got it."""
        try:
            node = await self._known(context)
            if request.session:  # without one it is only a question (`edge-node doctor`)
                self._note(node, request)
        except _Refusal as refusal:
            await context.abort(refusal.code, refusal.reason)
        reply = discovery_pb2.HeartbeatReply(waiting=self._waiting)
        reply.time.GetCurrentTime()
        plan = self._plan
        if plan and request.session and node.name in plan.by_node and plan.epoch > request.epoch:
            parent = self._enrolled.get(plan.by_node[node.name].parent)
            plan.copy_to(reply.plan, {parent.name: parent.certificate} if parent else {})
        return reply

    def enrolled(self, node: EnrolledNode) -> None:
        """A node has enrolled just now."""
        self._enrolled[node.name] = node

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
        )
        if decision.plan is not None:
            plan = replace(decision.plan, created=self.calendar())
            if not await self._written(lambda: self.registry.save_plan(plan)):
                self._waiting = f"the next plan can't be written: {self._trouble}"
                return
            self._plan = plan
            facts = {"epoch": plan.epoch, "run": plan.run, "nodes": len(plan.members)}
            _log.info("new plan: %s", decision.reason, extra=facts)
        self._experience, self._waiting = decision.experience, decision.waiting

    async def write(self) -> None:
        """Put what was heard since the last time on disk, for `status` and for a restart.

        If that fails, it stays to be written the next time, unless something newer is heard.
        """
        beats, self._heard = self._heard, {}
        if beats and not await self._written(lambda: self.registry.record(beats.values())):
            self._heard = beats | self._heard

    async def _written(self, write: Callable[[], None]) -> bool:
        """Whether something could be written; if not, it is said once."""
        try:
            await asyncio.to_thread(write)
        except MachineError as error:
            if str(error) != self._trouble:
                _log.error("going on without the registry, and trying again: %s", error)
            self._trouble = str(error)
            return False
        if self._trouble:
            _log.info("the registry can be written again")
        self._trouble = ""
        return True

    async def _known(self, context: Any) -> EnrolledNode:
        try:
            peer = caller(context, self.federation)
        except IdentityError as error:
            raise _Refusal(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
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
        after = heard(
            before, node.name, node.fingerprint, report, now=now, liveness=self.rules.liveness
        )
        if before is None or _occasion(before) != _occasion(after):
            self._news.set()
        self._presences[node.name] = after
        self._heard[node.name] = Heartbeat(node.name, report, self.calendar())

    def _report(self, node: EnrolledNode, request: discovery_pb2.HeartbeatRequest) -> Report:
        epoch, run = (self._plan.epoch, self._plan.run) if self._plan else (0, 0)
        try:
            return read_report(request, node.name, epoch=epoch, run=run)
        except NetworkError as error:
            raise _Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _occasion(presence: Presence) -> tuple[object, ...]:
    """What of a presence is a reason to plan at once; all else can wait for the next time."""
    report = presence.report
    return (presence.joined, presence.changed, presence.remembered, report.session, report.address)
