"""What the operator's commands change: create a federation, make tokens."""

import time
from pathlib import Path
from typing import Any

from aggregator.config import (
    AggregatorConfig,
    Directory,
    check_config,
    join_address,
    load_config,
    read_ports,
    save_config,
)
from aggregator.draft import drafted
from aggregator.registry import Registry
from aggregator.server import make_identity
from edge_node.config import load_spec
from edge_node.errors import ConfigurationError
from edge_node.names import check_federation_name
from edge_node.security.authority import Authority
from edge_node.security.files import write_atomically
from edge_node.security.identity import save_identity
from edge_node.security.tokens import Token

__all__ = ["create", "create_token"]


def create(
    directory: Directory,
    spec_file: Path,
    *,
    hosts: tuple[str, ...],
    port: int,
    enrolment_port: int,
    listen: str,
) -> dict[str, Any]:
    """Create a federation in a directory, wholly or not at all.

    Raises:
        ConfigurationError: there is one already, or the spec or a setting is wrong.
        MachineError: the directory can't be written; it is as before.
    """
    spec = load_spec(spec_file)
    check_federation_name(spec.name, where=str(spec_file))
    config = AggregatorConfig(hosts=hosts, port=port, enrolment_port=enrolment_port, listen=listen)
    check_config(config, where="command line")
    text = spec_file.read_bytes()
    with drafted(directory, text) as draft:
        authority = Authority.create(draft.authority, spec.name)
        save_identity(draft.identity, make_identity(authority, spec.name, hosts))
        write_atomically(draft.spec, text, mode=0o644)
        Registry.open(draft.registry).close()
        save_config(draft, config)
    return {
        "federation": spec.name,
        "directory": str(directory.path),
        "ca_fingerprint": authority.fingerprint.hex(),
        "spec_hash": spec.digest().hex(),
    }


def create_token(directory: Directory, node: str, *, seconds: float, replace: bool) -> str:
    """A one-time token for a node, valid for so many seconds.

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
    authority = Authority.load(directory.authority)
    address = join_address(config.hosts[0], port)
    token = Token.create(address, node, authority.fingerprint)
    with Registry.open(directory.registry) as registry:
        expires = time.time() + seconds
        registry.add_token(token.secret_hash(), node, expires_at=expires, replace=replace)
    return token.encode()
