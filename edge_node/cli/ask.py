"""Commands that ask the local posterior; no daemon, aggregator or peer needs to be up."""

import csv
import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from edge_node import console
from edge_node.cli.options import directory_option
from edge_node.paths import NodePaths
from edge_node.security.files import write_atomically

__all__ = ["predict"]


@click.command()
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
