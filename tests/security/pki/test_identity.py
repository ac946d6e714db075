"""An identity is loaded whole and checked, or not at all."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity, load_identity, save_identity
from edge_node.security.pki.private_keys import generate_key

Member = Callable[..., Identity]
NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)  # any authority is made before
URI = "tangentmesh://Lungs%20%26%20hearts/node/hospital-a"


@pytest.fixture(scope="module")
def identity(member: Member) -> Identity:
    """A node's identity."""
    return member("hospital-a")


@pytest.fixture
def directory(tmp_path: Path, identity: Identity) -> Path:
    """A directory that holds it."""
    save_identity(tmp_path / "identity", identity)
    return tmp_path / "identity"


def forge(
    authority: Authority,
    *,
    names: list[x509.GeneralName],
    uses: list[x509.ObjectIdentifier] | None,
) -> bytes:
    """A certificate (DER), valid at NOW, by an authority that doesn't keep this project's rules."""
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer.subject)
        .issuer_name(issuer.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    key = load_pem_private_key(authority.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


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


def test_certificate_holds(identity: Identity, member: Member) -> None:
    """Certificates of nodes and of the aggregator hold, for their own name only."""
    aggregator = member(AGGREGATOR)
    for one in (identity, aggregator):
        check_certificate(
            one.certificate_der, one.ca_pem, name=one.node, federation="Lungs & hearts"
        )
    for one, name in ((identity, "hospital-b"), (identity, AGGREGATOR), (aggregator, "hospital-a")):
        with pytest.raises(IdentityError, match=r"URI.*expected tangentmesh.*found tangentmesh"):
            check_certificate(one.certificate_der, one.ca_pem, name=name, federation=one.federation)
    with pytest.raises(IdentityError, match=r"expected tangentmesh://other/node/hospital-a"):
        check_certificate(
            identity.certificate_der, identity.ca_pem, name="hospital-a", federation="other"
        )


both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
dns, uri = x509.DNSName("hospital-a"), x509.UniformResourceIdentifier(URI)
other = x509.UniformResourceIdentifier("https://example.org/")


@pytest.mark.parametrize(
    ("names", "uses", "complaint"),
    [
        ([dns, uri], both[:1], "extended key usage.*found client authentication"),
        ([dns, uri], both[1:], "extended key usage.*found server authentication"),
        ([dns, uri], None, "extended key usage.*found none"),
        ([x509.DNSName("hospital-b"), uri], both, "lacks.*expected hospital-a, found hospital-b"),
        ([uri], both, "lacks.*found no DNS name"),
        ([dns], both, "names no member.*found no URI"),
        ([], both, "names no member.*found no URI"),
        ([dns, other], both, "names no member.*found https"),
        ([dns, uri, other], both, "names no member"),
    ],
)
def test_irregular_certificate(
    authority: Authority,
    names: list[x509.GeneralName],
    uses: list[x509.ObjectIdentifier] | None,
    complaint: str,
) -> None:
    """Each thing that a certificate lacks is named, with expected and found."""
    facts = {"name": "hospital-a", "federation": authority.federation, "now": NOW}
    sound = forge(authority, names=[dns, uri], uses=both)
    check_certificate(sound, authority.certificate_pem, **facts)
    with pytest.raises(IdentityError, match=complaint):
        check_certificate(
            forge(authority, names=names, uses=uses), authority.certificate_pem, **facts
        )


def test_leaf_is_no_authority(authority: Authority, identity: Identity) -> None:
    """A node can't issue certificates, though its own is good."""
    posing = replace(authority, key_pem=identity.key_pem, certificate_pem=identity.certificate_pem)
    forged = forge(posing, names=[dns, uri], uses=both)
    with pytest.raises(IdentityError, match="another authority"):
        check_certificate(
            forged,
            identity.certificate_pem,
            name="hospital-a",
            federation="Lungs & hearts",
            now=NOW,
        )


def test_expired_certificate(expired: Member) -> None:
    """A peer's expired certificate is refused by name."""
    old = expired("hospital-b")
    with pytest.raises(IdentityError, match=r"certificate of hospital-b: .*expired.*2020-01-02"):
        check_certificate(
            old.certificate_der, old.ca_pem, name="hospital-b", federation=old.federation
        )
