"""The command line of the aggregator: create a federation, invite nodes, watch it."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.cli_ca import ca
from edge_node import console
from edge_node.config.names import check_node_name
from edge_node.errors import NetworkError

if TYPE_CHECKING:
    from aggregator.directory.layout import Directory
    from aggregator.registry.registry import Denial

__all__ = ["cli", "main"]


def main() -> None:
    """The ``aggregator`` program."""
    console.main(cli, program="aggregator")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@console.version_option
def cli() -> None:
    """Wire a federation: who is there, along which tree they sum. No data passes here.

    \b
    A federation's life:
      aggregator init --spec federation.toml --host aggregator.example.org
      aggregator run
      aggregator token hospital-a     give what it prints to hospital-a's engineer
      aggregator status

    All commands work on one directory: --dir, or AGGREGATOR_DIR, or the present one. Its ca/ folder
    holds the key that makes members: guard it.

    Exit codes: 0 success, 2 command line, 3 configuration, 5 identity, 6 a node is missing or a run
    is stalled (`status --check`), 7 refused, 9 machine.
    """  # noqa: D301 - not raw: click looks for the character \b


def directory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dir``, passed as ``directory``."""
    return click.option(
        "--dir",
        "-d",
        "directory",
        envvar="AGGREGATOR_DIR",
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: _directory(value),
        help="The aggregator's directory.",
    )(function)


def _directory(path: Path) -> "Directory":
    from aggregator.directory.layout import Directory

    return Directory(path)


cli.add_command(ca)


@cli.command()
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
    help="Certificate of an authority whose key is on another machine (see `aggregator ca`).",
)
@directory_option
@console.json_option
def init(directory: "Directory", spec: Path, as_json: bool, **settings: Any) -> None:
    """Create the federation: its certificate authority, registry and configuration."""
    from aggregator.setup import create

    facts = create(directory, spec, **settings)
    console.emit(
        facts,
        as_json=as_json,
        text=f"Created federation {facts['federation']!r} in {directory.path}\n"
        f"  CA fingerprint  {facts['ca_fingerprint']}\n"
        f"  spec hash       {facts['spec_hash']}\n"
        + (
            "Next: aggregator ca requests FILE, and have it signed"
            if settings["authority_file"]
            else "Next: aggregator run; then aggregator token NODE for each node"
        ),
    )


@cli.command()
@click.argument("node")
@click.option("--minutes", default=10.0, show_default=True, help="How long the token is good.")
@click.option("--replace", is_flag=True, help="The node has lost its key: void its certificate.")
@directory_option
@console.json_option
def token(directory: "Directory", node: str, minutes: float, replace: bool, as_json: bool) -> None:
    """Print a one-time token with which NODE can enrol, once and soon."""
    from aggregator.setup import create_token

    check_node_name(node)
    text = create_token(directory, node, seconds=60 * minutes, replace=replace)
    console.emit({"node": node, "token": text, "minutes": minutes}, as_json=as_json, text=text)
    if not as_json:
        console.explain(f"For {node} only, once, within {minutes:g} minutes: edge-node enrol TOKEN")


@cli.command()
@directory_option
def run(directory: "Directory") -> None:
    """Serve discovery and enrolment, until stopped (SIGTERM, Ctrl-C)."""
    from aggregator.server import serve
    from edge_node.security.process import forbid_core_dumps

    console.configure_logging()
    forbid_core_dumps()
    asyncio.run(serve(directory))


@cli.command()
@click.option(
    "--check", is_flag=True, help="For monitoring: exit with 6 unless all is well, and say why."
)
@directory_option
@console.json_option
def status(directory: "Directory", check: bool, as_json: bool) -> None:
    """Show nodes and plan, from the registry: it works with the server down, too."""
    from aggregator.status import describe

    facts = describe(directory)
    console.emit(facts, as_json=as_json, text=lambda: console.table(*_lines(facts)))
    if check and facts["problems"]:
        raise NetworkError(
            "the federation is not well",
            where=facts["federation"],
            found="; ".join(facts["problems"]),
            remedy="Look at these nodes' `edge-node status`, and at the aggregator's log",
        )


@cli.command()
@click.argument("who", metavar="NODE|FINGERPRINT")
@click.option("--reason", default="no reason given", help="For the node, and for the record.")
@directory_option
@console.json_option
def deny(directory: "Directory", who: str, reason: str, as_json: bool) -> None:
    """Believe a node's certificates no longer, within seconds and on open connections, too.

    Its heartbeats are refused, plans leave it out, the other nodes break off its calls. It stays
    enrolled: `allow` takes it back, `token NODE --replace` lets it enrol with a new key.
    """
    from aggregator.setup import deny

    _emit_denials(deny(directory, who, reason=reason), "denied", as_json)


@cli.command()
@click.argument("node")
@click.option("--reason", default="no reason given", help="For the node, and for the record.")
@directory_option
@console.json_option
def evict(directory: "Directory", node: str, reason: str, as_json: bool) -> None:
    """Take NODE out of the federation: the next posterior is learnt without its rows.

    It can't consent for its site: the others form that posterior when enough of them differ from
    the cohort before. Its name can be enrolled again with a new token.
    """
    from aggregator.setup import evict

    _emit_denials(evict(directory, node, reason=reason), "evicted", as_json)


@cli.command()
@click.argument("who", metavar="NODE|FINGERPRINT")
@directory_option
@console.json_option
def allow(directory: "Directory", who: str, as_json: bool) -> None:
    """Believe a denied node's certificates again."""
    from aggregator.setup import allow

    _emit_denials(allow(directory, who), "allowed", as_json)


@cli.command()
@directory_option
@console.json_option
def denied(directory: "Directory", as_json: bool) -> None:
    """List the denied certificates: whose, since when, and why."""
    from aggregator.setup import denied

    _emit_denials(denied(directory), "denied", as_json)


def _emit_denials(denials: "list[Denial]", what: str, as_json: bool) -> None:
    rows = [
        (d.node, d.fingerprint.hex(), datetime.fromtimestamp(d.denied_at, UTC), d.reason)
        for d in denials
    ]
    facts = [
        {"node": node, "fingerprint": digest, "denied_at": when.isoformat(), "reason": reason}
        for node, digest, when, reason in rows
    ]
    shown = [(*row[:2], f"{row[2]:%Y-%m-%d %H:%M}", row[3]) for row in rows]
    console.emit(
        {what: facts},
        as_json=as_json,
        text=lambda: console.table((f"{what}", "fingerprint", "since (UTC)", "reason"), shown),
    )


def _lines(facts: dict[str, Any]) -> tuple[list[str], list[list[object]]]:
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
