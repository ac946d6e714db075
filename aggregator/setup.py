"""What the operator's commands do: create a federation, make tokens, describe what is known."""

import time
from pathlib import Path
from typing import Any

import msgspec

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
from aggregator.plan import Plan
from aggregator.presence import Phase
from aggregator.registry import Registry
from aggregator.server import make_identity
from edge_node.config import load_spec
from edge_node.errors import ConfigurationError
from edge_node.names import check_federation_name
from edge_node.security.authority import Authority
from edge_node.security.files import write_atomically
from edge_node.security.identity import save_identity
from edge_node.security.tokens import Token

__all__ = ["create", "create_token", "describe"]


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


def describe(directory: Directory) -> dict[str, Any]:
    """Everything the registry knows, for people and programs; times are UNIX seconds."""
    config = load_config(directory)
    spec = load_spec(directory.spec)
    with Registry.open(directory.registry) as registry:
        beats, plan = registry.heartbeats(), registry.latest_plan()
        nodes = []
        for node in registry.nodes():
            beat = beats.get(node.name)
            report = beat.report if beat else None
            nodes.append(
                {
                    "node": node.name,
                    "enrolled_at": node.enrolled_at,
                    "fingerprint": node.fingerprint.hex(),
                    "last_seen": beat.last_seen if beat else None,
                    "address": report.address if report else "",
                    "phase": (report.phase if report else Phase.UNKNOWN).name.lower(),
                    "run": report.run if report else 0,
                    "step": report.step if report else "",
                    "waiting_for": list(report.waiting_for) if report else [],
                    "waiting_seconds": report.waiting if report else 0.0,
                    "reason": report.reason if report else "",
                }
            )
    return {
        "federation": spec.name,
        "spec_hash": spec.digest().hex(),
        "minimum_nodes": spec.minimum_nodes,
        "ports": msgspec.to_builtins(read_ports(directory, config)),
        "nodes": nodes,
        "plan": _plan(plan) if plan else None,
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "epoch": plan.epoch,
        "run": plan.run,
        "root": plan.root,
        "created": plan.created,
        "members": [
            {"node": member.node, "address": member.address, "parent": member.parent}
            for member in plan.members
        ],
        "edges": [list(edge) for edge in plan.edges],
    }
