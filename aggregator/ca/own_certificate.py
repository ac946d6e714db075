"""The aggregator's own certificate and its authorities, as they change while it runs."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aggregator.ca.authorities import Authorities
from aggregator.directory.config import AggregatorConfig
from aggregator.directory.layout import Directory
from edge_node.config.names import AGGREGATOR
from edge_node.errors import ConfigurationError, TangentMeshError
from edge_node.security.pki.certificates import life_of
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request

__all__ = ["OwnCertificate", "issue_own"]

_log = logging.getLogger(__name__)
_REMEDY = "Restore the aggregator's identity folder from a backup, or run `aggregator init` anew"

_Stamp = tuple[tuple[str, int], ...]


def _now() -> datetime:
    return datetime.now(UTC)


def issue_own(authorities: Authorities, config: AggregatorConfig) -> Identity:
    """A new key for the aggregator, and a certificate for it with all its hosts.

    The present authority signs it: nodes that were away don't know the next one.
    """
    key, authority = generate_key(), authorities.present
    request = signing_request(key, AGGREGATOR)
    certificate = authority.issue(
        request, node=AGGREGATOR, hosts=config.hosts, role="aggregator", lifetime=config.lifetime
    )
    return Identity(AGGREGATOR, authority.federation, key, certificate, authorities.ca_pem)


@dataclass
class OwnCertificate:
    """Renews the aggregator's own certificate, and reads again what `aggregator ca` changes.

    Attributes:
        directory: the aggregator's.
        config: its configuration.
        authorities: as they are now.
        keyring: the aggregator's identity, and a renewed one.
        now: the clock.
    """

    directory: Directory
    config: AggregatorConfig
    authorities: Authorities
    keyring: Keyring
    now: Callable[[], datetime]
    _seen: _Stamp
    _trouble: str = ""

    @classmethod
    def open(
        cls,
        directory: Directory,
        config: AggregatorConfig,
        *,
        now: Callable[[], datetime] = _now,
    ) -> Self:
        """Read authorities and identity; an expired identity is replaced.

        Raises:
            ConfigurationError: it has no certificate yet.
            IdentityError: something is missing or broken.
        """
        seen = _stamp(directory.authority)
        authorities = Authorities.load(directory.authority, offline=config.authority_offline)
        if authorities.offline and not directory.certificate.exists():
            raise ConfigurationError(
                "the aggregator has no certificate yet",
                where=str(directory.identity),
                remedy="`aggregator ca requests FILE`; have it signed on the authority's machine"
                " (`aggregator ca sign`); `aggregator ca import`",
            )
        if not authorities.offline and _has_ended(directory.certificate, now()):
            _log.warning("the aggregator's certificate has ended; it gets a new one")
            keyring = Keyring.begin(directory.identity, issue_own(authorities, config))
        else:
            keyring = Keyring.open(directory.identity, remedy=_REMEDY)
            keyring.promote()
        if keyring.current.ca_pem != authorities.ca_pem:
            keyring.trust(authorities.ca_pem)
        return cls(directory, config, authorities, keyring, now, seen)

    @property
    def identity(self) -> Identity:
        """The aggregator's identity now."""
        return self.keyring.current

    async def keep_current(self, seconds: float) -> None:
        """Check every ``seconds``, for ever."""
        while True:
            await asyncio.sleep(seconds)
            self.check()

    def check(self) -> None:
        """Read the authorities again if they have changed, and renew the certificate if it is due.

        Trouble is logged once, and the next check tries again.
        """
        try:
            if (stamp := _stamp(self.directory.authority)) != self._seen:
                self._reload()
                self._seen = stamp
            self._renew(self.authorities)
            self._trouble = ""
        except (TangentMeshError, OSError) as error:
            if str(error) != self._trouble:
                _log.error("the aggregator's certificates can't be kept up: %s", error)
            self._trouble = str(error)

    def _reload(self) -> None:
        """Read the authorities. They count once one of them has issued this certificate."""
        authorities = Authorities.load(
            self.directory.authority, offline=self.config.authority_offline
        )
        self._renew(authorities)
        if self.keyring.current.ca_pem != authorities.ca_pem:
            self.keyring.trust(authorities.ca_pem)
        self.authorities = authorities
        _log.info("read the authorities again", extra={"now": len(authorities.certificates)})

    def _renew(self, authorities: Authorities) -> None:
        """Put a renewed certificate in force, or see to it that there will be one."""
        keyring = self.keyring
        keyring.refresh()
        if keyring.renewed is not None:
            keyring.promote()
            _log.info("the aggregator has a new certificate")
        current = keyring.current
        if authorities.issued(current.certificate_der) and self.now() < current.renewal_due:
            return
        if not authorities.offline:
            keyring.keep(issue_own(authorities, self.config))
            keyring.promote()
            _log.info("renewed the aggregator's certificate")
        else:
            keyring.request_key()
            raise ConfigurationError(
                "the aggregator's certificate should be renewed",
                where=str(self.directory.identity),
                found=f"it ends at {current.expires:%Y-%m-%d %H:%M} UTC",
                remedy="`aggregator ca requests FILE`; have it signed; `aggregator ca import`",
            )


def _has_ended(certificate: Path, now: datetime) -> bool:
    if not certificate.exists():
        return False
    _, expires = life_of(certificate.read_bytes(), where=str(certificate))
    return expires < now


def _stamp(directory: Path) -> _Stamp:
    """Changes whenever a file in the directory does."""
    return tuple(sorted((str(f), f.stat().st_mtime_ns) for f in directory.rglob("*")))
