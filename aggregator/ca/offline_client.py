"""The aggregator's end of an offline authority: export requests, import certificates.

Only certificates that were requested, for the key that requested them, are imported.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aggregator.ca.authorities import Authorities
from aggregator.ca.offline_files import (
    CertificateFile,
    RequestEntry,
    RequestFile,
    read_file,
    write_file,
)
from aggregator.directory.config import load_config
from aggregator.directory.layout import Directory
from aggregator.registry.certificate_requests import RequestKind
from aggregator.registry.registry import EnrolledNode, Registry
from edge_node.config import load_spec
from edge_node.config.names import AGGREGATOR
from edge_node.errors import ConfigurationError, RefusedError
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

__all__ = ["Imported", "export_requests", "import_certificates", "not_renewed"]


def export_requests(directory: Directory, file: Path) -> list[RequestEntry]:
    """Write all certificate requests, the aggregator's own among them when it is due.

    Raises:
        ConfigurationError: no federation here, or its authority is not offline.
        MachineError: a file can't be read or written.
    """
    authorities = _authorities(directory)
    with Registry.open(directory.registry) as registry:
        requests = registry.requests.all()
    entries = [
        *_own_request(directory, authorities),
        *(
            RequestEntry(node=each.node, kind=each.kind, csr=each.csr.decode(), proof=each.proof)
            for each in requests
        ),
    ]
    content = RequestFile(
        federation=load_spec(directory.spec).name,
        hosts=load_config(directory).hosts,
        requests=tuple(entries),
    )
    write_file(file, content)
    return entries


@dataclass(frozen=True)
class Imported:
    """Names of imported certificates, and of members that still need the old authority."""

    names: list[str]
    waiting: list[str]


def import_certificates(directory: Directory, file: Path, *, force: bool = False) -> Imported:
    """Import what was signed; certificates that nobody requested are left out.

    An authority that the file doesn't hold any more stays while certificates of it are in use. A
    later import ends it.

    Args:
        directory: the aggregator's.
        file: as `aggregator ca sign` has written it.
        force: an authority ends even if nodes still have certificates of it.

    Raises:
        ConfigurationError: no federation here, its authority is not offline, or the file is broken.
        IdentityError: an authority or a certificate is not good; nothing is changed.
        MachineError: a file can't be read or written.
    """
    authorities, content = _authorities(directory), read_file(file, CertificateFile)
    offered = tuple(
        Successor(der_of(each.certificate.encode(), where=str(file)), each.proof)
        for each in content.authorities
    )
    ca_pem = successors(authorities.ca_pem, offered)
    issued = [_checked(pem.encode(), ca_pem, content.federation) for pem in content.certificates]
    own = next((each for each in issued if each.name == AGGREGATOR), None)
    identity = _own_identity(directory, own, ca_pem) if own else None
    with Registry.open(directory.registry) as registry:
        names = [each.name for each in issued if _keep(registry, each)]
        waiting = not_renewed(registry, offered[0].certificate) if len(offered) == 1 else []
    if identity is not None:
        _keep_own(directory, identity)
        names.append(AGGREGATOR)
    elif not _is_own_issuer(directory, offered):
        waiting.append(AGGREGATOR)
    if force or not waiting:
        authorities.accept(directory.authority, offered)
    return Imported(names, waiting)


def not_renewed(registry: Registry, authority_der: bytes) -> list[str]:
    """Nodes that are not denied and whose certificate in force is not this authority's."""
    denied = {each.fingerprint for each in registry.denials()}
    nodes = [each for each in registry.nodes() if each.fingerprint not in denied]
    return [each.name for each in nodes if not is_issued_by(each.certificate, authority_der)]


def _authorities(directory: Directory) -> Authorities:
    if not load_config(directory).authority_offline:
        raise ConfigurationError(
            "the authority's key is here, so certificates are issued at once",
            where=str(directory.authority),
            remedy="This command is for an aggregator of `aggregator init --authority FILE`",
        )
    return Authorities.load(directory.authority, offline=True)


def _own_request(directory: Directory, authorities: Authorities) -> list[RequestEntry]:
    """The aggregator's request for its first certificate, or for the next when it is due."""
    if not directory.certificate.exists():
        csr = signing_request(request_key(directory.identity), AGGREGATOR)
        return [RequestEntry(node=AGGREGATOR, kind=RequestKind.AGGREGATOR, csr=csr.decode())]
    current = Keyring.open(directory.identity).newest
    issuer = authorities.certificates[0].certificate
    stays = is_issued_by(current.certificate_der, issuer) and not authorities.rolling
    if stays and datetime.now(UTC) < current.renewal_due:
        return []
    csr, proof = renewal_request(current, request_key(directory.identity))
    return [
        RequestEntry(node=AGGREGATOR, kind=RequestKind.AGGREGATOR, csr=csr.decode(), proof=proof)
    ]


@dataclass(frozen=True)
class _Issued:
    """A certificate that was checked, and the member that it names."""

    name: str
    der: bytes


def _checked(pem: bytes, ca_pem: bytes, federation: str) -> _Issued:
    where = "imported certificate"
    name = subject_of(parse_certificate(pem, where=where), where=where).name
    check_certificate(pem, ca_pem, name=name, federation=federation, where=where)
    return _Issued(name, der_of(pem))


def _own_identity(directory: Directory, own: _Issued, ca_pem: bytes) -> Identity | None:
    """The aggregator's new identity; None: the certificate is for another key than it requested."""
    key_pem = request_key(directory.identity)
    certificate = parse_certificate(own.der, where=AGGREGATOR)
    if parse_key(key_pem, where=AGGREGATOR).public_key() != certificate.public_key():
        return None
    where = f"certificate of the {AGGREGATOR}"
    return identity_of(key_pem, pem_of(own.der), ca_pem, where=where)


def _keep_own(directory: Directory, identity: Identity) -> None:
    """Keep the identity beside the one in force, which a running aggregator then replaces."""
    if not directory.certificate.exists():
        Keyring.begin(directory.identity, identity)
        return
    ring = Keyring.open(directory.identity)
    if not set(authorities_of(identity.ca_pem)) <= set(authorities_of(ring.current.ca_pem)):
        ring.trust(ring.current.ca_pem + identity.ca_pem)  # until the new one is in force
    ring.keep(identity)


def _keep(registry: Registry, issued: _Issued) -> bool:
    """Keep a certificate if its node has requested it and may have it; say whether it was kept."""
    request = registry.requests.of(issued.name)
    certificate = parse_certificate(issued.der, where=issued.name)
    if request is None or requested_key(request.csr, issued.name) != certificate.public_key():
        return False
    now = time.time()
    node = EnrolledNode(issued.name, issued.der, fingerprint_of(issued.der), now)
    if request.kind is RequestKind.ENROLMENT:
        registry.keep_enrolment(node, now=now)
        return True
    before = {each.name: each.fingerprint for each in registry.nodes()}.get(node.name, b"")
    try:
        registry.keep_renewal(node, before=before)
    except RefusedError:  # it was denied after it had asked
        return False
    finally:
        registry.requests.drop(node.name)
    return True


def _is_own_issuer(directory: Directory, offered: tuple[Successor, ...]) -> bool:
    """Whether one of these authorities issued the aggregator's own certificate, if there is one."""
    if not directory.certificate.exists():
        return True
    own = Keyring.open(directory.identity).newest.certificate_der
    return any(is_issued_by(own, each.certificate) for each in offered)
