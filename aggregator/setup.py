"""What the operator's commands change: create a federation, make tokens."""

import time
from pathlib import Path
from typing import Any

from aggregator.ca.authorities import Authorities
from aggregator.ca.own_certificate import issue_own
from aggregator.directory.draft import drafted
from aggregator.directory.layout import (
    AggregatorConfig,
    Directory,
    check_config,
    join_address,
    load_config,
    read_ports,
    save_config,
)
from aggregator.registry.registry import Denial, Registry
from edge_node.config import load_spec
from edge_node.config.names import check_federation_name
from edge_node.errors import ConfigurationError
from edge_node.security.files import write_atomically
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import save_identity
from edge_node.security.pki.keyring import request_key
from edge_node.security.pki.tokens import Token

__all__ = ["allow", "create", "create_token", "denied", "deny", "evict"]


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
    text = spec_file.read_bytes()
    with drafted(directory, text) as draft:
        if authority_file is None:
            authority = Authority.create(draft.authority, spec.name)
            save_identity(draft.identity, issue_own(Authorities.of(authority), config))
        else:
            authority = _foreign_authority(authority_file, spec.name)
            authority.save(draft.authority)
            request_key(draft.identity)
        write_atomically(draft.spec, text, mode=0o644)
        Registry.open(draft.registry).close()
        save_config(draft, config)
    return {
        "federation": spec.name,
        "directory": str(directory.path),
        "ca_fingerprint": authority.fingerprint.hex(),
        "spec_hash": spec.digest().hex(),
    }


def _foreign_authority(file: Path, federation: str) -> Authority:
    """The authority whose certificate is in a file and whose key is not here."""
    authority = Authority.read(file)
    if authority.federation != federation:
        raise ConfigurationError(
            "the authority is another federation's",
            where=str(file),
            expected=repr(federation),
            found=repr(authority.federation),
        )
    return authority


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
    authorities = Authorities.load(directory.authority, offline=config.authority_offline)
    address = join_address(config.hosts[0], port)
    token = Token.create(address, node, authorities.fingerprints[0])
    with Registry.open(directory.registry) as registry:
        expires = time.time() + seconds
        registry.add_token(token.secret_hash(), node, expires_at=expires, replace=replace)
    return token.encode()


def deny(directory: Directory, who: str, *, reason: str) -> list[Denial]:
    """Put certificates on the denylist: all that a node has, or the one of a fingerprint.

    Raises:
        ConfigurationError: no federation here, or there is nobody of this name or fingerprint.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        held = [*registry.nodes(), *registry.renewals().values()]
        found = [each for each in held if who in (each.name, each.fingerprint.hex())]
        if not found:
            raise _nobody(who, sorted({each.name for each in held}))
        now = time.time()
        denials = [Denial(each.fingerprint, each.name, reason, now) for each in found]
        registry.deny(denials)
    return denials


def evict(directory: Directory, node: str, *, reason: str) -> list[Denial]:
    """Let a node be no member any longer: its certificates are denied, and its name is free.

    Raises:
        ConfigurationError: no federation here.
        RefusedError: no node of this name is enrolled.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        return registry.remove(node, reason=reason, now=time.time())


def allow(directory: Directory, who: str) -> list[Denial]:
    """Take a node's certificates, or the one of a fingerprint, off the denylist.

    Raises:
        ConfigurationError: no federation here, or nothing of the kind is denied.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        denials = registry.denials()
        found = [each for each in denials if who in (each.node, each.fingerprint.hex())]
        if not found:
            raise _nobody(who, sorted({each.node for each in denials}))
        registry.allow(each.fingerprint for each in found)
    return found


def denied(directory: Directory) -> list[Denial]:
    """The denylist. Raises ConfigurationError, MachineError."""
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        return registry.denials()


def _nobody(who: str, names: list[str]) -> ConfigurationError:
    return ConfigurationError(
        "no certificate is this one's",
        where=who,
        expected=f"the fingerprint of a certificate (64 hexadecimal digits), or one of"
        f" {', '.join(names) or 'no nodes'}",
        remedy="Look at `aggregator status`, or `aggregator denied`",
    )
