"""The federation's certificate authorities: one, or two while a new one takes over.

    certificate.pem, key.pem         the present one
    next/certificate.pem, key.pem    the one that replaces it
    next/proof                       the present one's signature over the next one's certificate
    next/retiring                    the next one is about to be the present one

Where the authority is offline, the aggregator has the same directory without the keys.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from edge_node.errors import ConfigurationError, MachineError
from edge_node.security.files import make_private_directory, remove, write_atomically
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import is_issued_by
from edge_node.security.pki.certificates import der_of, fingerprint_of, pem_of
from edge_node.security.pki.succession import Successor

__all__ = ["Authorities"]

_NEXT, _PROOF, _RETIRING = "next", "proof", "retiring"


@dataclass(frozen=True)
class Authorities:
    """The certificates to trust, and the keys that are here.

    Attributes:
        certificates: of the present authority, and of the next one if there is one.
        present: issues first certificates, and the aggregator's own.
        newest: issues renewals: the next one, or else the present one.
    """

    certificates: tuple[Successor, ...]
    present: Authority = field(repr=False)
    newest: Authority = field(repr=False)

    @classmethod
    def of(cls, authority: Authority) -> Self:
        """One authority alone."""
        return cls((Successor(der_of(authority.certificate_pem)),), authority, authority)

    @classmethod
    def load(cls, directory: Path, *, offline: bool = False) -> Self:
        """Read the directory; a takeover that was broken off is completed.

        Raises:
            IdentityError: an authority is missing or broken, or has expired.
            MachineError: a file can't be read or written.
        """
        if (directory / _NEXT / _RETIRING).exists():
            _take_over(directory, offline=offline)
        found = cls.of(Authority.load(directory, offline=offline))
        if not (directory / _NEXT / _PROOF).exists():
            return found
        newest = Authority.load(directory / _NEXT, offline=offline)
        proof = _read(directory / _NEXT / _PROOF)
        successor = Successor(der_of(newest.certificate_pem), proof)
        return cls((*found.certificates, successor), found.present, newest)

    @property
    def offline(self) -> bool:
        """Whether the keys are on another machine, so that nothing can be signed here."""
        return not self.present.key_pem

    @property
    def rolling(self) -> bool:
        """Whether a new authority is taking over."""
        return len(self.certificates) > 1

    @property
    def ca_pem(self) -> bytes:
        """The certificates of all authorities, PEM."""
        return b"".join(pem_of(each.certificate) for each in self.certificates)

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """SHA-256 of each certificate; tokens pin the first."""
        return tuple(fingerprint_of(each.certificate) for each in self.certificates)

    def newest_issued(self, certificate_der: bytes) -> bool:
        """Whether the newest authority has issued a certificate."""
        return is_issued_by(certificate_der, self.certificates[-1].certificate)

    def issued(self, certificate_der: bytes) -> bool:
        """Whether one of these authorities has issued a certificate."""
        return any(is_issued_by(certificate_der, each.certificate) for each in self.certificates)

    def rotate(self, directory: Path) -> "Authorities":
        """Make a new authority that takes over; the present one signs its certificate.

        Raises:
            ConfigurationError: one is taking over already, or the authority is offline.
            MachineError: the directory can't be written; nothing has changed.
        """
        if self.rolling:
            raise ConfigurationError(
                "a new authority is taking over already",
                where=str(directory / _NEXT),
                found=f"fingerprint {self.fingerprints[1].hex()}",
                remedy="End that first: `aggregator ca retire`",
            )
        if self.offline:
            raise ConfigurationError(
                "the authority's key is not here",
                where=str(directory),
                remedy="Run this on the authority's machine: `aggregator ca rotate --ca DIRECTORY`",
            )
        shutil.rmtree(directory / _NEXT, ignore_errors=True)
        newest = Authority.create(directory / _NEXT, self.present.federation)
        successor = Successor.of(der_of(newest.certificate_pem), self.present)
        write_atomically(directory / _NEXT / _PROOF, successor.proof)  # only now there is a next
        return Authorities.load(directory)

    def retire(self, directory: Path) -> "Authorities":
        """Let the new authority be the only one.

        Raises:
            ConfigurationError: no new authority is taking over.
            MachineError: the directory can't be written; the next ``load`` completes it.
        """
        if not self.rolling:
            raise ConfigurationError(
                "no new authority is taking over",
                where=str(directory),
                remedy="Begin with `aggregator ca rotate`",
            )
        write_atomically(directory / _NEXT / _RETIRING, b"")
        return Authorities.load(directory, offline=self.offline)

    def accept(self, directory: Path, offered: tuple[Successor, ...]) -> "Authorities":
        """Take the authorities that the offline authority's machine has, without their keys.

        Raises:
            MachineError: the directory can't be written.
        """
        if offered == self.certificates:
            return self
        if self.rolling and offered[0].certificate == self.certificates[1].certificate:
            self.retire(directory)
        if len(offered) > 1:
            newest = Authority(self.present.federation, b"", pem_of(offered[1].certificate))
            newest.save(directory / _NEXT)
            write_atomically(directory / _NEXT / _PROOF, offered[1].proof)
        return Authorities.load(directory, offline=True)


def _take_over(directory: Path, *, offline: bool) -> None:
    """Make the next authority the present one. Broken off anywhere, it can be done again."""
    make_private_directory(directory)
    Authority.load(directory / _NEXT, offline=offline).save(directory)
    for name in (_PROOF, _RETIRING):
        remove(directory / _NEXT / name)
    shutil.rmtree(directory / _NEXT, ignore_errors=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MachineError(
            "the file can't be read",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Restore it from a backup",
        ) from error
