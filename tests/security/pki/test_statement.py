"""A signature is good for the very statement that it was made for, and for no other."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import parse_key
from edge_node.security.pki.statement import Fact, Purpose, SignedBody, Statement
from tests.vectors import oracle

Member = Callable[..., Identity]
FACTS = st.one_of(st.text(), st.integers(0, 2**64 - 1), st.binary())
STATEMENTS = st.builds(
    Statement, st.sampled_from(Purpose), st.lists(FACTS, max_size=4).map(tuple), st.binary()
)
SAID = Statement(Purpose.CLAIM, ("hospital-a", 3, bytes(32)), b"body")


@pytest.fixture(scope="module")
def signer(member: Member) -> Identity:
    """Node hospital-a."""
    return member("hospital-a")


@given(STATEMENTS)
def test_the_bytes_say_all_of_a_statement(statement: Statement) -> None:
    """It can be read back from them, so no two statements have the same; the oracle's are equal."""
    prefix, facts = statement.encode().split(b"\0", 1)
    assert prefix == b"tangentmesh/v1/signed"
    purpose, context, body = msgspec.msgpack.decode(facts)
    assert Statement(Purpose(purpose), tuple(context), body) == statement
    assert statement.encode() == oracle.statement(purpose, context, body)


@given(STATEMENTS, STATEMENTS)
def test_a_signature_holds_for_its_statement(
    signer: Identity, said: Statement, other: Statement
) -> None:
    """What is verified is returned; another statement is refused."""
    signature = said.sign(signer)
    assert said.verify(signer.certificate_der, signature) == said.body
    if other != said:
        with pytest.raises(IdentityError, match="not by this certificate's key"):
            other.verify(signer.certificate_der, signature)


CHANGES = [
    replace(SAID, context=("hospital-b", 3, bytes(32))),
    replace(SAID, context=("hospital-a", 4, bytes(32))),
    replace(SAID, context=("hospital-a", 3, bytes(31))),
    replace(SAID, context=("hospital-a", 3)),
    replace(SAID, context=("hospital-a", 3, bytes(32), b"body"), body=b""),
    replace(SAID, context=(b"hospital-a", 3, bytes(32))),
    replace(SAID, body=b"bod"),
    replace(SAID, body=b""),
]


@pytest.mark.parametrize("other", CHANGES)
def test_any_change_is_refused(signer: Identity, other: Statement) -> None:
    """Of a fact, of a fact's kind, of the body; or where context ends and body begins."""
    signature = SAID.sign(signer)
    SAID.verify(signer.certificate_der, signature)
    with pytest.raises(IdentityError, match="not by this certificate's key"):
        other.verify(signer.certificate_der, signature)


@pytest.mark.parametrize(("made", "used"), [*product(Purpose, Purpose)])
def test_no_purpose_serves_another(signer: Identity, made: Purpose, used: Purpose) -> None:
    """All pairs, everything else being equal; the control is each purpose with itself."""
    signature = replace(SAID, purpose=made).sign(signer)
    statement = replace(SAID, purpose=used)
    if made is used:
        assert statement.verify(signer.certificate_der, signature) == b"body"
    else:
        with pytest.raises(IdentityError, match=f"{used} statement signed as CN=hospital-a"):
            statement.verify(signer.certificate_der, signature)


def test_another_signer(signer: Identity, member: Member) -> None:
    """A signature of one node is refused as another's; the message names whom it was taken for."""
    with pytest.raises(IdentityError, match="CN=hospital-b"):
        SAID.verify(member("hospital-b").certificate_der, SAID.sign(signer))


@given(st.binary())
def test_what_is_no_signature(signer: Identity, other: bytes) -> None:
    """Random bytes, or a signature cut short."""
    for signature in (other, SAID.sign(signer)[:-1]):
        with pytest.raises(IdentityError, match="not by this certificate's key"):
            SAID.verify(signer.certificate_der, signature)


def test_a_signature_over_the_bare_body_is_none(signer: Identity) -> None:
    """As other programs, or TLS, might have the key make."""
    key = parse_key(signer.key_pem, where="test")
    for message in (b"body", SAID.encode()):
        signature = key.sign(message, ec.ECDSA(SHA256()))
        if message == SAID.encode():
            SAID.verify(signer.certificate_der, signature)  # the control
        else:
            with pytest.raises(IdentityError):
                SAID.verify(signer.certificate_der, signature)


def test_without_a_key_nothing_is_signed(authority: Authority) -> None:
    """An authority's whose key is elsewhere."""
    with pytest.raises(IdentityError, match="not a private key"):
        SAID.sign(replace(authority, key_pem=b""))
    SAID.verify(authority.certificate_pem, SAID.sign(authority))


def test_a_signed_body_travels(signer: Identity, member: Member) -> None:
    """Its reader fills in purpose and context, and believes its own authority only."""
    content, reader = SignedBody.of(SAID, signer).encode(), member("hospital-b")
    signed = SignedBody.decode(content, Purpose.CLAIM, node="hospital-a")
    found = signed.verify(Purpose.CLAIM, SAID.context, node="hospital-a", reader=reader)
    assert found == b"body"
    with pytest.raises(IdentityError, match="another member's"):
        signed.verify(Purpose.CLAIM, SAID.context, node="hospital-b", reader=reader)
    stranger = replace(reader, federation="another")
    with pytest.raises(IdentityError, match="another member's"):
        signed.verify(Purpose.CLAIM, SAID.context, node="hospital-a", reader=stranger)
    others: list[tuple[Purpose, tuple[Fact, ...]]] = [
        (Purpose.MASKING_KEY, SAID.context),
        (Purpose.CLAIM, ()),
    ]
    for purpose, context in others:
        with pytest.raises(IdentityError, match="not by this certificate's key"):
            signed.verify(purpose, context, node="hospital-a", reader=reader)


@pytest.mark.parametrize("content", [b"", b"\xff", b"\x92\xc4\0\xc4\0", b"\x93\xa0\xc4\0\xc4\0"])
def test_what_is_no_signed_body(content: bytes) -> None:
    """Nothing, garbage, two fields, a text for bytes: an error with the node's name."""
    with pytest.raises(IdentityError, match="node b: a node's claim statement can't be read"):
        SignedBody.decode(content, Purpose.CLAIM, node="b")
