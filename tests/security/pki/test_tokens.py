"""Enrolment tokens survive e-mail, and a bad copy is told apart from a refused token."""

import base64
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_node.errors import ConfigurationError, IdentityError
from edge_node.security.pki.tokens import Token, hash_secret

digests = st.binary(min_size=32, max_size=32)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
hosts = labels | st.sampled_from(["10.0.0.1", "[::1]", "mesh.example.org"])
addresses = st.builds("{}:{}".format, hosts, st.integers(1, 65535))
tokens = st.builds(
    Token, addresses, labels.filter(lambda name: name != "aggregator"), digests, digests
)


@given(tokens)
def test_round_trip(token: Token) -> None:
    """A token is read back as it was written."""
    text = token.encode()
    assert text.startswith("tm1.")
    assert Token.decode(text) == token
    assert Token.decode(f"  {text[:40]}\n{text[40:]}\r\n") == token


@given(tokens, st.data())
def test_truncated(token: Token, data: st.DataObject) -> None:
    """A truncated token is refused as incomplete."""
    text = token.encode()
    length = data.draw(st.integers(4, len(text) - 1))
    with pytest.raises(IdentityError, match="incomplete") as caught:
        Token.decode(text[:length])
    assert "Copy it again" in caught.value.remedy


@given(tokens, st.data())
def test_wrong_character(token: Token, data: st.DataObject) -> None:
    """Any wrong character is noticed."""
    text = token.encode()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/é"))
    assume(letter != text[place])
    with pytest.raises(IdentityError):
        Token.decode(text[:place] + letter + text[place + 1 :])


@given(st.text() | st.text().map("tm1.{}".format))
def test_other_text(text: str) -> None:
    """Other text is refused in the project's own words."""
    with pytest.raises(IdentityError, match="enrolment token"):
        Token.decode(text)


def test_too_long() -> None:
    """Text after the token is refused."""
    text = Token.create("mesh.example:7701", "hospital-a", bytes(32)).encode()
    with pytest.raises(IdentityError, match="too long"):
        Token.decode(text + "AAAA")


def test_impossible_node() -> None:
    """A well formed token for an impossible node is refused."""
    text = Token("mesh.example:7701", "aggregator", bytes(32), bytes(32)).encode()
    with pytest.raises(IdentityError, match="unknown form"):
        Token.decode(text)


def test_secrets() -> None:
    """Secrets are fresh and stay out of logs."""
    one, other = (Token.create("mesh.example:7701", "hospital-a", bytes(32)) for _ in range(2))
    assert one.secret != other.secret
    assert len(one.secret) == 32
    assert repr(one.secret) not in repr(one)
    assert one.secret_text not in repr(one)
    assert base64.urlsafe_b64decode(one.secret_text + "=") == one.secret


def test_stored_hash() -> None:
    """The stored hash is that of its secret only."""
    one, other = (Token.create("mesh.example:7701", "hospital-a", bytes(32)) for _ in range(2))
    assert one.secret_hash() == hash_secret(one.secret_text)
    for wrong in (other.secret_text, "", one.secret_text + "A", "é"):
        assert hash_secret(wrong) != one.secret_hash()


@pytest.mark.parametrize(
    ("address", "node"), [("mesh", "hospital-a"), ("mesh:0", "a"), ("mesh:7701", "Hospital A")]
)
def test_wrong_address_or_name(address: str, node: str) -> None:
    """A token for a wrong address or name is not made."""
    with pytest.raises(ConfigurationError):
        Token.create(address, node, bytes(32))
