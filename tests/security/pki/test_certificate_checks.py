"""A certificate is believed for one name, of one federation, within its dates; or the message says
what is wrong.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_node.config.names import AGGREGATOR
from edge_node.errors import IdentityError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity

Member = Callable[..., Identity]
NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)  # any authority is made before
URI = "tangentmesh://Lungs%20%26%20hearts/node/hospital-a"


@pytest.fixture(scope="module")
def identity(member: Member) -> Identity:
    """A node's identity."""
    return member("hospital-a")


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
