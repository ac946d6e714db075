"""The offline authority's own machine: it decides for itself what it may sign.

    key.pem, certificate.pem, next/    the authorities (``aggregator.ca.authorities``)
    issued/NAME.pem                    the certificates of a name that have not expired; none from
                                       before its key was replaced by hand

A renewal is signed if the key of a certificate in ``issued`` has signed the request. So nobody who
writes the request file, such as an aggregator that was taken over, gets a certificate for a name
that another node has. A first certificate for a new name, and one that replaces a lost key, are for
the operator to judge, who sees the names and the keys' fingerprints.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding

from aggregator.ca.authorities import Authorities
from aggregator.ca.offline_files import AuthorityEntry, CertificateFile, RequestEntry, RequestFile
from aggregator.registry.certificate_requests import RequestKind
from edge_node.config.names import AGGREGATOR, check_node_name
from edge_node.errors import ConfigurationError, IdentityError, RefusedError, TangentMeshError
from edge_node.security.files import make_private_directory, write_atomically
from edge_node.security.pki.certificates import life_of, parse_certificates, pem_of
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import key_fingerprint, requested_key

__all__ = ["OfflineAuthority", "Review"]


@dataclass(frozen=True)
class Review:
    """A request, its key's fingerprint (hexadecimal), and why it must not be signed, if so."""

    entry: RequestEntry
    key: str
    problem: TangentMeshError | None = None


@dataclass(frozen=True)
class OfflineAuthority:
    """An authority's directory on its own machine, and how long certificates live."""

    directory: Path
    authorities: Authorities
    lifetime: timedelta

    @classmethod
    def open(cls, directory: Path, *, days: float = 90.0) -> Self:
        """Read the directory. Raises IdentityError, MachineError."""
        return cls(directory, Authorities.load(directory), timedelta(days=days))

    def review(self, file: RequestFile, replace: Collection[str]) -> list[Review]:
        """Check each request; ``replace`` names nodes whose lost keys may be replaced.

        Raises:
            ConfigurationError: the requests are another federation's.
        """
        if file.federation != (own := self.authorities.present.federation):
            raise ConfigurationError(
                "the requests are another federation's",
                where=str(self.directory),
                expected=repr(own),
                found=repr(file.federation),
            )
        times = Counter(entry.node for entry in file.requests)
        return [
            self._review(entry, replace) if times[entry.node] == 1 else _ambiguous(entry)
            for entry in file.requests
        ]

    def issue(self, file: RequestFile, entries: Collection[RequestEntry]) -> CertificateFile:
        """Issue certificates for requests that may be signed. Raises MachineError."""
        issued = [self._issue(entry, file.hosts) for entry in entries]
        return CertificateFile(
            federation=file.federation,
            authorities=tuple(
                AuthorityEntry(certificate=pem_of(each.certificate).decode(), proof=each.proof)
                for each in self.authorities.certificates
            ),
            certificates=tuple(pem.decode() for pem in issued),
        )

    def not_renewed(self) -> list[str]:
        """Names whose newest certificate was not issued by the newest authority."""
        files = sorted((self.directory / "issued").glob("*.pem"))
        held = [(file.stem, self._issued(file.stem)) for file in files]
        return [
            name for name, ders in held if ders and not self.authorities.newest_issued(ders[-1])
        ]

    def _review(self, entry: RequestEntry, replace: Collection[str]) -> Review:
        csr, key = entry.csr.encode(), ""
        try:
            if (entry.kind is RequestKind.AGGREGATOR) != (entry.node == AGGREGATOR):
                raise IdentityError("the name is of another kind", where=entry.node)
            if entry.node != AGGREGATOR:
                check_node_name(entry.node)
            key = key_fingerprint(csr, entry.node)
            self._check_owner(entry, csr, replace)
        except TangentMeshError as error:
            return Review(entry, key, error)
        return Review(entry, key)

    def _check_owner(self, entry: RequestEntry, csr: bytes, replace: Collection[str]) -> None:
        """Check that no other key has the name. Raises IdentityError, RefusedError."""
        held = self._issued(entry.node)
        if not held or entry.node in replace or _is_signed(csr, entry.node, held):
            return
        if not entry.proof:
            raise RefusedError(
                "the name has a certificate, and its key has not signed this request",
                where=entry.node,
                remedy=f"If the key is lost, and the key's fingerprint is the one that the site"
                f" tells you: --replace {entry.node}",
            )
        for certificate in held[:-1]:
            with suppress(IdentityError):
                check_renewal(entry.node, certificate, csr, entry.proof)
                return
        check_renewal(entry.node, held[-1], csr, entry.proof)

    def _issue(self, entry: RequestEntry, hosts: tuple[str, ...]) -> bytes:
        """A certificate, PEM.

        The present authority issues the aggregator's: nodes that were away don't know the next one.
        The key of a replaced certificate may have been stolen, so it is forgotten: it can't renew.
        """
        own = entry.kind is RequestKind.AGGREGATOR
        renewal = entry.kind is RequestKind.RENEWAL
        signer = self.authorities.newest if renewal else self.authorities.present
        pem = signer.issue(
            entry.csr.encode(),
            node=entry.node,
            hosts=hosts if own else (),
            role="aggregator" if own else "node",
            lifetime=self.lifetime,
        )
        make_private_directory(self.directory / "issued")
        replaced = entry.kind is RequestKind.ENROLMENT
        held = b"" if replaced else b"".join(pem_of(each) for each in self._issued(entry.node))
        write_atomically(self._file(entry.node), held + pem)
        return pem

    def _file(self, node: str) -> Path:
        return self.directory / "issued" / f"{node}.pem"

    def _issued(self, node: str) -> list[bytes]:
        """The certificates of a name that have not expired (DER), the newest last."""
        file = self._file(node)
        if not file.exists():
            return []
        parsed = parse_certificates(file.read_bytes(), where=str(file))
        ders = [each.public_bytes(Encoding.DER) for each in parsed]
        now = datetime.now(UTC)
        return [der for der in ders if life_of(der, where=str(file))[1] > now]


def _ambiguous(entry: RequestEntry) -> Review:
    """Neither of two requests for one name is signed: nobody can tell which is the right one."""
    problem = RefusedError(
        "there are several requests for this name",
        where=entry.node,
        remedy="Run `aggregator ca requests` again: the aggregator writes one request a name",
    )
    return Review(entry, "", problem)


def _is_signed(csr: bytes, node: str, held: Collection[bytes]) -> bool:
    """Whether one of these certificates is for the request's key: then it is requested again."""
    key = requested_key(csr, node)
    certificates = parse_certificates(b"".join(map(pem_of, held)), where=node)
    return any(each.public_key() == key for each in certificates)
