"""An offline authority: what is carried, what is signed, and what is refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from aggregator.ca.authorities import Authorities
from aggregator.ca.issuer import Issuer
from aggregator.ca.offline_authority import OfflineAuthority
from aggregator.ca.offline_client import export_requests, import_certificates
from aggregator.ca.offline_files import (
    CertificateFile,
    RequestEntry,
    RequestFile,
    read_file,
    write_file,
)
from aggregator.ca.own_certificate import OwnCertificate
from aggregator.ca.trust import NodesTrust
from aggregator.directory.config import load_config
from aggregator.directory.layout import Directory
from aggregator.members.members import Members
from aggregator.registry.certificate_requests import RequestKind
from aggregator.registry.registry import Denial, EnrolledNode, Registry
from aggregator.setup import create_token
from edge_node.errors import ConfigurationError, IdentityError, RefusedError
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import parse_certificate, pem_of
from edge_node.security.pki.identity import Identity, load_identity
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.renewal import renewal_request
from edge_node.security.pki.signing_requests import requested_key, signing_request
from edge_node.security.pki.statement import Purpose, Statement
from edge_node.security.pki.tokens import Token
from edge_node.security.tls.credentials import Caller
from tests.aggregator.created import SPEC, create

NOW = 1_800_000_000.0


@dataclass
class Apart:
    """Two machines, and somebody who carries files between them."""

    path: Path

    def __post_init__(self) -> None:
        self.ca, self.directory = self.path / "ca", Directory(self.path / "aggregator")
        self.requests, self.signed = self.path / "requests.json", self.path / "signed.json"
        Authority.create(self.ca, "hospitals")
        (self.path / "spec.toml").write_text(SPEC)
        certificate = self.ca / "certificate.pem"
        create(self.directory.path, self.path / "spec.toml", authority_file=certificate)

    def issuer(self, registry: Registry) -> Issuer:
        """Of an aggregator that starts."""
        authorities = Authorities.load(self.directory.authority, offline=True)
        members = Members(registry, 15.0, calendar=lambda: NOW)
        return Issuer(members, lambda: authorities, NodesTrust(15.0), timedelta(days=90))

    def ask(self, node: str, key: bytes, *, token: str = "", replace: bool = False) -> str:
        """A node asks to enrol; the token, to come again."""
        token = token or create_token(self.directory, node, seconds=1e9, replace=replace)
        csr = signing_request(key, node)
        with Registry.open(self.directory.registry) as registry:
            digest = Token.decode(token).secret_hash()
            self.answer = asyncio.run(self.issuer(registry).enrol(digest, node, csr))
        return token

    def carry(self, *replace: str, force: bool = False) -> list[str]:
        """To the authority and back; the names whose certificates were imported."""
        export_requests(self.directory, self.requests)
        authority, content = OfflineAuthority.open(self.ca), read_file(self.requests, RequestFile)
        self.reviews = authority.review(content, replace)
        good = [each.entry for each in self.reviews if each.problem is None]
        write_file(self.signed, authority.issue(content, good))
        imported = import_certificates(self.directory, self.signed, force=force)
        self.waiting = imported.waiting
        return imported.names

    def member(self, node: str, key: bytes = b"") -> Identity:
        """A node that has enrolled."""
        key = key or generate_key()
        token = self.ask(node, key)
        assert self.carry() == [node]
        self.ask(node, key, token=token)
        ca_pem = (self.ca / "certificate.pem").read_bytes()
        return Identity(node, "hospitals", key, pem_of(self.answer.certificate), ca_pem)

    def renew(self, identity: Identity, key: bytes) -> EnrolledNode | None:
        """A node asks to renew."""
        peer = Caller(identity.node, "node", identity.fingerprint)
        with Registry.open(self.directory.registry) as registry:
            issuer = self.issuer(registry)
            return asyncio.run(issuer.renew(peer, *renewal_request(identity, key)))


@pytest.fixture
def apart(tmp_path: Path) -> Apart:
    """With a certificate for the aggregator."""
    made = Apart(tmp_path)
    with pytest.raises(ConfigurationError, match="aggregator ca requests"):
        OwnCertificate.open(made.directory, load_config(made.directory))
    assert made.carry() == ["aggregator"]
    return made


def test_no_key_is_on_the_aggregator(apart: Apart) -> None:
    """And yet it has an identity of that authority, and nothing more to ask."""
    assert [f.name for f in apart.directory.authority.iterdir()] == ["certificate.pem"]
    own = OwnCertificate.open(apart.directory, load_config(apart.directory)).identity
    assert own == load_identity(apart.directory.identity)
    assert apart.carry() == []
    assert not (apart.directory.identity / "request.pem").exists()


def test_the_configuration_says_so(apart: Apart) -> None:
    """By the key that aggregator.toml has had from its first version."""
    assert "authority_elsewhere = true" in apart.directory.config.read_text()
    assert load_config(apart.directory).authority_offline


def test_a_node_enrols(apart: Apart) -> None:
    """It asks twice with one token, and gets its certificate; another key gets nothing."""
    key = generate_key()
    token = apart.ask("a", key)
    assert apart.answer is None
    apart.ask("a", key, token=token)
    assert apart.answer is None
    with pytest.raises(IdentityError, match="used already"):
        apart.ask("a", generate_key(), token=token)
    assert apart.carry() == ["a"]
    apart.ask("a", key, token=token)
    assert apart.answer.name == "a"
    with pytest.raises(IdentityError, match="used already"):
        apart.ask("a", generate_key(), token=token)
    assert apart.carry() == []


def test_a_node_renews(apart: Apart) -> None:
    """The request waits, however often it asks; then the same key gets its certificate."""
    a, key = apart.member("a"), generate_key()
    assert apart.renew(a, key) is None
    assert apart.renew(a, key) is None
    assert apart.carry() == ["a"]
    renewed = apart.renew(a, key)
    assert renewed.fingerprint != a.fingerprint
    with Registry.open(apart.directory.registry) as registry:
        assert registry.nodes()[0].fingerprint == a.fingerprint  # until a plan names the new one
        assert registry.requests.all() == []


def entry(kind: RequestKind, node: str, csr: bytes, proof: bytes = b"") -> RequestEntry:
    """As a taken-over aggregator may write it."""
    return RequestEntry(node=node, kind=kind, csr=csr.decode(), proof=proof)


def judged(apart: Apart, *entries: RequestEntry, replace: tuple[str, ...] = ()) -> list[str]:
    """What the authority thinks of them; an empty text: they may be signed."""
    content = RequestFile(federation="hospitals", hosts=(), requests=entries)
    reviews = OfflineAuthority.open(apart.ca).review(content, replace)
    return [str(each.problem or "") for each in reviews]


def test_the_authority_sees_for_itself_who_asks(apart: Apart) -> None:
    """No name that somebody has is certified for another key, whatever the aggregator says."""
    a, b = apart.member("a"), apart.member("b")
    key = generate_key()
    csr = signing_request(key, "a")
    good = entry(RequestKind.RENEWAL, "a", *renewal_request(a, key))
    assert judged(apart, good) == [""]
    bad = [
        entry(RequestKind.ENROLMENT, "a", csr),
        entry(RequestKind.RENEWAL, "a", csr),
        entry(RequestKind.RENEWAL, "a", csr, Statement(Purpose.RENEWAL, ("a",), csr).sign(b)),
        entry(RequestKind.RENEWAL, "a", *renewal_request(b, key)),
        entry(RequestKind.RENEWAL, "a", csr, bytes.fromhex("00")),
        entry(RequestKind.AGGREGATOR, "aggregator", signing_request(key, "aggregator")),
        entry(RequestKind.ENROLMENT, "aggregator", signing_request(key, "aggregator")),
        entry(RequestKind.AGGREGATOR, "c", csr),
        entry(RequestKind.ENROLMENT, "../c", csr),
        entry(RequestKind.ENROLMENT, "c", b"no request"),
        entry(RequestKind.ENROLMENT, "c", csr[:-40] + b"AAAA" + csr[-36:]),
    ]
    assert all(judged(apart, *bad)), judged(apart, *bad)
    assert judged(apart, entry(RequestKind.ENROLMENT, "a", csr), replace=("a",)) == [""]
    assert judged(apart, entry(RequestKind.ENROLMENT, "c", csr)) == [""]


def test_two_requests_for_one_name_are_both_refused(apart: Apart) -> None:
    """Signed one after the other, the second would be somebody else's for a name that is taken."""
    mine, thiefs = (signing_request(generate_key(), "c") for _ in range(2))
    both = [entry(RequestKind.ENROLMENT, "c", csr) for csr in (mine, thiefs)]
    for problem in judged(apart, *both):
        assert "several requests for this name" in problem
    assert judged(apart, both[0]) == [""]


