"""The federation's authorities as the aggregator has them: one, or two while a new one takes over.

    ca/certificate.pem, key.pem         the present one
    ca/next/certificate.pem, key.pem    the one that replaces it
    ca/next/proof                       the present one's signature over the next one's certificate

Where keys are kept elsewhere, the same certificates are here without them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from edge_node.errors import MachineError
from edge_node.security.authority import Authority
from edge_node.security.certificates import der_of, fingerprint_of, pem_of
from edge_node.security.succession import Successor

__all__ = ["NEXT", "PROOF", "Authorities"]

NEXT, PROOF = "next", "proof"


@dataclass(frozen=True)
class Authorities:
    """The certificates to trust, and the keys that are here.

    Attributes:
        certificates: of the present authority, and of the next one if there is one.
        present: it issues to whoever enrols, and to the aggregator; None: its key is elsewhere.
        newest: it issues renewals: the next one, or else the present one; None as above.
    """

    certificates: tuple[Successor, ...]
    present: Authority | None = field(repr=False)
    newest: Authority | None = field(repr=False)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the authority's directory. Raises IdentityError, MachineError."""
        present = Authority.load(directory)
        certificates = [Successor(der_of(present.certificate_pem))]
        newest = present
        if (directory / NEXT).exists():
            newest = Authority.load(directory / NEXT)
            certificates.append(
                Successor(der_of(newest.certificate_pem), _read(directory / NEXT / PROOF))
            )
        return cls(
            tuple(certificates),
            present if present.key_pem else None,
            newest if newest.key_pem else None,
        )

    @classmethod
    def of(cls, authority: Authority) -> Self:
        """One authority alone."""
        return cls((Successor(der_of(authority.certificate_pem)),), authority, authority)

    @property
    def ca_pem(self) -> bytes:
        """All of them, PEM."""
        return b"".join(pem_of(each.certificate) for each in self.certificates)

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """SHA-256 of each certificate; tokens pin the first."""
        return tuple(fingerprint_of(each.certificate) for each in self.certificates)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MachineError(
            "the file can't be read",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Restore it from a backup, or run `aggregator ca rotate` again",
        ) from error
