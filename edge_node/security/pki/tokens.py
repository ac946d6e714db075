"""Enrolment tokens: what an operator hands to a site, out of band, so that its node may join once.

    tm1. + base64url(length (2) | address | node | CA fingerprint (32) | secret (32) | checksum (4))

Address and node are preceded by their length in bytes (2, big-endian). Length and checksum tell a
token that was copied badly from one that the aggregator refuses. The aggregator keeps only the
secret's hash, and finds a token by it: the secret has 256 random bits, so a plain SHA-256 can't be
searched, and how long the search takes says nothing of the secret.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Self

from edge_node.config.names import check_node_name, split_address
from edge_node.errors import ConfigurationError, IdentityError

__all__ = ["Token", "hash_secret"]

_PREFIX = "tm1."
_DIGEST = 32
_SECRET = 32
_CHECKSUM = 4
_LETTERS = re.compile(r"[A-Za-z0-9_-]*")
_REMEDY = "Ask the federation's operator for a new token"


@dataclass(frozen=True)
class Token:
    """A one-time permission to enrol ``node`` at ``address`` (host:port) of a federation.

    ``ca_fingerprint`` is the SHA-256 of the authority's certificate, ``secret`` 32 random bytes.
    """

    address: str
    node: str
    ca_fingerprint: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, address: str, node: str, ca_fingerprint: bytes) -> Self:
        """A token with a fresh secret. Raises ConfigurationError for a wrong address or name."""
        split_address(address, where="enrolment address")
        check_node_name(node)
        return cls(address, node, ca_fingerprint, secrets.token_bytes(_SECRET))

    @property
    def secret_text(self) -> str:
        """The secret as it is sent in an enrolment request."""
        return _text(self.secret)

    def secret_hash(self) -> bytes:
        """What the aggregator stores: ``hash_secret(self.secret_text)``."""
        return hash_secret(self.secret_text)

    def encode(self) -> str:
        """The token as one word, for an e-mail or a command line."""
        address, node = self.address.encode(), self.node.encode()
        body = b"".join((_sized(address), _sized(node), self.ca_fingerprint, self.secret))
        counted = len(body).to_bytes(2, "big") + body
        return _PREFIX + _text(counted + _checksum(counted))

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a token; white space from line breaks in an e-mail is ignored.

        Raises:
            IdentityError: it is not a token, incomplete, or has a wrong character.
        """
        word = "".join(text.split())
        if not word.startswith(_PREFIX):
            raise _bad("not an enrolment token", f"a word that begins with {_PREFIX!r}", word[:8])
        data = _bytes(encoded := word.removeprefix(_PREFIX))
        length = int.from_bytes(data[:2], "big") + 2 + _CHECKSUM
        if len(data) != length:
            problem = "incomplete" if len(data) < length else "too long"
            raise _bad(f"the enrolment token is {problem}", f"{length} bytes", f"{len(data)} bytes")
        counted = data[:-_CHECKSUM]
        if _checksum(counted) != data[-_CHECKSUM:] or _text(data) != encoded:
            raise _bad("the enrolment token has a wrong character", "a token as it was issued")
        return cls._parse(counted[2:])

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        try:
            address, body = _take(body)
            node, body = _take(body)
            if len(body) == _DIGEST + _SECRET:
                split_address(address)
                check_node_name(node)
                return cls(address, node, body[:_DIGEST], body[_DIGEST:])
        except (ValueError, ConfigurationError):
            pass
        raise _bad("the enrolment token is of an unknown form", "a token of this version")


def hash_secret(secret_text: str) -> bytes:
    """SHA-256 of a secret as it came in an enrolment request, 32 bytes."""
    return hashlib.sha256(secret_text.encode()).digest()


def _bad(problem: str, expected: str, found: str = "") -> IdentityError:
    return IdentityError(
        problem,
        where="enrolment token",
        expected=expected,
        found=repr(found) if found else "",
        remedy=f"Copy it again, whole. {_REMEDY} if that does not help",
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """The bytes of a text that may be cut short anywhere. Raises IdentityError."""
    if not _LETTERS.fullmatch(text):
        raise _bad("the enrolment token has a wrong character", "letters, digits, '-' and '_'")
    whole = text[:-1] if len(text) % 4 == 1 else text  # one letter alone holds no byte
    return base64.urlsafe_b64decode(whole + "=" * (-len(whole) % 4))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _take(data: bytes) -> tuple[str, bytes]:
    """A text that follows its length, and the rest. Raises ValueError."""
    end = 2 + int.from_bytes(data[:2], "big")
    if len(data) < end:
        raise ValueError("too short")
    return data[2:end].decode(), data[end:]


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECKSUM]
