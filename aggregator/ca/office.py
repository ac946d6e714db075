"""The aggregator's own certificate and its authorities, as they change while it runs."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aggregator.ca.authorities import Authorities
from aggregator.ca.certification import Certification
from aggregator.directory.layout import AggregatorConfig, Directory
from edge_node.config.names import AGGREGATOR
from edge_node.errors import ConfigurationError, TangentMeshError
from edge_node.security.pki.certificates import life_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request

__all__ = ["Office", "make_identity"]

_log = logging.getLogger(__name__)
_REMEDY = "Restore the aggregator's identity folder from a backup, or run `aggregator init` anew"

_Stamp = tuple[tuple[str, int], ...]


def make_identity(authorities: Authorities, config: AggregatorConfig) -> Identity:
    """A new key for the aggregator, and a certificate for it with all its hosts.

    The present authority signs it: nodes that were away know no other one.
    """
    key, authority = generate_key(), authorities.present
    request = signing_request(key, AGGREGATOR)
    certificate = authority.issue(
        request, node=AGGREGATOR, hosts=config.hosts, role="aggregator", lifetime=config.lifetime
    )
    return Identity(AGGREGATOR, authority.federation, key, certificate, authorities.ca_pem)


@dataclass
class Office:
    """Reads again what `aggregator ca` changes, and renews the aggregator's own certificate.

    Attributes:
        directory: the aggregator's.
        config: its configuration.
        authorities: as they are now.
        own: the aggregator's identity.
    """

    directory: Directory
    config: AggregatorConfig
    authorities: Authorities
    own: Keyring
    _seen: _Stamp
    _trouble: str = ""

    @classmethod
    def open(cls, directory: Directory, config: AggregatorConfig) -> Self:
        """Read authorities and identity; an identity whose life is over is replaced.

        Raises:
            ConfigurationError: it has no certificate yet.
            IdentityError: something is missing or broken.
        """
        seen = _stamp(directory.authority)
        authorities = Authorities.load(directory.authority, elsewhere=config.authority_elsewhere)
        certificate = directory.identity / "certificate.pem"
        if authorities.elsewhere and not certificate.exists():
            raise ConfigurationError(
                "the aggregator has no certificate yet",
                where=str(directory.identity),
                remedy="`aggregator ca requests FILE`; have it signed on the authority's machine"
                " (`aggregator ca sign`); `aggregator ca import`",
            )
        if not authorities.elsewhere and _has_ended(certificate):
            _log.warning("the aggregator's certificate has ended; it gets a new one")
            own = Keyring.begin(directory.identity, make_identity(authorities, config))
        else:
            own = Keyring.open(directory.identity, remedy=_REMEDY)
            own.promote()
        if own.current.ca_pem != authorities.ca_pem:
            own.trust(authorities.ca_pem)
        return cls(directory, config, authorities, own, seen)

    async def keep_renewing(self, certification: Certification, seconds: float) -> None:
        """Look every ``seconds``, for ever; trouble is said once and tried again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                if (stamp := _stamp(self.directory.authority)) != self._seen:
                    self._reload(certification)
                    self._seen = stamp
                self._renew()
                self._trouble = ""
            except (TangentMeshError, OSError) as error:
                if str(error) != self._trouble:
                    _log.error("the aggregator's certificates can't be kept up: %s", error)
                self._trouble = str(error)

    def _reload(self, certification: Certification) -> None:
        elsewhere = self.config.authority_elsewhere
        self.authorities = Authorities.load(self.directory.authority, elsewhere=elsewhere)
        self._renew()
        if self.own.current.ca_pem != self.authorities.ca_pem:
            self.own.trust(self.authorities.ca_pem)
        certification.authorities = self.authorities
        _log.info("read the authorities again", extra={"now": len(self.authorities.certificates)})

    def _renew(self) -> None:
        """Put a renewed certificate in force, or see to it that there will be one."""
        self.own.refresh()
        if self.own.renewed is not None:
            self.own.promote()
            _log.info("the aggregator has a new certificate")
        current = self.own.current
        known = self.authorities.issued(current.certificate_der)
        if known and datetime.now(UTC) < current.renewal_due:
            return
        if not self.authorities.elsewhere:
            self.own.keep(make_identity(self.authorities, self.config))
            self.own.promote()
            _log.info("renewed the aggregator's certificate")
        else:
            self.own.request_key()
            raise ConfigurationError(
                "the aggregator's certificate should be renewed",
                where=str(self.directory.identity),
                found=f"it ends at {current.expires:%Y-%m-%d %H:%M} UTC",
                remedy="`aggregator ca requests FILE`; have it signed; `aggregator ca import`",
            )


def _has_ended(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    _, expires = life_of(certificate.read_bytes(), where=str(certificate))
    return expires < datetime.now(UTC)


def _stamp(directory: Path) -> _Stamp:
    """Changes whenever a file in the directory does."""
    return tuple(sorted((str(f), f.stat().st_mtime_ns) for f in directory.rglob("*")))
