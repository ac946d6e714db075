"""What is known of a federation, read from the registry: it works with the server down, too."""

import time
from datetime import datetime
from typing import Any

import msgspec

from aggregator.directory.config import load_config, read_ports
from aggregator.directory.layout import Directory
from aggregator.planning.snapshot import listed
from aggregator.registry.registry import EnrolledNode, Heartbeat, Registry
from edge_node.config import FederationSpec, load_spec
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase
from edge_node.security.pki.certificates import life_of

__all__ = ["describe"]

_WRITING = 2.0  # heartbeats within which one is on disk, however busy the machine is


def describe(directory: Directory, *, now: float | None = None) -> dict[str, Any]:
    """Everything the registry knows, for people and programs; times are UNIX seconds.

    ``problems`` holds a sentence for each enrolled node that is missing, refuses, is stalled or is
    late to renew its certificate, unless it is denied; one if no run has begun; and one for nodes
    that have left, until a new run. It is empty if all is well.

    Raises:
        ConfigurationError: there is no federation, or a file is wrong.
        MachineError: the registry can't be read.
    """
    now = time.time() if now is None else now
    config = load_config(directory)
    spec = load_spec(directory.spec)
    with Registry.open(directory.registry) as registry:
        beats, plan = registry.heartbeats(), registry.latest_plan()
        enrolled, denied = registry.nodes(), {each.fingerprint for each in registry.denials()}
    trusted = [node for node in enrolled if node.fingerprint not in denied]
    return {
        "federation": spec.name,
        "spec_hash": spec.digest().hex(),
        "minimum_nodes": spec.minimum_nodes,
        "ports": msgspec.to_builtins(read_ports(directory, config)),
        "nodes": [
            _node(node, beats.get(node.name)) | {"denied": node.fingerprint in denied}
            for node in enrolled
        ],
        "plan": _plan(plan) if plan else None,
        "problems": [
            *_problems(spec, trusted, beats, plan, now),
            *_departures(enrolled, plan),
        ],
    }


def _node(node: EnrolledNode, beat: Heartbeat | None) -> dict[str, Any]:
    report = beat.report if beat else None
    return {
        "node": node.name,
        "enrolled_at": node.enrolled_at,
        "fingerprint": node.fingerprint.hex(),
        "certificate_expires": _life(node)[1].timestamp(),
        "last_seen": beat.last_seen if beat else None,
        "address": report.address if report else "",
        "phase": str(report.phase) if report else "unknown",
        "run": report.run if report else 0,
        "step": report.step if report else "",
        "waiting_for": list(report.waiting_for) if report else [],
        "waiting_seconds": report.waiting if report else 0.0,
        "reason": report.reason if report else "",
    }


def _life(node: EnrolledNode) -> tuple[datetime, datetime]:
    return life_of(node.certificate, where=f"certificate of {node.name}")


def _late(node: EnrolledNode, now: float) -> str:
    """Says that a certificate should have been renewed long ago; empty: all is well."""
    issued, expires = _life(node)
    left = expires.timestamp() - now
    if left > (expires - issued).total_seconds() / 4:
        return ""
    verb = "ended" if left < 0 else "ends"
    return f"has not renewed its certificate, which {verb} at {expires:%Y-%m-%d %H:%M} UTC"


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "epoch": plan.epoch,
        "run": plan.run,
        "root": plan.root,
        "created": plan.created.timestamp(),
        "members": [
            {"node": member.node, "address": member.address, "parent": member.parent}
            for member in plan.members
        ],
        "edges": [list(edge) for edge in plan.edges],
    }


def _problems(
    spec: FederationSpec,
    enrolled: list[EnrolledNode],
    beats: dict[str, Heartbeat],
    plan: Plan | None,
    now: float,
) -> list[str]:
    """What the operator should look into."""
    found = ((node.name, _problem(spec, node, beats.get(node.name), now)) for node in enrolled)
    problems = [f"{name} {problem}" for name, problem in found if problem]
    if plan is None or plan.spec_hash != spec.digest():
        problems.append(f"no run has begun; it needs {spec.minimum_nodes} nodes")
    return problems


def _departures(enrolled: list[EnrolledNode], plan: Plan | None) -> list[str]:
    """A sentence about members of the plan that have left the federation."""
    left = sorted(plan.by_node.keys() - {node.name for node in enrolled}) if plan else []
    if not left:
        return []
    return [f"{listed(left)} left: the posterior still has that part, until a new run"]


def _problem(spec: FederationSpec, node: EnrolledNode, beat: Heartbeat | None, now: float) -> str:
    """What is wrong with a node; empty: nothing."""
    if beat is None:
        return "is missing: it was never seen"
    report, silence, timing = beat.report, now - beat.last_seen, spec.timing
    if silence > timing.liveness + _WRITING * timing.heartbeat:
        return f"is missing: last seen {silence:.0f} s ago"
    if report.phase is Phase.REFUSED:
        return f"refuses: {report.reason or 'no reason given'}"
    if report.phase is Phase.RUNNING and report.waiting >= timing.step:
        return f"is stalled: it has waited {report.waiting:.0f} s for {listed(report.waiting_for)}"
    return _late(node, now)
