"""What a member keeps besides plans: its certificate, the authorities that it trusts, a denylist.

A heartbeat says which denylist and which authorities this node holds; the answer brings what is
newer, and whether the certificate should be renewed before its time.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from edge_node.errors import IdentityError, MachineError
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.succession import Successor, authorities_of, succeed
from edge_node.security.tls.denylist import Denylist
from tangentmesh.v1 import discovery_pb2

__all__ = ["Membership"]

_log = logging.getLogger(__name__)


@dataclass
class Membership:
    """A node's keyring and denylist, kept up to date from the aggregator's answers.

    ``renew_now`` is set when the aggregator asks for a renewal before half-life.
    """

    keyring: Keyring
    denylist: Denylist
    renew_now: asyncio.Event = field(default_factory=asyncio.Event)
    _complaint: str = ""

    @property
    def newest(self) -> Identity:
        """The newest identity: what the aggregator is shown."""
        return self.keyring.newest

    def describe(self, request: discovery_pb2.HeartbeatRequest) -> None:
        """Say what this node holds."""
        request.denylist = self.denylist.digest
        request.authorities.extend(authorities_of(self.newest.ca_pem))

    def take(self, reply: discovery_pb2.HeartbeatReply) -> None:
        """Take what is new. What can't be used is logged, once, and keeps nothing else back."""
        complaints = []
        for part in (self._take_denylist, self._take_authorities):
            try:
                part(reply)
            except (IdentityError, MachineError) as error:
                complaints.append(str(error))
        before, self._complaint = self._complaint, "; ".join(complaints)
        if self._complaint not in ("", before):
            _log.error("the aggregator's answer is not used, or not kept: %s", self._complaint)
        if reply.renew:
            self.renew_now.set()

    def _take_denylist(self, reply: discovery_pb2.HeartbeatReply) -> None:
        if reply.HasField("denylist"):
            self.denylist.replace(reply.denylist.fingerprints)
            _log.info("a new denylist", extra={"denied": len(reply.denylist.fingerprints)})

    def _take_authorities(self, reply: discovery_pb2.HeartbeatReply) -> None:
        offered = [Successor(each.certificate, each.proof) for each in reply.authorities]
        if offered:
            trusted = succeed(self.newest, offered)
            if trusted != self.newest.ca_pem:
                self.keyring.trust(trusted)
                _log.info("the federation's authorities have changed", extra={"now": len(offered)})
