"""A node's certificate stays young: it is renewed when half of its life is over.

The new key is on disk before its certificate is asked for: if the answer is lost, the node asks
again, and gets the same one. A failed attempt is repeated; the nearer the end, the sooner.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc

from edge_node.errors import TangentMeshError
from edge_node.network.discovery.client import PATIENCE, discovery_channel
from edge_node.network.discovery.membership import Membership
from edge_node.network.discovery.pauses import Rest, rest, varied
from edge_node.security.pki.identity import Identity, identity_of
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.renewal import renewal_request
from edge_node.security.tls.call_errors import discovery_error
from tangentmesh.v1 import discovery_pb2, discovery_pb2_grpc

__all__ = ["Renewal", "renew"]

_log = logging.getLogger(__name__)
_LONGEST = 3600.0  # seconds between two looks at the calendar: machines sleep, clocks are set
_SHORTEST = 1.0
_SHARE = 0.05  # of the time that is left, between two attempts; of a life, for the jitter


async def renew(address: str, keyring: Keyring) -> Identity | None:
    """Ask for a certificate with a new key, and keep it beside the one in force.

    Args:
        address: host:port of the discovery service.
        keyring: whose newest identity asks; the new one is kept there.

    Returns:
        The new identity; None: an offline authority has yet to sign it.

    Raises:
        NetworkError: the aggregator doesn't answer.
        RefusedError: it answers, but doesn't renew this certificate.
        IdentityError: what it answers is not a certificate for this node's new key.
        MachineError: the directory can't be written.
    """
    key_pem, newest = keyring.request_key(), keyring.newest
    csr, proof = renewal_request(newest, key_pem)
    async with discovery_channel(address, newest) as channel:
        stub = discovery_pb2_grpc.DiscoveryStub(channel)
        request = discovery_pb2.RenewRequest(csr=csr, proof=proof)
        try:
            reply = await stub.Renew(request, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise await discovery_error(error, address, newest) from error
    if not reply.certificate:
        return None
    where = f"certificate renewed by {address}"
    renewed = identity_of(key_pem, reply.certificate, newest.ca_pem, where=where)
    keyring.keep(renewed)
    return renewed


@dataclass
class Renewal:
    """Renews in time, for as long as the node runs.

    Attributes:
        address: host:port of the discovery service.
        membership: holds the certificate, and knows whether the aggregator asks for a new one.
        renewed: is called when there is a new certificate.
        clock: the calendar that certificates are compared with.
        random: between 0 and 1, so that nodes don't come all at once.
        rest: how it waits.
        trouble: why the newest attempt failed; empty if it did not.
    """

    address: str
    membership: Membership
    renewed: Callable[[], None]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Callable[[], float] = random.random
    rest: Rest = rest
    trouble: str = ""

    async def run(self) -> None:
        """For ever; ends by being cancelled."""
        while True:
            await self._until_due()
            if await self._attempt():
                self.renewed()
            await self._pause()  # also after success: this machine's clock may be far ahead

    async def _attempt(self) -> bool:
        """Whether there is a new certificate."""
        newest, asked = self.membership.newest, self.membership.renew_now.is_set()
        self.membership.renew_now.clear()
        try:
            renewed = await renew(self.address, self.membership.keyring)
        except TangentMeshError as error:
            if not asked or str(error) != self.trouble:
                self._complain(error, newest)
            self.trouble = str(error)
            return False
        if renewed is None:
            self.trouble = "the authority has yet to sign it"
            return False
        self.trouble = ""
        _log.info("the certificate was renewed", extra={"expires": f"{renewed.expires:%Y-%m-%d}"})
        return True

    async def _until_due(self) -> None:
        """Return when the newest certificate's half-life is over, or renewal is asked for."""
        jitter = self.random()
        while (left := self._until(jitter)) > 0:
            if not self.membership.renew_now.is_set():
                self.trouble = ""  # nothing is due any more: it was renewed by hand, for instance
            await self.rest(min(left, _LONGEST), self.membership.renew_now)
            if self.membership.renew_now.is_set():
                return

    def _until(self, jitter: float) -> float:
        newest = self.membership.newest
        due = newest.renewal_due + jitter * _SHARE * newest.lifetime
        return (due - self.clock()).total_seconds()

    async def _pause(self) -> None:
        """Until the next attempt is due, or the aggregator has news."""
        left = (self.membership.newest.expires - self.clock()).total_seconds()
        pause = min(max(_SHARE * left, _SHORTEST), _LONGEST)
        await self.rest(varied(pause, self.random()), self.membership.renew_now)

    def _complain(self, error: TangentMeshError, newest: Identity) -> None:
        left = newest.expires - self.clock()
        level = logging.ERROR if left < newest.lifetime / 4 else logging.WARNING
        days = left.total_seconds() / 86400
        text = "the certificate could not be renewed, and ends in %.1f days: %s"
        _log.log(level, text, days, error)