def test_a_key_that_was_replaced_renews_nothing(apart: Apart) -> None:
    """It may have been stolen, and the aggregator taken over: the authority remembers by itself."""
    stolen, thiefs = apart.member("a"), generate_key()
    renewal = entry(RequestKind.RENEWAL, "a", *renewal_request(stolen, thiefs))
    assert judged(apart, renewal) == [""]  # until the theft is known
    apart.ask("a", generate_key(), replace=True)
    assert apart.carry("a") == ["a"]
    assert "the signature is not by this certificate's key" in judged(apart, renewal)[0]


def test_a_lost_key_is_replaced_by_the_operators_of_both(apart: Apart) -> None:
    """The aggregator's gives a token, the authority's names the node."""
    a = apart.member("a")
    apart.ask("a", generate_key(), replace=True)
    assert apart.carry() == []
    assert "--replace a" in str(apart.reviews[0].problem)
    assert apart.carry("a") == ["a"]
    with Registry.open(apart.directory.registry) as registry:
        assert [each.fingerprint for each in registry.denials()] == [a.fingerprint]


@pytest.mark.parametrize("denied", [True, False])
def test_a_node_that_was_denied_after_it_asked(apart: Apart, denied: bool) -> None:
    """The authority doesn't know of it, and signs. What it has signed is not imported."""
    stolen, thiefs = apart.member("a"), generate_key()
    assert apart.renew(stolen, thiefs) is None
    with Registry.open(apart.directory.registry) as registry:
        if denied:
            registry.deny([Denial(stolen.fingerprint, "a", "stolen", NOW)])
        assert apart.carry() == ([] if denied else ["a"])
        assert bool(registry.renewals()) is not denied
        assert registry.requests.all() == []
        registry.allow([stolen.fingerprint])
    assert apart.renew(stolen, generate_key()) is None  # it may ask again


