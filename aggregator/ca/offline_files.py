"""The files that are carried between the aggregator and an offline authority.

    aggregator --requests--> authority --certificates--> aggregator

Neither holds a secret. What comes back is checked before it is imported.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from aggregator.registry.certificate_requests import RequestKind
from edge_node.errors import ConfigurationError
from edge_node.security.files import write_atomically

__all__ = [
    "AuthorityEntry",
    "CertificateFile",
    "RequestEntry",
    "RequestFile",
    "read_file",
    "write_file",
]


class RequestEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate request, PEM; ``proof`` is a signature by the key of the certificate before."""

    node: str
    kind: RequestKind
    csr: str
    proof: bytes = b""


class RequestFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All requests; ``hosts`` are for the aggregator's own certificate."""

    federation: str
    hosts: tuple[str, ...]
    requests: tuple[RequestEntry, ...]


class AuthorityEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authority's certificate, PEM, and the signature over it by the authority before."""

    certificate: str
    proof: bytes = b""


class CertificateFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The certificates that were issued, PEM, and all authorities."""

    federation: str
    authorities: tuple[AuthorityEntry, ...]
    certificates: tuple[str, ...]


File = TypeVar("File", RequestFile, CertificateFile)


def write_file(path: Path, content: RequestFile | CertificateFile) -> None:
    """Write a file for the other machine. Raises MachineError."""
    text = msgspec.json.format(msgspec.json.encode(content), indent=2)
    write_atomically(path, text + b"\n", mode=0o644)


def read_file(path: Path, kind: type[File]) -> File:
    """Read a file from the other machine. Raises ConfigurationError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        expected = "`aggregator ca requests`" if kind is RequestFile else "`aggregator ca sign`"
        raise ConfigurationError(
            "the file can't be read",
            where=str(path),
            expected=f"a file that {expected} has written",
            found=str(error),
        ) from error
