"""Commands that take nodes out of a federation, and let them in again."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from aggregator.cli.options import directory_option
from edge_node import console

if TYPE_CHECKING:
    from aggregator.directory.layout import Directory
    from aggregator.registry.registry import Denial

__all__ = ["allow", "denied", "deny", "evict"]


@click.command()
@click.argument("who", metavar="NODE|FINGERPRINT")
@click.option("--reason", default="no reason given", help="For the node, and for the record.")
@directory_option
@console.json_option
def deny(directory: "Directory", who: str, reason: str, as_json: bool) -> None:
    """Deny a node's certificates, within seconds.

    Its heartbeats are refused, plans leave it out, and the other nodes break off its calls, also
    those that are open. It stays enrolled: `allow` takes it back, and `token NODE --replace` lets
    it enrol with a new key.
    """
    from aggregator.denylist import deny

    _emit_denials(deny(directory, who, reason=reason), "denied", as_json)


@click.command()
@click.argument("node")
@click.option("--reason", default="no reason given", help="For the node, and for the record.")
@directory_option
@console.json_option
def evict(directory: "Directory", node: str, reason: str, as_json: bool) -> None:
    """Take NODE out of the federation.

    The next posterior is learnt without its rows. An evicted node does not consent to that, so the
    others form it only when enough of them differ from the cohort before. The name can be enrolled
    again with a new token.
    """
    from aggregator.denylist import evict

    _emit_denials(evict(directory, node, reason=reason), "evicted", as_json)


@click.command()
@click.argument("who", metavar="NODE|FINGERPRINT")
@directory_option
@console.json_option
def allow(directory: "Directory", who: str, as_json: bool) -> None:
    """Allow a denied node's certificates again."""
    from aggregator.denylist import allow

    _emit_denials(allow(directory, who), "allowed", as_json)


@click.command()
@directory_option
@console.json_option
def denied(directory: "Directory", as_json: bool) -> None:
    """List the denied certificates: whose, since when, and why."""
    from aggregator.denylist import denied

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
