"""An identity is loaded whole and checked, or not at all."""

import shutil
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity, load_identity, save_identity
from edge_node.security.pki.private_keys import generate_key

Member = Callable[..., Identity]


@pytest.fixture(scope="module")
def identity(member: Member) -> Identity:
    """A node's identity."""
    return member("hospital-a")


@pytest.fixture
def directory(tmp_path: Path, identity: Identity) -> Path:
    """A directory that holds it."""
    save_identity(tmp_path / "identity", identity)
    return tmp_path / "identity"


def test_round_trip(directory: Path, identity: Identity) -> None:
    """An identity is loaded as it was saved, from files that nobody else can read."""
    loaded = load_identity(directory)
    assert loaded == identity
    assert (loaded.node, loaded.federation) == ("hospital-a", "Lungs & hearts")
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert loaded.expires.tzinfo == UTC
    assert "PRIVATE" not in repr(loaded)


def test_aggregator(tmp_path: Path, member: Member) -> None:
    """The aggregator's identity is loaded the same way."""
    save_identity(tmp_path, member(AGGREGATOR))
    assert load_identity(tmp_path).node == AGGREGATOR


def test_fingerprint(identity: Identity) -> None:
    """The fingerprint is the one that other tools compute."""
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    assert identity.fingerprint == certificate.fingerprint(SHA256())


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "ca.pem"])
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "directory"])
def test_damaged_file(directory: Path, name: str, damage: str) -> None:
    """A missing or broken file is named."""
    path = directory / name
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"-----BEGIN CERTIFICATE-----\nx")
        path.chmod(0o600)
    with pytest.raises(IdentityError) as caught:
        load_identity(directory)
    assert caught.value.where == str(path)
    if damage == "missing":
        assert "edge-node enrol" in caught.value.remedy


def test_open_key(directory: Path) -> None:
    """A key that others may read is refused, with the command that closes it."""
    (directory / "key.pem").chmod(0o644)
    with pytest.raises(IdentityError, match=f"chmod 600 {directory / 'key.pem'}"):
        load_identity(directory)


def test_key_of_another_certificate(directory: Path) -> None:
    """Key and certificate must belong together."""
    (directory / "key.pem").write_bytes(generate_key())
    with pytest.raises(IdentityError, match="not the certificate's") as caught:
        load_identity(directory)
    assert caught.value.where == str(directory / "key.pem")


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_key_of_another_kind(directory: Path, kind: str) -> None:
    """A key that is not P-256 is refused."""
    key = (
        rsa.generate_private_key(65537, 2048)
        if kind == "rsa"
        else ec.generate_private_key(ec.SECP384R1())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "key.pem").write_bytes(text)
    with pytest.raises(IdentityError, match="P-256"):
        load_identity(directory)


def test_dates(directory: Path, identity: Identity) -> None:
    """Outside its dates an identity is refused; the message has dates, clock and remedy."""
    load_identity(directory, now=identity.expires)
    late, early = identity.expires + timedelta(seconds=1), identity.expires - timedelta(days=400)
    with pytest.raises(IdentityError, match="has expired") as caught:
        load_identity(directory, now=late)
    assert caught.value.where == str(directory / "certificate.pem")
    assert f"{identity.expires:%Y-%m-%d %H:%M:%S}" in caught.value.expected
    assert f"{late:%Y-%m-%d %H:%M:%S}" in caught.value.found
    assert "clock" in caught.value.remedy
    assert "edge-node enrol" in caught.value.remedy
    with pytest.raises(IdentityError, match="not valid yet"):
        load_identity(directory, now=early)


def test_foreign_authority(directory: Path, foreign_authority: Authority) -> None:
    """A certificate by another authority of the same name is refused, with both fingerprints."""
    (directory / "ca.pem").write_bytes(foreign_authority.certificate_pem)
    with pytest.raises(IdentityError, match=foreign_authority.fingerprint.hex()) as caught:
        load_identity(directory)
    assert "another authority" in caught.value.problem


def test_replacement_cut_short(directory: Path, identity: Identity, member: Member) -> None:
    """An identity that was only partly replaced is refused; a whole replacement is loaded."""
    renewed = member("hospital-a")
    before = directory.with_name("before")
    shutil.copytree(directory, before)
    save_identity(directory, renewed)
    assert load_identity(directory) == renewed
    (directory / "certificate.pem").write_bytes((before / "certificate.pem").read_bytes())
    with pytest.raises(IdentityError):
        load_identity(directory)
