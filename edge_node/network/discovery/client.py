"""The discovery service's client: says that this node lives, and takes the newest plan.

Silence of the aggregator changes nothing: the node goes on with the plan it has.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from edge_node.config.names import AGGREGATOR, split_address
from edge_node.errors import ConfigurationError, NetworkError
from edge_node.federation.report import Report
from edge_node.network.discovery.membership import Membership
from edge_node.network.discovery.pauses import Rest, rest, varied
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.wire.report import report_message
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.identity import Identity
from edge_node.security.tls.call_errors import discovery_error, refusal
from edge_node.security.tls.credentials import channel_credentials, channel_options
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = [
    "PATIENCE",
    "DiscoveryClient",
    "ask_clock",
    "discovery_channel",
    "read_address",
]

_log = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds for one call of the discovery service."""


@dataclass
class DiscoveryClient:
    """Heartbeats to the aggregator.

    Attributes:
        address: host:port of the discovery service.
        identity: this node's, asked for anew whenever a channel is opened.
        feed: is offered new plans.
        heartbeat: seconds between calls; each pause is varied by a quarter.
        report: what to say.
        departed: is called with each departed node's consent, before a plan without it is taken.
        membership: takes what the answers bring besides plans; None: that is ignored.
        reachable: whether the newest call was answered.
        waiting: why there is no newer plan, in the aggregator's words.
        refusal: why the aggregator doesn't let this node take part; empty if it does.
        trouble: why it can't be reached; empty if it can.
        random: between 0 and 1: varies the pauses.
        rest: how it waits.
    """

    address: str
    identity: Callable[[], Identity]
    feed: PlanFeed
    heartbeat: float
    report: Callable[[], Report]
    membership: Membership | None = None
    departed: Callable[[Departure], None] = lambda departure: None
    reachable: bool = False
    waiting: str = ""
    refusal: str = ""
    trouble: str = ""
    random: Callable[[], float] = random.random
    rest: Rest = rest
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Something has changed that the aggregator should know at once."""
        self._news.set()

    async def run(self) -> None:
        """Call for ever; ends by being cancelled."""
        while True:
            identity = self.identity()
            async with discovery_channel(self.address, identity) as channel:
                stub = discovery_pb2_grpc.DiscoveryStub(channel)
                while self.identity() == identity:  # a renewed one needs a channel of its own
                    self._news.clear()
                    self.feed.behind.clear()
                    await self._beat(stub)
                    await self._pause()

    async def _beat(self, stub: discovery_pb2_grpc.DiscoveryStub) -> None:
        request = report_message(self.report())
        if self.membership is not None:
            self.membership.describe(request)
        try:
            reply = await stub.Heartbeat(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            await self._note(error)
            return
        if not self.reachable:
            _log.info("the aggregator answers", extra={"address": self.address})
        self.reachable, self.waiting, self.refusal, self.trouble = True, reply.waiting, "", ""
        if self.membership is not None:
            self.membership.take(reply)
        for each in reply.departures:
            self.departed(Departure(each.node, each.certificate, each.epoch, each.signature))
        if reply.HasField("plan"):
            try:
                self.feed.offer(reply.plan)
            except NetworkError as error:
                _log.error("a plan is not used: %s", error)

    async def _note(self, error: grpc.aio.AioRpcError) -> None:
        refused = refusal(error)
        if refused is not None and refused != self.refusal:
            _log.error("the aggregator refuses this node: %s", refused)
        if refused is None and (self.reachable or not self.trouble):
            explained = await discovery_error(error, self.address, self.identity())
            self.trouble = str(explained)
            _log.warning("the aggregator can't be reached; going on without it: %s", explained)
        self.reachable, self.refusal = refused is not None, refused or self.refusal

    async def _pause(self) -> None:
        """Until the next heartbeat is due, or there is news."""
        seconds = varied(self.heartbeat, self.random())
        await self.rest(seconds, self._news, self.feed.behind)


def read_address(path: Path) -> str:
    """The discovery service's host:port, as enrolment left it. Raises ConfigurationError."""
    try:
        address = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            "the discovery service's address is not known",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Run `edge-node enrol TOKEN`",
        ) from error
    split_address(address, where=str(path))
    return address


async def ask_clock(address: str, identity: Identity) -> timedelta:
    """How far the aggregator's clock is ahead of this machine's; changes nothing there.

    Raises:
        NetworkError: it doesn't answer.
        RefusedError: it answers, but doesn't let this node take part.
    """
    async with discovery_channel(address, identity) as channel:
        stub = discovery_pb2_grpc.DiscoveryStub(channel)
        try:
            reply = await stub.Heartbeat(discovery_pb2.HeartbeatRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise await discovery_error(error, address, identity) from error
    ahead: timedelta = reply.time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
    return ahead


def discovery_channel(address: str, identity: Identity) -> grpc.aio.Channel:
    """A channel to the discovery service, to be closed by whoever opens it."""
    return grpc.aio.secure_channel(
        address, channel_credentials(identity), options=channel_options(AGGREGATOR)
    )
