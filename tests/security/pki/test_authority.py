"""The authority chooses every name; a request brings a key and a proof, and nothing else."""

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from edge_node.config.names import AGGREGATOR
from edge_node.errors import ConfigurationError, IdentityError, MachineError
from edge_node.security.files import write_atomically
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)  # any authority is made before


def request(key: object, *names: x509.GeneralName, subject: str = "anything") -> bytes:
    """A signing request (PEM) with names that an applicant would like to have."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_create_and_load(tmp_path: Path) -> None:
    """An authority is loaded as it was created, from private files; its fingerprint is the one
    that other tools compute.
    """
    created = Authority.create(tmp_path / "ca", "Lungs & hearts", now=NOW)
    assert Authority.load(tmp_path / "ca", now=NOW) == created
    certificate = x509.load_pem_x509_certificate(created.certificate_pem)
    assert created.fingerprint == certificate.fingerprint(SHA256())
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "ca").iterdir()} == {0o600}
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in repr(created)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature


@pytest.mark.parametrize("left", ["key.pem", "certificate.pem"])
def test_no_second_authority(tmp_path: Path, left: str) -> None:
    """An authority is never replaced, not even half of one."""
    Authority.create(tmp_path, "mesh")
    for path in tmp_path.iterdir():
        if path.name != left:
            path.unlink()
    before = (tmp_path / left).read_bytes()
    with pytest.raises(ConfigurationError, match="already holds") as caught:
        Authority.create(tmp_path, "mesh")
    assert caught.value.where == str(tmp_path / left)
    assert (tmp_path / left).read_bytes() == before


def test_unusable_directory(tmp_path: Path) -> None:
    """A directory that can't be made is named."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MachineError) as caught:
        Authority.create(tmp_path / "file", "mesh")
    assert caught.value.where == str(tmp_path / "file")


def test_federation_name(tmp_path: Path) -> None:
    """A federation's name that a certificate can't hold is refused before anything is written."""
    with pytest.raises(ConfigurationError, match="federation"):
        Authority.create(tmp_path / "ca", "x" * 65)
    assert not (tmp_path / "ca").exists()


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem"])
@pytest.mark.parametrize("damage", ["missing", "garbage", "another"])
def test_damaged_authority(tmp_path: Path, name: str, damage: str) -> None:
    """A missing, broken or foreign file is named."""
    Authority.create(tmp_path / "ca", "mesh")
    Authority.create(tmp_path / "other", "mesh")
    path = tmp_path / "ca" / name
    if damage == "missing":
        path.unlink()
    else:
        other = (tmp_path / "other" / name).read_bytes()
        path.write_bytes(b"garbage" if damage == "garbage" else other)
    with pytest.raises(IdentityError) as caught:
        Authority.load(tmp_path / "ca")
    assert caught.value.where.startswith(str(tmp_path / "ca"))
    if damage != "another":
        assert caught.value.where == str(path)
    if damage == "missing":
        assert "aggregator init" in caught.value.remedy


def test_expired_authority(tmp_path: Path) -> None:
    """An authority past its own end is refused."""
    Authority.create(tmp_path, "mesh", now=NOW)
    with pytest.raises(IdentityError, match=r"has expired.*2036"):
        Authority.load(tmp_path, now=NOW + timedelta(days=4000))


def test_node_as_authority(tmp_path: Path, member: Callable[..., Identity]) -> None:
    """A node's key and certificate are no authority."""
    node = member("hospital-a")
    write_atomically(tmp_path / "key.pem", node.key_pem)
    write_atomically(tmp_path / "certificate.pem", node.certificate_pem)
    with pytest.raises(IdentityError, match=r"not an authority's.*found CN=hospital-a"):
        Authority.load(tmp_path)


