"""Commands that create a federation, run it, invite nodes, and show how it is."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.cli.options import directory_option, typed
from edge_node import console
from edge_node.config.names import check_node_name
from edge_node.errors import NetworkError

if TYPE_CHECKING:
    from aggregator.directory.layout import Directory

__all__ = ["init", "run", "status", "token"]


@click.command()
@click.option(
    "--spec", required=True, type=click.Path(path_type=Path), help="The federation spec (TOML)."
)
@click.option(
    "--host",
    "hosts",
    required=True,
    multiple=True,
    help="Name or IP address of this machine; repeatable. Nodes dial the first.",
)
@click.option("--port", default=7700, show_default=True, help="Discovery (mutual TLS).")
@click.option("--enrolment-port", default=7701, show_default=True, help="Enrolment (TLS).")
@click.option("--listen", default="0.0.0.0", show_default=True, help="IP address to listen at.")  # noqa: S104
@click.option(
    "--certificate-days", default=90.0, show_default=True, help="Lifetime of certificates."
)
@click.option(
    "--authority",
    "authority_file",
    type=click.Path(path_type=Path),
    help="Certificate of an offline authority (see `aggregator ca`).",
)
@directory_option
@console.json_option
def init(directory: "Directory", spec: Path, as_json: bool, **settings: Any) -> None:
    """Create the federation: authority, registry and configuration."""
    from aggregator.setup import create

    facts = create(directory, spec, **settings)
    console.emit(
        facts,
        as_json=as_json,
        text=f"Created federation {facts['federation']!r} in {directory.path}\n"
        f"  CA fingerprint  {facts['ca_fingerprint']}\n"
        f"  spec hash       {facts['spec_hash']}\n"
        + (
            f"Next: {typed('aggregator ca requests FILE', directory)}, and have it signed"
            if settings["authority_file"]
            else f"Next: {typed('aggregator run', directory)}\n"
            f"Then, for each node: {typed('aggregator token NODE', directory)}"
        ),
    )


@click.command()
@click.argument("nodes", nargs=-1, required=True)
@click.option("--minutes", default=10.0, show_default=True, help="How long the token is good.")
@click.option("--replace", is_flag=True, help="The node has lost its key: void its certificate.")
@directory_option
@console.json_option
def token(
    directory: "Directory", nodes: tuple[str, ...], minutes: float, replace: bool, as_json: bool
) -> None:
    """Print one-time tokens with which NODES can enrol.

    One a line, in the order of the names; each is good for its node only.
    """
    from aggregator.setup import create_token

    for node in nodes:
        check_node_name(node)
    tokens = {
        node: create_token(directory, node, seconds=60 * minutes, replace=replace) for node in nodes
    }
    console.emit(
        {"tokens": tokens, "minutes": minutes}, as_json=as_json, text="\n".join(tokens.values())
    )
    if not as_json:
        console.explain(
            f"Each for its node only, once, within {minutes:g} minutes: edge-node enrol TOKEN\n"
            f"Earlier tokens for {', '.join(nodes)} are void."
        )


@click.command()
@directory_option
def run(directory: "Directory") -> None:
    """Serve discovery and enrolment, until stopped (SIGTERM, Ctrl-C)."""
    from aggregator.server import serve
    from edge_node.security.process import forbid_core_dumps

    console.configure_logging()
    forbid_core_dumps()
    asyncio.run(serve(directory))


@click.command()
@click.option(
    "--check", is_flag=True, help="For monitoring: exit with 6 unless all is well, and say why."
)
@directory_option
@console.json_option
def status(directory: "Directory", check: bool, as_json: bool) -> None:
    """Show nodes and plan.

    It reads the registry, so it works while the server is down, too.
    """
    from aggregator.status import describe

    facts = describe(directory)
    nobody = (
        f"No node has enrolled in {facts['federation']!r} yet.\n"
        f"Invite each one: {typed('aggregator token NODE', directory)}\n"
        "Its engineer enrols with what that prints: edge-node enrol TOKEN"
    )
    text = (lambda: console.table(*_rows(facts))) if facts["nodes"] else nobody
    console.emit(facts, as_json=as_json, text=text)
    if check and facts["problems"]:
        raise NetworkError(
            "the federation is not well",
            where=facts["federation"],
            found="; ".join(facts["problems"]),
            remedy="Look at these nodes' `edge-node status`, and at the aggregator's log",
        )


def _rows(facts: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
    plan = facts["plan"] or {"members": [], "root": ""}
    parents = {member["node"]: member["parent"] or "(root)" for member in plan["members"]}
    now = time.time()
    rows: list[list[object]] = []
    for node in facts["nodes"]:
        seen = node["last_seen"]
        waiting = ", ".join(node["waiting_for"])
        rows.append(
            [
                node["node"],
                "denied" if node["denied"] else node["phase"],
                "never" if seen is None else f"{now - seen:.0f} s ago",
                parents.get(node["node"], "not in the plan"),
                node["reason"] or node["step"] + (f", waiting for {waiting}" if waiting else ""),
                datetime.fromtimestamp(node["enrolled_at"], UTC).strftime("%Y-%m-%d"),
            ]
        )
    return ["node", "phase", "last seen", "parent", "step", "enrolled"], rows
