"""Commands of a running node: run it, ask how it is, examine it."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from edge_node import console
from edge_node.cli.options import directory_option
from edge_node.config.paths import NodePaths
from edge_node.security.disclosure.bill import Bill

if TYPE_CHECKING:
    from edge_node.serving.status import NodeStatus

__all__ = ["doctor", "run", "status"]


@click.command()
@directory_option
def run(paths: NodePaths) -> None:
    """Take part in the federation and answer local queries, until stopped (SIGTERM, Ctrl-C)."""
    import asyncio

    from edge_node.node.daemon import run_node
    from edge_node.security.process import forbid_core_dumps

    console.configure_logging()
    forbid_core_dumps()
    asyncio.run(run_node(paths))


@click.command()
@directory_option
@console.json_option
def status(paths: NodePaths, as_json: bool) -> None:
    """Say what the running node does, whom it waits for, and whose posterior it holds."""
    from edge_node.serving.client import status as ask

    answer = ask(paths.root)
    console.emit(
        {key: _plain(value) for key, value in asdict(answer).items()},
        as_json=as_json,
        text=lambda: console.table(("", ""), _facts(answer)),
    )


def _plain(value: object) -> object:
    if isinstance(value, Bill):
        return value.as_dict()
    return value.isoformat() if isinstance(value, datetime) else value


def _facts(answer: "NodeStatus") -> list[tuple[str, str]]:
    """The status as lines for people; empty facts are left out."""
    waiting = ", ".join(answer.waiting_for)
    facts = {
        "node": f"{answer.node} of {answer.federation!r}",
        "phase": answer.phase,
        "reason": answer.reason,
        "run, epoch": f"{answer.run}, {answer.epoch}",
        "step": answer.step,
        "waiting for": waiting and f"{waiting}, for {answer.waiting_seconds:.0f} s",
        "discovery": "reachable" if answer.discovery_reachable else "NOT reachable",
        "posterior": answer.posterior_time
        and f"of {', '.join(answer.cohort)}, {answer.posterior_time:%Y-%m-%d %H:%M} UTC",
        "certificate": answer.certificate_expires
        and f"until {answer.certificate_expires:%Y-%m-%d %H:%M} UTC",
        "told": answer.bill and answer.bill.summary,
        "told by step": answer.bill and answer.bill.largest,
        "told in all": answer.told and f"{answer.told:,} numbers over this node's rows",
        "traffic": f"{answer.bytes_sent:,} bytes sent, {answer.bytes_received:,} received",
    }
    notices = [("NOTICE", notice) for notice in answer.bill.notices] if answer.bill else []
    return [(name, str(value)) for name, value in facts.items() if value] + notices


@click.command()
@directory_option
@console.json_option
def doctor(paths: NodePaths, as_json: bool) -> int:
    """Check everything that a node needs, and say what is wrong and what to do.

    Node file, membership, policy, data, disk, ports, names, aggregator and clock. The exit code is
    that of the worst finding, 0 if all is well.
    """
    from edge_node.node.doctor import examine

    findings = examine(paths)
    console.emit(
        {"findings": [finding.as_dict() for finding in findings]},
        as_json=as_json,
        text=lambda: console.table(
            ("", "check", "finding"), [(f.mark, f.check, f.text) for f in findings]
        ),
    )
    return max((finding.exit_code for finding in findings), default=0)
