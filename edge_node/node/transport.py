"""A node's place in the tree: a server for its children, and a link to its parent."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_node.config import FederationSpec, NodeConfig
from edge_node.config.names import join_address, split_address
from edge_node.network.epoch.guard import Guard
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.exchange.exchange_server import ExchangeServer, ExchangeService
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.network.exchange.sweep import Board
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.framing import Traffic
from edge_node.security.pki.identity import Identity
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
from edge_node.security.tls.denylist import Denylist

__all__ = ["Transport"]


@dataclass
class Transport:
    """Both ends of a node's edges.

    Attributes:
        config: the node's: where it listens, if at all, and what peers dial.
        spec: the federation's.
        identity: as peers know the node.
        feed: plans.
        store: records of runs.
        denylist: certificates that no call is accepted from.
        address: what peers dial, once it is known.
        traffic: bytes by edge.
    """

    config: NodeConfig
    spec: FederationSpec
    identity: Callable[[], Identity]
    feed: PlanFeed
    store: RecordStore
    denylist: Denylist
    address: str = ""
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self._board = Board()
        self._service = ExchangeService(
            node=self.config.name,
            federation=self.spec.name,
            feed=self.feed,
            store=self.store,
            board=self._board,
            traffic=self.traffic,
            deadline=self.spec.timing.step,
            denylist=self.denylist,
        )
        self.link = ParentLink(
            identity=self.identity,
            feed=self.feed,
            traffic=self.traffic,
            deadline=self.spec.timing.step,
            denylist=self.denylist,
        )
        listen = self.config.listen
        self._server = ExchangeServer(self._service, listen) if listen else None

    @property
    def unreachable(self) -> frozenset[str]:
        """Peers that could not be reached, or whose call broke off."""
        return self.link.unreachable | self._service.broken

    async def start(self) -> None:
        """Listen, where the node does. Raises MachineError: the port is in use."""
        if self._server is not None:
            self.address = self._advertised(await self._server.start(self.identity))

    async def stop(self) -> None:
        """Hang up, and stop listening."""
        await self.link.close()
        if self._server is not None:
            await self._server.stop()

    def network(self, run: int, guard: Guard, ledger: PrivacyLedger | None) -> TreeNetwork:
        """A run's network; without a ledger it takes part in no sum with noise."""
        return TreeNetwork(
            run=run,
            identity=self.identity,
            feed=self.feed,
            store=self.store,
            board=self._board,
            link=self.link,
            guard=guard,
            ledger=ledger,
        )

    def _advertised(self, port: int) -> str:
        """host:port that peers dial; port 0 stands for the one that was bound."""
        default = f"{socket.getfqdn()}:0"
        host, wanted = split_address(self.config.advertise or default, lowest_port=0)
        return join_address(host, wanted or port)