def test_a_stolen_key_can_not_be_renewed_before_it_is_replaced(apart: Apart) -> None:
    """The new key's request waits for the authority; the old key's doesn't take its place."""
    stolen, key = apart.member("a"), generate_key()
    apart.ask("a", key, replace=True)
    with pytest.raises(RefusedError, match="a enrols anew, with another key"):
        apart.renew(stolen, generate_key())
    assert apart.carry("a") == ["a"]
    with Registry.open(apart.directory.registry) as registry:
        (node,) = registry.nodes()
        assert parse_certificate(node.certificate, where="a").public_key() == requested_key(
            signing_request(key, "a"), "a"
        )


def test_another_federations_requests(apart: Apart) -> None:
    """Are not looked at."""
    content = RequestFile(federation="factories", hosts=(), requests=())
    with pytest.raises(ConfigurationError, match="another federation's"):
        OfflineAuthority.open(apart.ca).review(content, ())


Forge = Callable[[Apart, CertificateFile], CertificateFile]


def foreign(apart: Apart, content: CertificateFile) -> CertificateFile:
    """Signed by somebody else's authority of the same name."""
    stranger = Authority.create(apart.path / "foreign", "hospitals")
    csr = signing_request(generate_key(), "a")
    pem = stranger.issue(csr, node="a", lifetime=timedelta(days=1))
    return msgspec.structs.replace(content, certificates=(pem.decode(),))


