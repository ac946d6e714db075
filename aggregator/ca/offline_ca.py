"""The authority's own machine: it sees for itself that what it signs may be signed.

    key.pem, certificate.pem, next/    the authorities (``aggregator.ca.authorities``)
    issued/NAME.pem                    every certificate of a name whose life is not over, since it
                                       was last given to another key by hand

A renewal is signed if the key of a certificate in ``issued`` has signed the request. So whoever
carries the requests, a taken-over aggregator for instance, gets no certificate for a name that
somebody has; a first certificate for a new name, and one that replaces a lost key, are for the
operator to judge, who sees names and keys' fingerprints.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from aggregator.ca.authorities import Authorities
from aggregator.ca.offline_files import AuthorityEntry, Certificates, RequestEntry, RequestFile
from aggregator.registry.requests import Kind
from edge_node.config.names import AGGREGATOR, check_node_name
from edge_node.errors import ConfigurationError, IdentityError, RefusedError, TangentMeshError
from edge_node.security.files import make_private_directory, write_atomically
from edge_node.security.pki.certificates import life_of, parse_certificates, pem_of
from edge_node.security.pki.renewal import check_renewal
from edge_node.security.pki.signing_requests import key_fingerprint, requested_key

__all__ = ["Judgement", "Signer"]


@dataclass(frozen=True)
class Judgement:
    """A request, its key's fingerprint (hexadecimal), and why it can't be signed, if so."""

    entry: RequestEntry
    key: str
    problem: TangentMeshError | None = None


@dataclass(frozen=True)
class Signer:
    """An authority's directory, and how long certificates live."""

    directory: Path
    authorities: Authorities
    lifetime: timedelta

    @classmethod
    def open(cls, directory: Path, *, days: float = 90.0) -> "Signer":
        """Read the directory. Raises IdentityError, MachineError."""
        return cls(directory, Authorities.load(directory), timedelta(days=days))

    def judge(self, paper: RequestFile, replace: Collection[str]) -> list[Judgement]:
        """Look at each request; ``replace`` names whose lost keys may be replaced.

        Raises:
            ConfigurationError: the requests are another federation's.
        """
        if paper.federation != (own := self.authorities.present.federation):
            raise ConfigurationError(
                "the requests are another federation's",
                where=str(self.directory),
                expected=repr(own),
                found=repr(paper.federation),
            )
        times = Counter(entry.node for entry in paper.requests)
        return [
            self._judge(entry, replace) if times[entry.node] == 1 else _ambiguous(entry)
            for entry in paper.requests
        ]

    def sign(self, paper: RequestFile, entries: Collection[RequestEntry]) -> Certificates:
        """Sign requests that were judged good. Raises MachineError."""
        signed = [self._sign(entry, paper.hosts) for entry in entries]
        return Certificates(
            federation=paper.federation,
            authorities=tuple(
                AuthorityEntry(certificate=pem_of(each.certificate).decode(), proof=each.proof)
                for each in self.authorities.certificates
            ),
            certificates=tuple(pem.decode() for pem in signed),
        )

    def outdated(self) -> list[str]:
        """Names whose newest certificate is not the newest authority's."""
        files = sorted((self.directory / "issued").glob("*.pem"))
        held = [(file.stem, self._issued(file.stem)) for file in files]
        return [name for name, ders in held if ders and not self.authorities.renewed(ders[-1])]

    def _judge(self, entry: RequestEntry, replace: Collection[str]) -> Judgement:
        csr, key = entry.csr.encode(), ""
        try:
            if (entry.kind is Kind.AGGREGATOR) != (entry.node == AGGREGATOR):
                raise IdentityError("the name is of another kind", where=entry.node)
            if entry.node != AGGREGATOR:
                check_node_name(entry.node)
            key = key_fingerprint(csr, entry.node)
            self._check_owner(entry, csr, replace)
        except TangentMeshError as error:
            return Judgement(entry, key, error)
        return Judgement(entry, key)

    def _check_owner(self, entry: RequestEntry, csr: bytes, replace: Collection[str]) -> None:
        """Check that nobody else has the name. Raises IdentityError, RefusedError."""
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

    def _sign(self, entry: RequestEntry, hosts: tuple[str, ...]) -> bytes:
        """The aggregator's is the present authority's: nodes that were away know no other one.

        The key that a replaced certificate was for may have been stolen: it renews nothing.
        """
        own = entry.kind is Kind.AGGREGATOR
        renewal = entry.kind is Kind.RENEWAL
        signer = self.authorities.newest if renewal else self.authorities.present
        pem = signer.issue(
            entry.csr.encode(),
            node=entry.node,
            hosts=hosts if own else (),
            role="aggregator" if own else "node",
            lifetime=self.lifetime,
        )
        make_private_directory(self.directory / "issued")
        replaced = entry.kind is Kind.ENROLMENT
        held = b"" if replaced else b"".join(pem_of(each) for each in self._issued(entry.node))
        write_atomically(self._file(entry.node), held + pem)
        return pem

    def _file(self, node: str) -> Path:
        return self.directory / "issued" / f"{node}.pem"

    def _issued(self, node: str) -> list[bytes]:
        """The certificates of a name whose life is not over (DER), the newest last."""
        file = self._file(node)
        if not file.exists():
            return []
        parsed = parse_certificates(file.read_bytes(), where=str(file))
        ders = [each.public_bytes(Encoding.DER) for each in parsed]
        now = datetime.now(UTC)
        return [der for der in ders if life_of(der, where=str(file))[1] > now]


def _ambiguous(entry: RequestEntry) -> Judgement:
    """The first of two requests for one name would be as good as the second."""
    problem = RefusedError(
        "there are several requests for this name",
        where=entry.node,
        remedy="Have the aggregator write the file anew: it has one request a name",
    )
    return Judgement(entry, "", problem)


def _is_signed(csr: bytes, node: str, held: Collection[bytes]) -> bool:
    """Whether one of these certificates is for the request's key: it is asked for again."""
    key = requested_key(csr, node)
    certificates = parse_certificates(b"".join(map(pem_of, held)), where=node)
    return any(each.public_key() == key for each in certificates)
