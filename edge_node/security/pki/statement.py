r"""Signed statements: the only messages that a node's key, or an authority's, ever signs.

A statement is made for one purpose and in one context, and both are signed with its body:

    "tangentmesh/v1/signed\0" | msgpack([purpose, [fact, ...], body])

Canonical msgpack gives each value one encoding, and different values different ones. So a signature
is good for the very statement that it was made for: not for another purpose, node, epoch or plan.
The first byte, a "t", keeps statements apart from all else that these keys sign: certificates and
requests (DER) begin with 0x30, the signature of a TLS 1.3 handshake is over 64 spaces and more.
"""

import enum
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from edge_node.errors import IdentityError
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.certificates import der_of, fingerprint_of, parse_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import parse_key

__all__ = ["Fact", "KeyHolder", "Purpose", "SignedBody", "Statement"]

_PREFIX = b"tangentmesh/v1/signed\0"

Fact: TypeAlias = str | int | bytes
"""A name, a number from zero on, or a digest."""


class Purpose(enum.StrEnum):
    """What a signature is good for. The comment gives context | body."""

    MASKING_KEY = "masking-key"  # node, epoch, plan hash, hash of all claims | X25519 public key
    CLAIM = "claim"  # node, epoch, plan hash | how far the node is, and what it says of its rows
    TRANSCRIPT = "transcript"  # node, run | hash of all that the node was told
    DEPARTURE = "departure"  # federation, node, epoch | nothing: to be left out is consented to
    RENEWAL = "renewal"  # node | signing request for a new key
    SUCCESSION = "succession"  # nothing | certificate of the authority that follows


class KeyHolder(Protocol):
    """An owner of a private key: an ``Identity`` or an ``Authority``."""

    @property
    def key_pem(self) -> bytes:
        """P-256, PEM."""
        ...


@dataclass(frozen=True)
class Statement:
    """What is signed.

    Attributes:
        purpose: what the signature is good for.
        context: where and when it holds. A verifier fills in what it knows, not what it is told.
        body: what is said.
    """

    purpose: Purpose
    context: tuple[Fact, ...]
    body: bytes = b""

    def encode(self) -> bytes:
        """The bytes that are signed."""
        return _PREFIX + msgspec.msgpack.encode((self.purpose, self.context, self.body))

    def sign(self, holder: KeyHolder) -> bytes:
        """An ECDSA signature (P-256, SHA-256), DER. Raises IdentityError if there is no key."""
        key = parse_key(holder.key_pem, where=f"signer of a {self.purpose} statement")
        return key.sign(self.encode(), ec.ECDSA(SHA256()))

    def verify(self, certificate: bytes, signature: bytes) -> bytes:
        """The body, if the owner of a certificate has signed this statement.

        Whether the certificate is to be believed is for the caller to check.

        Args:
            certificate: the signer's, DER or PEM.
            signature: as ``sign`` makes it.

        Raises:
            IdentityError: it was not signed, or another statement was, or by another key.
        """
        parsed = parse_certificate(certificate, where="signer's certificate")
        key = parsed.public_key()
        try:
            if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
                key.verify(signature, self.encode(), ec.ECDSA(SHA256()))
                return self.body
        except InvalidSignature:
            pass
        fingerprint = fingerprint_of(der_of(certificate)).hex()
        raise IdentityError(
            "the signature is not by this certificate's key",
            where=f"{self.purpose} statement signed as {parsed.subject.rfc4514_string()}",
            expected="an ECDSA P-256 signature of this very statement by the key of the certificate"
            f" with fingerprint {fingerprint}",
            remedy="Ask this node's operator; don't use the message",
        )


class SignedBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A statement's body on its way along the tree, in msgpack: [body, certificate, signature].

    Purpose and context stay at home: each reader knows them, and fills in its own.
    """

    body: bytes
    certificate: bytes
    signature: bytes

    @classmethod
    def of(cls, statement: Statement, identity: Identity) -> Self:
        """A statement's body with the signature of ``identity``."""
        return cls(statement.body, identity.certificate_der, statement.sign(identity))

    @classmethod
    def decode(cls, content: bytes, purpose: Purpose, *, node: str) -> Self:
        """Read what ``node`` is said to have sent, not verified yet. Raises IdentityError."""
        try:
            return msgspec.msgpack.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IdentityError(
                f"a node's {purpose} statement can't be read",
                where=f"node {node}",
                found=str(error),
            ) from error

    def encode(self) -> bytes:
        """As it is sent."""
        return msgspec.msgpack.encode(self)

    def verify(
        self, purpose: Purpose, context: tuple[Fact, ...], *, node: str, reader: Identity
    ) -> bytes:
        """The body, if ``node`` has signed it for this purpose in this context.

        Args:
            purpose: what it must have been signed for.
            context: as the reader knows it.
            node: the node that must have signed.
            reader: its authority is the only one that is believed.

        Raises:
            IdentityError: the certificate is not the authority's, another node's or out of date; or
                its key has not signed this.
        """
        check_certificate(self.certificate, reader.ca_pem, name=node, federation=reader.federation)
        return Statement(purpose, context, self.body).verify(self.certificate, self.signature)