def foreign_authority(apart: Apart, content: CertificateFile) -> CertificateFile:
    """The same, with its authority beside it."""
    forged = foreign(apart, content)
    certificate = (apart.path / "foreign" / "certificate.pem").read_text()
    own = msgspec.structs.replace(forged.authorities[0], certificate=certificate, proof=b"")
    return msgspec.structs.replace(forged, authorities=(*forged.authorities, own))


@pytest.mark.parametrize("forge", [foreign, foreign_authority])
def test_what_comes_back_is_checked(apart: Apart, forge: Forge) -> None:
    """A certificate of another authority changes nothing."""
    apart.ask("a", generate_key())
    export_requests(apart.directory, apart.requests)
    content = read_file(apart.requests, RequestFile)
    signed = OfflineAuthority.open(apart.ca).issue(content, content.requests)
    write_file(apart.signed, forge(apart, signed))
    with pytest.raises(IdentityError):
        import_certificates(apart.directory, apart.signed)
    with Registry.open(apart.directory.registry) as registry:
        assert registry.nodes() == []


@pytest.mark.parametrize("meanwhile", ["nothing", "forgotten", "another key"])
def test_what_nobody_asked_for_is_left_out(apart: Apart, meanwhile: str) -> None:
    """By the time that the certificate comes, the request is gone, or for another key."""
    apart.ask("a", generate_key())
    export_requests(apart.directory, apart.requests)
    if meanwhile != "nothing":
        with Registry.open(apart.directory.registry) as registry:
            registry.requests.drop("a")
    if meanwhile == "another key":
        apart.ask("a", generate_key())
    authority, content = OfflineAuthority.open(apart.ca), read_file(apart.requests, RequestFile)
    write_file(apart.signed, authority.issue(content, content.requests))
    imported = import_certificates(apart.directory, apart.signed).names
    assert imported == (["a"] if meanwhile == "nothing" else [])


def test_a_new_authority_takes_over(apart: Apart) -> None:
    """Nodes and aggregator renew, and only then the old one can retire, on both machines."""
    a = apart.member("a")
    old = Authorities.load(apart.ca).fingerprints[0]
    Authorities.load(apart.ca).rotate(apart.ca)
    assert apart.carry() == []
    here = Authorities.load(apart.directory.authority, offline=True)
    assert here.fingerprints == Authorities.load(apart.ca).fingerprints
    assert here.fingerprints[0] == old
    assert OfflineAuthority.open(apart.ca).not_renewed() == ["a", "aggregator"]
    Authorities.load(apart.ca).retire(apart.ca)
    assert apart.carry() == ["aggregator"]  # a has yet to ask
    assert apart.waiting == ["a"]
    key = generate_key()
    assert apart.renew(a, key) is None
    assert "a" in apart.carry()
    assert apart.waiting == ["a"]  # which has yet to fetch it
    assert Authorities.load(apart.directory.authority, offline=True) == here
    with Registry.open(apart.directory.registry) as registry:
        registry.adopt([apart.renew(a, key).fingerprint])
    apart.carry()
    assert apart.waiting == []
    left = Authorities.load(apart.directory.authority, offline=True)
    assert left.fingerprints == here.fingerprints[1:]
    own = OwnCertificate.open(apart.directory, load_config(apart.directory)).identity
    assert own.ca_pem == left.ca_pem
    assert left.newest_issued(own.certificate_der)


def test_the_key_is_here(tmp_path: Path, spec: Path) -> None:
    """Then there is nothing to carry."""
    directory = Directory(tmp_path / "aggregator")
    create(directory.path, spec)
    with pytest.raises(ConfigurationError, match="issued at once"):
        export_requests(directory, tmp_path / "requests.json")
