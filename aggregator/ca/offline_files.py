"""The files that travel between the aggregator and an authority whose key is on another machine.

    aggregator --requests--> authority --certificates--> aggregator

Neither holds a secret. What comes back is checked: only what was asked for, for the key that asked,
issued by the federation's authority, is taken in.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from aggregator.registry.requests import Kind
from edge_node.errors import ConfigurationError
from edge_node.security.files import write_atomically

__all__ = [
    "AuthorityEntry",
    "Certificates",
    "RequestEntry",
    "RequestFile",
    "read_paper",
    "write_paper",
]


class RequestEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate that is asked for; ``proof`` is by the key of the one before."""

    node: str
    kind: Kind
    csr: str
    proof: bytes = b""


class RequestFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All requests; ``hosts`` are for the aggregator's own certificate."""

    federation: str
    hosts: tuple[str, ...]
    requests: tuple[RequestEntry, ...]


class AuthorityEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authority's certificate, PEM, and the signature of the one before over it."""

    certificate: str
    proof: bytes = b""


class Certificates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was signed, PEM, and all authorities."""

    federation: str
    authorities: tuple[AuthorityEntry, ...]
    certificates: tuple[str, ...]


Paper = TypeVar("Paper", RequestFile, Certificates)


def write_paper(file: Path, paper: RequestFile | Certificates) -> None:
    """Write a file for the other machine. Raises MachineError."""
    text = msgspec.json.format(msgspec.json.encode(paper), indent=2)
    write_atomically(file, text + b"\n", mode=0o644)


def read_paper(file: Path, kind: type[Paper]) -> Paper:
    """Read a file from the other machine. Raises ConfigurationError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        expected = "`aggregator ca requests`" if kind is RequestFile else "`aggregator ca sign`"
        raise ConfigurationError(
            "the file can't be read",
            where=str(file),
            expected=f"a file that {expected} has written",
            found=str(error),
        ) from error
