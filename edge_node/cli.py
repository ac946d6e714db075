"""The command line of a node: set it up, run it, ask it.

Commands parse their arguments, call one function and print its result; what takes long to import
is imported by the command that needs it.
"""

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_node import __version__, console
from edge_node.config import Task
from edge_node.paths import NodePaths
from edge_node.security.files import write_atomically

if TYPE_CHECKING:
    from edge_node.serving.client import NodeStatus

__all__ = ["cli", "main"]

_EPILOG = """\b
Exit codes:
  0 success                       5 identity: key, certificate, token
  1 unexpected error              6 network: aggregator or peer
  2 command line                  7 refused by a policy
  3 configuration                 8 numerical failure
  4 data: file, column, row       9 machine: port, directory, disk
"""


def main() -> None:
    """The ``edge-node`` program."""
    console.main(cli, program="edge-node")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-node")
def cli() -> None:
    r"""Take part in a federation that learns one Gaussian-process posterior; your rows stay here.

    \b
    A node's life:
      edge-node init --name hospital-a --data rows.csv --advertise a.example.org:7710
      edge-node enrol TOKEN           with a token from `aggregator token hospital-a`
      edge-node doctor                is everything in place?
      edge-node run                   take part, and answer queries
      edge-node predict --csv new.csv

    All commands work on one directory: --dir, or the variable EDGE_NODE_DIR, or the present one.
    """


def directory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--dir``, passed as ``paths``."""
    return click.option(
        "--dir",
        "-d",
        "paths",
        envvar="EDGE_NODE_DIR",
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: NodePaths(value),
        help="The node's directory.",
    )(function)


@cli.command()
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
    help="host:port by which peers reach it. [default: this host's name, port of --listen]",
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
@click.option("--threads", default=0, show_default=True, help="Processor threads to use; 0: all.")
@directory_option
@console.json_option
def init(paths: NodePaths, as_json: bool, **settings: Any) -> None:
    """Write the node file (node.toml). It is this site's own; edit it at will."""
    from edge_node.setup import create_node

    create_node(paths, **settings)
    console.emit(
        {"node": settings["name"], "directory": str(paths.root), "config": str(paths.config)},
        as_json=as_json,
        text=f"Wrote {paths.config}. Next: edge-node enrol TOKEN",
    )


@cli.command()
@click.argument("token")
@click.option(
    "--spec",
    "expected",
    type=click.Path(path_type=Path),
    help="Refuse, unless the federation's spec is this one.",
)
@click.option("--timeout", default=20.0, show_default=True, help="Seconds for each exchange.")
@directory_option
@console.json_option
def enrol(
    paths: NodePaths, token: str, expected: Path | None, timeout: float, as_json: bool
) -> None:
    """Join a federation with a one-time TOKEN.

    A key is made here and never leaves; the aggregator signs a certificate for it. The
    federation's spec is received and kept in federation.toml: read it, it says what is learnt.
    """
    from edge_node.setup import enrol_node

    result = enrol_node(paths, token, expected, timeout=timeout)
    console.emit(result, as_json=as_json, text=_enrolled(result))


def _enrolled(result: dict[str, str]) -> str:
    return (
        f"{result['node']} is a member of {result['federation']!r}.\n"
        f"  certificate   {result['fingerprint']}, until {result['expires']}\n"
        f"  spec          {result['spec']} (hash {result['spec_hash'][:16]})\n"
        f"Next: edge-node doctor, then edge-node run"
    )


@cli.command()
@directory_option
def run(paths: NodePaths) -> None:
    """Take part in the federation and answer local queries, until stopped (SIGTERM, Ctrl-C)."""
    from edge_node.node import run_node

    console.configure_logging()
    asyncio.run(run_node(paths))


@cli.command()
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
        and f"until {answer.certificate_expires:%Y-%m-%d}",
        "traffic": f"{answer.bytes_sent:,} bytes sent, {answer.bytes_received:,} received",
    }
    return [(name, str(value)) for name, value in facts.items() if value]


@cli.command()
@click.option(
    "--csv",
    "file",
    type=click.Path(path_type=Path),
    help="CSV or Parquet file with rows to predict. [default: CSV on standard input]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write here instead of to standard output."
)
@click.option(
    "--level", default=0.95, show_default=True, help="Probability that an interval holds the value."
)
@directory_option
@console.json_option
def predict(
    paths: NodePaths, file: Path | None, out: Path | None, level: float, as_json: bool
) -> None:
    """Predict from the local posterior; works with the daemon, aggregator and all peers down.

    Prints CSV in the order of the rows: mean, sd, lower and upper of a new observation; or the
    label and the probability of each class.
    """
    from edge_node.local import predict_file, saved_input

    if file is None and sys.stdin.isatty():
        raise click.UsageError("give --csv FILE, or pipe CSV rows into the command")
    with nullcontext(file) if file else saved_input(sys.stdin.buffer) as path:
        predictions = predict_file(paths, path, level=level)
    for warning in predictions.warnings:
        console.explain(f"Warning: {warning}")
    rows, warnings = predictions.rows(), list(predictions.warnings)
    text = _csv(rows)
    if as_json:
        text = json.dumps({"predictions": rows, "warnings": warnings}) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text.encode(), mode=0o644)


def _csv(rows: list[dict[str, Any]]) -> str:
    """Predictions as CSV; a class's probability stands in column ``p_CLASS``."""
    flat = [
        {"label": row["label"], **{f"p_{name}": p for name, p in row["probabilities"].items()}}
        if "label" in row
        else row
        for row in rows
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


@cli.command()
@directory_option
@console.json_option
def doctor(paths: NodePaths, as_json: bool) -> int:
    """Check clock, key, certificate, names, ports, aggregator and data; name what is wrong.

    The exit code is that of the worst finding, 0 if all is well.
    """
    from edge_node.doctor import examine

    findings = examine(paths)
    console.emit(
        {"findings": [finding.as_dict() for finding in findings]},
        as_json=as_json,
        text=lambda: console.table(
            ("", "check", "finding"), [(f.mark, f.check, f.text) for f in findings]
        ),
    )
    return max((finding.exit_code for finding in findings), default=0)


@cli.command()
@click.option(
    "--dataset",
    type=click.Choice(["breast-cancer", "diabetes"]),
    default="breast-cancer",
    show_default=True,
    help="Bundled data: 569 biopsies, or 442 diabetes patients.",
)
@click.option(
    "--csv", "file", type=click.Path(path_type=Path), help="Your own data instead; needs --target."
)
@click.option("--target", help="The column to predict.")
@click.option("--site-column", help="The column that says which site a row is from.")
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="A column to leave out; repeatable."
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="[default: by the target's values]",
)
@click.option("--nodes", default=5, show_default=True, help="How many nodes.")
@click.option(
    "--split",
    "how",
    type=click.Choice(["iid", "clustered", "by-column"]),
    help="How rows are spread over nodes. [default: clustered; by-column with --site-column]",
)
@click.option("--landmarks", default=200, show_default=True, help="How many landmarks.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default="report",
    show_default=True,
    help="Folder for report.json, predictions.csv and pictures.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the federation running, and say how to ask it, until Ctrl-C.",
)
@console.json_option
def demo(as_json: bool, **options: Any) -> None:
    """Run a whole federation on this machine: an aggregator and nodes as processes, real data.

    Each node reads only its own file. They reach one posterior; its predictions are compared with
    one machine holding all rows, and with each site alone.
    """
    from edge_node.demo.main import demonstrate

    demonstrate(as_json=as_json, **options)
