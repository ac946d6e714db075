"""The aggregator's end of an authority elsewhere: what is asked for goes out, certificates come in.

What comes in is checked: only what was asked for, for the key that asked, is taken in.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aggregator.ca.authorities import Authorities
from aggregator.ca.offline_files import (
    Certificates,
    RequestEntry,
    RequestFile,
    read_paper,
    write_paper,
)
from aggregator.directory.layout import Directory, load_config
from aggregator.registry.registry import EnrolledNode, Registry
from aggregator.registry.requests import Kind
from edge_node.config import load_spec
from edge_node.config.names import AGGREGATOR
from edge_node.errors import ConfigurationError
from edge_node.security.pki.certificate_checks import check_certificate, is_issued_by
from edge_node.security.pki.certificates import (
    der_of,
    fingerprint_of,
    parse_certificate,
    pem_of,
    subject_of,
)
from edge_node.security.pki.identity import Identity, identity_of
from edge_node.security.pki.keyring import Keyring, request_key
from edge_node.security.pki.private_keys import parse_key
from edge_node.security.pki.renewal import renewal_request
from edge_node.security.pki.signing_requests import requested_key, signing_request
from edge_node.security.pki.succession import Successor, authorities_of, successors

__all__ = ["TakenIn", "outdated", "take_in", "write_requests"]


def write_requests(directory: Directory, file: Path) -> list[RequestEntry]:
    """Write all that is asked for, the aggregator's own certificate included when it is due.

    Raises:
        ConfigurationError: no federation here, or its authority's key is here.
        MachineError: a file can't be read or written.
    """
    authorities = _authorities(directory)
    with Registry.open(directory.registry) as registry:
        asked = registry.requests.all()
    entries = [
        *_own_request(directory, authorities),
        *(
            RequestEntry(node=each.node, kind=each.kind, csr=each.csr.decode(), proof=each.proof)
            for each in asked
        ),
    ]
    paper = RequestFile(
        federation=load_spec(directory.spec).name,
        hosts=load_config(directory).hosts,
        requests=tuple(entries),
    )
    write_paper(file, paper)
    return entries


@dataclass(frozen=True)
class TakenIn:
    """Whose certificates were taken in, and who keeps an old authority from its retirement."""

    names: list[str]
    waiting: list[str]


def take_in(directory: Directory, file: Path, *, force: bool = False) -> TakenIn:
    """Take in what was signed; certificates that nobody asked for are left out.

    An authority that the file doesn't hold any more stays while certificates of it are in use: the
    file of a later time ends it.

    Args:
        directory: the aggregator's.
        file: as `aggregator ca sign` has written it.
        force: an authority goes even if nodes still have certificates of it.

    Raises:
        ConfigurationError: no federation here, its authority's key is here, or the file is broken.
        IdentityError: an authority or a certificate is not what it should be; nothing is changed.
        MachineError: a file can't be read or written.
    """
    authorities, paper = _authorities(directory), read_paper(file, Certificates)
    offered = tuple(
        Successor(der_of(each.certificate.encode(), where=str(file)), each.proof)
        for each in paper.authorities
    )
    ca_pem = successors(authorities.ca_pem, offered)
    issued = [_checked(pem.encode(), ca_pem, paper.federation) for pem in paper.certificates]
    own = next((each for each in issued if each.name == AGGREGATOR), None)
    identity = _own_identity(directory, own, ca_pem) if own else None
    with Registry.open(directory.registry) as registry:
        names = [each.name for each in issued if _keep(registry, each)]
        waiting = outdated(registry, offered[0].certificate) if len(offered) == 1 else []
    if identity is not None:
        _keep_own(directory, identity)
        names.append(AGGREGATOR)
    elif not _is_own_issuer(directory, offered):
        waiting.append(AGGREGATOR)
    if force or not waiting:
        authorities.accept(directory.authority, offered)
    return TakenIn(names, waiting)


def outdated(registry: Registry, authority_der: bytes) -> list[str]:
    """Nodes that are not denied and whose certificate in force is not this authority's."""
    denied = {each.fingerprint for each in registry.denials()}
    nodes = [each for each in registry.nodes() if each.fingerprint not in denied]
    return [each.name for each in nodes if not is_issued_by(each.certificate, authority_der)]