def test_node_certificate(authority: Authority) -> None:
    """A node's certificate holds for its name, from five minutes ago, and is no authority."""
    key_pem = generate_key()
    pem = authority.issue(signing_request(key_pem, "a"), node="hospital-a", lifetime=DAY, now=NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + DAY
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    federation = authority.federation
    for now in (NOW - timedelta(minutes=5), NOW + DAY):
        check_certificate(
            pem, authority.certificate_pem, name="hospital-a", federation=federation, now=now
        )


def test_requested_names_are_ignored(authority: Authority) -> None:
    """What a request asks for is ignored: subject, names, and thereby roles."""
    csr = request(
        ec.generate_private_key(ec.SECP256R1()),
        x509.DNSName(AGGREGATOR),
        x509.UniformResourceIdentifier("tangentmesh://Lungs%20%26%20hearts/aggregator"),
        subject=AGGREGATOR,
    )
    pem = authority.issue(csr, node="hospital-a", lifetime=DAY)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.DNSName("hospital-a"),
        x509.UniformResourceIdentifier("tangentmesh://Lungs%20%26%20hearts/node/hospital-a"),
    ]
    assert certificate.subject.rfc4514_string() == "CN=hospital-a"


def test_aggregator_certificate(authority: Authority) -> None:
    """The aggregator's certificate also carries the hosts that people reach it by."""
    csr = signing_request(generate_key(), AGGREGATOR)
    hosts = ["mesh.example.org", "10.0.0.1", "::1"]
    pem = authority.issue(csr, node=AGGREGATOR, hosts=hosts, role="aggregator", lifetime=DAY)
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == [AGGREGATOR, "mesh.example.org"]
    assert names.value.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_serial_numbers(authority: Authority) -> None:
    """Two certificates for one key and name are two certificates."""
    csr = signing_request(generate_key(), "a")
    serials = {
        x509.load_pem_x509_certificate(
            authority.issue(csr, node="a", lifetime=DAY, now=NOW)
        ).serial_number
        for _ in range(5)
    }
    assert len(serials) == 5
    assert min(serials).bit_length() > 64


def test_end_of_authority(authority: Authority) -> None:
    """No certificate outlives its authority."""
    csr = signing_request(generate_key(), "a")
    pem = authority.issue(csr, node="a", lifetime=timedelta(days=40_000))
    end = x509.load_pem_x509_certificate(authority.certificate_pem).not_valid_after_utc
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == end


@pytest.mark.parametrize(
    ("node", "role", "hosts"),
    [
        ("Hospital A", "node", []),
        ("aggregator", "node", []),
        ("", "node", []),
        ("hospital-a", "aggregator", []),
        ("hospital-a", "node", ["mesh.example.org"]),
        ("aggregator", "aggregator", ["no host"]),
        ("aggregator", "aggregator", ["*.example.org"]),
        ("aggregator", "aggregator", [""]),
        ("aggregator", "root", []),
    ],
)
def test_names_not_allowed(authority: Authority, node: str, role: str, hosts: list[str]) -> None:
    """A node can't be given the aggregator's name, hosts or role, nor a name that is none."""
    csr = signing_request(generate_key(), "a")
    with pytest.raises(ConfigurationError):
        authority.issue(csr, node=node, role=role, hosts=hosts, lifetime=DAY)  # type: ignore[arg-type]


def broken_signature() -> bytes:
    """A request signed by a key other than the one it is for."""
    der = bytearray(
        x509.load_pem_x509_csr(request(ec.generate_private_key(ec.SECP256R1()))).public_bytes(
            Encoding.DER
        )
    )
    place = der.index(b"anything")
    der[place : place + 8] = b"nobody's"
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("csr", "complaint"),
    [
        (b"", "not a certificate signing request"),
        (b"garbage", "not a certificate signing request"),
        (broken_signature(), "signature is wrong"),
        (request(rsa.generate_private_key(65537, 2048)), "key is of another kind"),
        (request(ec.generate_private_key(ec.SECP384R1())), "key is of another kind"),
        (request(ed25519.Ed25519PrivateKey.generate()), "key is of another kind"),
    ],
    ids=["empty", "garbage", "signature", "rsa", "p384", "ed25519"],
)
def test_bad_request(authority: Authority, csr: bytes, complaint: str) -> None:
    """A request that is broken, not signed by its key, or for another kind of key is refused."""
    with pytest.raises(IdentityError, match=complaint) as caught:
        authority.issue(csr, node="hospital-a", lifetime=DAY)
    assert "hospital-a" in caught.value.where
