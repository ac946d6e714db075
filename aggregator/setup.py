"""How a federation begins: its directory is created, and nodes are invited with tokens."""

import time
from pathlib import Path
from typing import Any

from aggregator.ca.authorities import Authorities
from aggregator.ca.own_certificate import issue_own
from aggregator.directory.config import (
    AggregatorConfig,
    check_config,
    load_config,
    read_ports,
    save_config,
)
from aggregator.directory.draft import drafted
from aggregator.directory.layout import Directory
from aggregator.registry.registry import Registry
from edge_node.config import load_spec
from edge_node.config.names import check_federation_name, join_address
from edge_node.errors import ConfigurationError
from edge_node.security.files import write_atomically
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import save_identity
from edge_node.security.pki.keyring import request_key
from edge_node.security.pki.tokens import Token

__all__ = ["create", "create_token"]


def create(
    directory: Directory,
    spec_file: Path,
    *,
    hosts: tuple[str, ...],
    port: int,
    enrolment_port: int,
    listen: str,
    certificate_days: float = 90.0,
    authority_file: Path | None = None,
) -> dict[str, Any]:
    """Create a federation in a directory, wholly or not at all.

    Raises:
        ConfigurationError: there is one already, or the spec or a setting is wrong.
        IdentityError: ``authority_file`` is not an authority's certificate.
        MachineError: the directory can't be written; it is as before.
    """
    spec = load_spec(spec_file)
    check_federation_name(spec.name, where=str(spec_file))
    config = AggregatorConfig(
        hosts=hosts,
        port=port,
        enrolment_port=enrolment_port,
        listen=listen,
        certificate_days=certificate_days,
        authority_offline=authority_file is not None,
    )
    check_config(config, where="command line")
    with drafted(directory, text := spec_file.read_bytes()) as draft:
        authority = _authority(draft, config, spec.name, authority_file)
        write_atomically(draft.spec, text, mode=0o644)
        Registry.open(draft.registry).close()
        save_config(draft, config)
    return {
        "federation": spec.name,
        "directory": str(directory.path),
        "ca_fingerprint": authority.fingerprint.hex(),
        "spec_hash": spec.digest().hex(),
    }


def _authority(
    draft: Directory, config: AggregatorConfig, federation: str, file: Path | None
) -> Authority:
    """The offline authority whose certificate is in ``file``, or else a new one.

    A new one issues the aggregator's certificate at once.
    """
    if file is not None:
        return _offline_authority(draft, file, federation)
    authority = Authority.create(draft.authority, federation)
    save_identity(draft.identity, issue_own(Authorities.of(authority), config))
    return authority


def _offline_authority(draft: Directory, file: Path, federation: str) -> Authority:
    """An offline authority, whose certificate is in a file; it has yet to issue the aggregator's.

    Raises:
        ConfigurationError: it is another federation's.
        IdentityError: the file is not an authority's certificate.
    """
    authority = Authority.read(file)
    if authority.federation != federation:
        raise ConfigurationError(
            "the authority is another federation's",
            where=str(file),
            expected=repr(federation),
            found=repr(authority.federation),
        )
    authority.save(draft.authority)
    request_key(draft.identity)
    return authority


def create_token(directory: Directory, node: str, *, seconds: float, replace: bool) -> str:
    """A one-time token for a node, good for ``seconds``.

    Raises:
        ConfigurationError: no federation here, or its ports aren't known yet.
        RefusedError: the node is enrolled already.
    """
    config = load_config(directory)
    port = read_ports(directory, config).enrolment
    if port == 0:
        raise ConfigurationError(
            "the enrolment port is not known yet", remedy="Start `aggregator run` first"
        )
    authorities = Authorities.load(directory.authority, offline=config.authority_offline)
    address = join_address(config.hosts[0], port)
    token = Token.create(address, node, authorities.fingerprints[0])
    with Registry.open(directory.registry) as registry:
        expires = time.time() + seconds
        registry.add_token(token.secret_hash(), node, expires_at=expires, replace=replace)
    return token.encode()
