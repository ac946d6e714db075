"""The one place where a node's state changes: its certificates, and its presence.

Services and planning are given the same `Members`. A change is on disk before it counts here.
Heartbeats are the exception: they come often, so the newest of each node is written now and then.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from aggregator.members.certificates import HAS_LEFT, NodeCertificates
from aggregator.planning.presence import Presence, heard, remembered
from aggregator.registry.access import RegistryAccess
from aggregator.registry.registry import EnrolledNode, Heartbeat, Registry
from edge_node.federation.report import Report
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.certificates import life_of
from edge_node.security.tls.credentials import Caller

__all__ = ["Members"]

_log = logging.getLogger(__name__)


@dataclass
class Members:
    """All enrolled nodes. Only one event loop uses it.

    Attributes:
        registry: what must not be forgotten.
        liveness: seconds for which a silent node counts as alive.
        clock: monotonic seconds; presences live by it.
        calendar: UNIX seconds, for what is written down.
        access: whether the registry can be used.
        certificates: who holds which.
        presences: nodes that were heard, now or by an earlier process of the aggregator, by name.
        news: set when something has happened at a node that planning should look at once.
    """

    registry: Registry
    liveness: float
    clock: Callable[[], float] = time.monotonic
    calendar: Callable[[], float] = time.time
    access: RegistryAccess = field(default_factory=RegistryAccess)
    certificates: NodeCertificates = field(init=False)
    presences: dict[str, Presence] = field(init=False, default_factory=dict)
    news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _unwritten: dict[str, Heartbeat] = field(init=False, default_factory=dict)
    _reading: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Read the registry. Raises MachineError."""
        self.certificates = certificates = NodeCertificates.read(self.registry)
        plan, beats, now = self.registry.latest_plan(), self.registry.heartbeats(), self.clock()
        planned = plan.by_node.keys() if plan else frozenset[str]()
        for name in (beats.keys() | planned) & certificates.nodes.keys():
            report = beats[name].report if name in beats else Report()
            fingerprint = certificates.nodes[name].fingerprint
            if fingerprint not in certificates.denials:
                self.presences[name] = remembered(name, fingerprint, report, now=now)

    def enrolled(self, node: EnrolledNode) -> None:
        """A node has its first certificate, or one that voids its earlier ones."""
        self.certificates = self.certificates.with_enrolled(node)

    def renewed(self, node: EnrolledNode) -> None:
        """A node has a renewed certificate, which it doesn't use yet."""
        self.certificates = self.certificates.with_renewed(node)

    def adopted(self, fingerprints: Iterable[bytes]) -> None:
        """The renewed certificates among these are in force."""
        named = set(fingerprints)
        self.certificates = self.certificates.with_adopted(named)
        for name, each in self.presences.items():
            if each.renewed in named:
                self.presences[name] = replace(
                    each, fingerprint=each.renewed, renewed=b"", ending=math.inf
                )

    def heard(self, peer: Caller, node: EnrolledNode, report: Report) -> None:
        """A node has sent a heartbeat."""
        before = self.presences.get(node.name)
        if before is None or before.report.session != report.session:
            _log.info("%s is here", node.name, extra={"address": report.address or "no inbound"})
        after = heard(
            before, node.name, node.fingerprint, report, now=self.clock(), liveness=self.liveness
        )
        after = self._with_renewal(after, peer, node)
        if before is None or _occasion(before) != _occasion(after):
            self.news.set()
        self.presences[node.name] = after
        self._unwritten[node.name] = Heartbeat(node.name, report, self.calendar())

    async def leave(self, peer: Caller, departure: Departure | None) -> None:
        """End the caller's membership. Raises RefusedError, MachineError.

        ``departure`` is its consent, for the others; None: it gives none.
        """
        remove, now = self.registry.remove, self.calendar()
        await asyncio.to_thread(remove, peer.name, reason=HAS_LEFT, now=now, departure=departure)
        _log.info("%s leaves", peer.name, extra={"consents": departure is not None})
        await self.refresh()

    async def adopt(self, fingerprints: Iterable[bytes]) -> None:
        """Put renewed certificates in force that need not wait for a plan."""
        named = list(fingerprints)
        if await self.access.succeeds(asyncio.to_thread(self.registry.adopt, named)):
            self.adopted(named)

    async def refresh(self) -> None:
        """Take what other programs have written to the registry; forget nodes that are denied."""
        if not await self.access.succeeds(self._read()):
            return
        for name, presence in list(self.presences.items()):
            if presence.fingerprint in self.certificates.denials:
                _log.warning("%s is denied", name)
                del self.presences[name]
                self._unwritten.pop(name, None)
                self.news.set()

    async def write(self) -> None:
        """Put what was heard since the last time on disk, for `status` and for a restart.

        If that fails, it is written the next time, unless something newer is heard.
        """
        beats, self._unwritten = self._unwritten, {}
        if beats and not await self.access.succeeds(
            asyncio.to_thread(self.registry.record, beats.values())
        ):
            self._unwritten = beats | self._unwritten

    async def keep_refreshing(self, seconds: float) -> None:
        """Refresh every ``seconds``, for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def keep_writing(self, seconds: float) -> None:
        """Write every ``seconds``, for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.write()

    async def _read(self) -> None:
        async with self._reading:
            before = self.certificates
            found = await asyncio.to_thread(NodeCertificates.read, self.registry)
            if self.certificates is not before:  # what was read may be old: the next time
                # But for denials, which nothing else changes here: whoever is denied could put
                # that off with changes of its own, one after another.
                found = replace(self.certificates, denials=found.denials)
            self.certificates = found

    def _with_renewal(self, presence: Presence, peer: Caller, node: EnrolledNode) -> Presence:
        """The presence of a node that calls with its renewed certificate, or doesn't."""
        if peer.fingerprint == node.fingerprint:
            return replace(presence, renewed=b"", ending=math.inf)
        if peer.fingerprint == presence.renewed:
            return presence
        left = _seconds_left(node, self.calendar())
        return replace(presence, renewed=peer.fingerprint, ending=self.clock() + left)


def _seconds_left(node: EnrolledNode, now: float) -> float:
    """Seconds until the last eighth of the life of a node's certificate begins."""
    issued, expires = life_of(node.certificate, where=f"certificate of {node.name}")
    return (expires - (expires - issued) / 8).timestamp() - now


def _occasion(presence: Presence) -> tuple[object, ...]:
    """The part of a presence whose change is a reason to plan at once; all else can wait."""
    report = presence.report
    return (
        presence.joined,
        presence.changed,
        presence.remembered,
        presence.renewed,
        report.session,
        report.address,
    )
