"""Commands of a node's beginning and end: make it, enrol, renew its certificate, leave."""

import time
from pathlib import Path
from typing import Any

import click

from edge_node import console
from edge_node.cli.options import directory_option, typed
from edge_node.config.paths import NodePaths

__all__ = ["enrol", "init", "leave", "renew"]

_ASK_EVERY = 10.0  # seconds between two questions for a certificate that isn't signed yet


@click.command()
@click.option("--name", required=True, help="The node's name, e.g. hospital-a.")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV or Parquet file with this site's rows.",
)
@click.option(
    "--listen", default="0.0.0.0:7710", show_default=True, help="Where peers may connect."
)
@click.option(
    "--advertise",
    default="",
    help="host:port by which peers reach this node. [default: this host, the port of --listen]",
)
@click.option(
    "--no-inbound",
    is_flag=True,
    help="Accept no connection: the node becomes a leaf that only dials.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="COLUMN",
    help="A column of the file that the federation doesn't use; repeatable.",
)
@click.option(
    "--threads",
    default=0,
    show_default=True,
    help="Processor threads to use; 0: all, or one where rows are few.",
)
@click.option(
    "--min-cohort",
    default=3,
    show_default=True,
    help="Policy: take part in no sum over fewer nodes; at least 3.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NODE",
    help="Policy: take part in sums with these nodes only; repeatable. [default: with any node]",
)
@click.option(
    "--differencing",
    type=click.Choice(["refuse", "consent"]),
    default="refuse",
    show_default=True,
    help="Policy: may others learn this site's sums by subtracting totals?",
)
@directory_option
@console.json_option
def init(
    paths: NodePaths,
    min_cohort: int,
    peers: tuple[str, ...],
    differencing: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the node file (node.toml). It belongs to this site; edit it at will."""
    from edge_node.config import Differencing, SitePolicy
    from edge_node.node.setup import create_node

    policy = SitePolicy(min_cohort=min_cohort, peers=peers, differencing=Differencing(differencing))
    create_node(paths, policy=policy, **settings)
    console.emit(
        {"node": settings["name"], "directory": str(paths.root), "config": str(paths.config)},
        as_json=as_json,
        text=f"Wrote {paths.config}.\nNext: {typed('enrol TOKEN', paths)}",
    )


@click.command()
@click.argument("token", default="")
@click.option(
    "--spec",
    "expected",
    type=click.Path(path_type=Path),
    help="Refuse to join, unless the federation's spec equals this file.",
)
@click.option("--timeout", default=20.0, show_default=True, help="Seconds for each exchange.")
@click.option("--resume", is_flag=True, help="Fetch a certificate that was not signed yet.")
@click.option("--wait", is_flag=True, help="Ask every few seconds until it is signed.")
@directory_option
@console.json_option
def enrol(
    paths: NodePaths, token: str, resume: bool, wait: bool, as_json: bool, **settings: Any
) -> None:
    """Join a federation with a one-time TOKEN.

    A key is made here and never leaves; the federation's authority signs a certificate for it. The
    federation's spec is received and kept in federation.toml. Read it: it says what is learnt.

    Where the authority's key is on another machine, somebody there has to sign. Fetch the
    certificate later with --resume; that takes no other token.
    """
    from edge_node.node.setup import enrol_node

    if bool(token) == resume:
        raise click.UsageError("give either a TOKEN or --resume")
    result = enrol_node(paths, token, **settings)
    while wait and result["pending"]:
        console.explain(_enrolled(result, paths))
        time.sleep(_ASK_EVERY)
        result = enrol_node(paths, "", **settings)
    console.emit(result, as_json=as_json, text=_enrolled(result, paths))


def _enrolled(result: dict[str, Any], paths: NodePaths) -> str:
    if result["pending"]:
        return (
            f"The authority of {result['federation']!r} has not signed the certificate yet.\n"
            f"  key           {result['fingerprint']}\n"
            "Tell the authority's operator this fingerprint.\n"
            f"Next: {typed('enrol --resume', paths)}"
        )
    return (
        f"{result['node']} is a member of {result['federation']!r}.\n"
        f"  certificate   {result['fingerprint']}, until {result['expires']}\n"
        f"  spec          {result['spec']} (hash {result['spec_hash'][:16]})\n"
        f"Next: {typed('doctor', paths)}\n"
        f"then: {typed('run', paths)}; if it runs already, restart it"
    )


@click.command()
@directory_option
@console.json_option
def renew(paths: NodePaths, as_json: bool) -> None:
    """Renew the certificate now, with a new key. A running node does so at half of its life."""
    from edge_node.node.setup import renew_node

    result = renew_node(paths)
    console.emit(result, as_json=as_json, text=_renewed(result))


def _renewed(result: dict[str, Any]) -> str:
    if result["pending"]:
        return "Asked for. Once the authority has signed it, a running node fetches it."
    return (
        f"Renewed: {result['fingerprint']}, until {result['expires']}.\n"
        "The old certificate stays in force until a plan names the new one."
    )


@click.command()
@click.option(
    "--consent",
    is_flag=True,
    help="Let the others go on at once, though they can then compute this node's sums.",
)
@click.option("--forget", is_flag=True, help="Delete the posterior and the records of runs here.")
@directory_option
@console.json_option
def leave(paths: NodePaths, consent: bool, forget: bool, as_json: bool) -> None:
    """Leave the federation. The next posterior is learnt without this node's rows.

    Unless this node consents, the others form no totals that differ from earlier ones by this node
    alone: they wait until enough nodes join, leave or change their rows. The data file stays.
    """
    from edge_node.node.setup import leave_node

    result = leave_node(paths, consent=consent, forget=forget)
    console.emit(
        result,
        as_json=as_json,
        text=f"{result['node']} has left the federation.\n"
        f"To come back, with a new token: {typed('enrol TOKEN', paths)}",
    )