def _authorities(directory: Directory) -> Authorities:
    if not load_config(directory).authority_elsewhere:
        raise ConfigurationError(
            "the authority's key is here, so certificates are signed at once",
            where=str(directory.authority),
            remedy="This command is for an aggregator of `aggregator init --authority FILE`",
        )
    return Authorities.load(directory.authority, elsewhere=True)


def _own_request(directory: Directory, authorities: Authorities) -> list[RequestEntry]:
    """The aggregator's request for its first certificate, or for the next when it is due."""
    if not (directory.identity / "certificate.pem").exists():
        csr = signing_request(request_key(directory.identity), AGGREGATOR)
        return [RequestEntry(node=AGGREGATOR, kind=Kind.AGGREGATOR, csr=csr.decode())]
    current = Keyring.open(directory.identity).newest
    issuer = authorities.certificates[0].certificate
    stays = is_issued_by(current.certificate_der, issuer) and not authorities.rolling
    if stays and datetime.now(UTC) < current.renewal_due:
        return []
    csr, proof = renewal_request(current, request_key(directory.identity))
    return [RequestEntry(node=AGGREGATOR, kind=Kind.AGGREGATOR, csr=csr.decode(), proof=proof)]


@dataclass(frozen=True)
class _Issued:
    """A certificate that holds, and whose it is."""

    name: str
    der: bytes


def _checked(pem: bytes, ca_pem: bytes, federation: str) -> _Issued:
    where = "certificate taken in"
    name = subject_of(parse_certificate(pem, where=where), where=where).name
    check_certificate(pem, ca_pem, name=name, federation=federation, where=where)
    return _Issued(name, der_of(pem))


def _own_identity(directory: Directory, own: _Issued, ca_pem: bytes) -> Identity | None:
    """The aggregator's new identity; None: the certificate is for a key that it doesn't ask for."""
    key_pem = request_key(directory.identity)
    certificate = parse_certificate(own.der, where=AGGREGATOR)
    if parse_key(key_pem, where=AGGREGATOR).public_key() != certificate.public_key():
        return None
    where = f"certificate of the {AGGREGATOR}"
    return identity_of(key_pem, pem_of(own.der), ca_pem, where=where)


def _keep_own(directory: Directory, identity: Identity) -> None:
    """Beside the one in force, which a running aggregator replaces by itself."""
    if not (directory.identity / "certificate.pem").exists():
        Keyring.begin(directory.identity, identity)
        return
    ring = Keyring.open(directory.identity)
    if not set(authorities_of(identity.ca_pem)) <= set(authorities_of(ring.current.ca_pem)):
        ring.trust(ring.current.ca_pem + identity.ca_pem)  # until the new one is in force
    ring.keep(identity)


def _keep(registry: Registry, issued: _Issued) -> bool:
    """Whether a node has asked for it, and has it now."""
    request = registry.requests.of(issued.name)
    certificate = parse_certificate(issued.der, where=issued.name)
    if request is None or requested_key(request.csr, issued.name) != certificate.public_key():
        return False
    now = time.time()
    node = EnrolledNode(issued.name, issued.der, fingerprint_of(issued.der), now)
    if request.kind is Kind.ENROLMENT:
        registry.certify(node, now=now)
    else:
        registry.keep_renewal(node)
        registry.requests.drop(node.name)
    return True


def _is_own_issuer(directory: Directory, offered: tuple[Successor, ...]) -> bool:
    """Whether the aggregator's own certificate, if it has one, is of one of these authorities."""
    if not (directory.identity / "certificate.pem").exists():
        return True
    own = Keyring.open(directory.identity).newest.certificate_der
    return any(is_issued_by(own, each.certificate) for each in offered)
