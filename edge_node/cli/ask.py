"""Commands that ask the local posterior. No daemon, aggregator or peer needs to be up."""

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
from edge_node.config import Which
from edge_node.config.paths import NodePaths
from edge_node.security.files import write_atomically

__all__ = ["explain", "predict", "score"]


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
@click.option(
    "--at",
    "times",
    type=click.FloatRange(min=0.0, min_open=True),
    multiple=True,
    metavar="TIME",
    help="Survival: also the probability that the event is later than this; repeatable.",
)
@click.option(
    "--posterior",
    type=click.Choice([str(which) for which in Which]),
    default=str(Which.AUTO),
    show_default=True,
    help="The posterior that all nodes share, that refined by this site's rows, or the better.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="Print this many joint draws of the function instead.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--time",
    type=click.FloatRange(min=0.0),
    help="Print the mean of the network after this training time instead; 1 is near the posterior.",
)
@directory_option
@console.json_option
def predict(
    *, paths: NodePaths, file: Path | None, out: Path | None, as_json: bool, **options: Any
) -> None:
    """Predict from the local posterior; works while daemon, aggregator and all peers are down.

    Prints CSV, one line for each row, in order. Regression and counts: mean, sd, lower and upper of
    a new observation. Survival: median, lower and upper of the time. Classes: the label (of ordered
    ones the median), and the probability of each class.
    """
    from edge_node.model.local import saved_input

    if options["samples"] and options["time"] is not None:
        raise click.UsageError("give --samples or --time, not both")
    if options["posterior"] == Which.SITE and (options["samples"] or options["time"] is not None):
        raise click.UsageError("--samples and --time need the posterior that all nodes share")
    if file is None and sys.stdin.isatty():
        raise click.UsageError("give --csv FILE, or pipe CSV rows into the command")
    with nullcontext(file) if file else saved_input(sys.stdin.buffer) as path:
        rows, warnings = _answers(paths, path, **options)
    for warning in warnings:
        console.explain(f"Warning: {warning}")
    text = _csv(rows)
    if as_json:
        text = json.dumps({"predictions": rows, "warnings": warnings}) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text.encode(), mode=0o644)


def _answers(
    paths: NodePaths,
    path: Path,
    *,
    level: float,
    times: tuple[float, ...],
    posterior: str,
    samples: int | None,
    seed: int,
    time: float | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows to print, and warnings."""
    if samples:
        from edge_node.model.report import sample_file

        return sample_file(paths, path, samples, seed), []
    if time is not None:
        from edge_node.model.report import trained_file

        return trained_file(paths, path, time), []
    from edge_node.model.local import predict_file

    predictions = predict_file(paths, path, level=level, which=Which(posterior), times=times)
    return predictions.rows(), list(predictions.warnings)


def _csv(rows: list[dict[str, Any]]) -> str:
    """Predictions as CSV; each class has a column of probabilities, ``p_CLASS``."""
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


@click.command()
@click.option(
    "--csv",
    "file",
    type=click.Path(path_type=Path),
    help="Rows with their target. [default: this node's own rows, each left out in turn]",
)
@directory_option
@console.json_option
def score(paths: NodePaths, file: Path | None, as_json: bool) -> None:
    """Say how well the local posterior predicts rows whose target is known.

    Regression: RMSE and negative log likelihood in the target's unit, coverage of 95 % intervals,
    the best training time. Classification: accuracy, log loss and calibration error. Counts: mean
    Poisson deviance, RMSE, coverage. Ordered classes: accuracy, log loss, ranked probability score.
    Survival: concordance, coverage and calibration error, censored rows included. Nothing leaves
    this machine.
    """
    from edge_node.model.report import score_file, score_own

    rows = score_file(paths, file) if file else score_own(paths)
    console.emit({"scores": rows}, as_json=as_json, text=lambda: console.table(*_cells(rows)))


@click.command()
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it: a PNG, SVG or PDF file.")
@directory_option
@console.json_option
def explain(paths: NodePaths, plot: Path | None, as_json: bool) -> None:
    """Say how much each input matters to the model, and what this site's own rows add.

    An input's share is that of the learnt metric.
    """
    from edge_node.model.report import draw_relevance, own_part
    from edge_node.model.report import explain as relevance

    rows, own = relevance(paths), own_part(paths)
    if plot is not None:
        draw_relevance(rows, plot)
    console.emit(
        {"inputs": rows, **own},
        as_json=as_json,
        text=lambda: f"{console.table(*_cells(rows))}\n\n{_own_rows(own)}",
    )


def _own_rows(own: dict[str, Any]) -> str:
    """What a site's own rows add, in words."""
    if own["site_refinement"] == "none":
        return "This site's own rows add nothing to what all share."
    by = {"blocks": "in blocks", "graph": "by a graph"}[own["site_refinement"]]
    asked = "" if own["site_answers"] else ", but only where `--posterior site` asks for them"
    return f"This site's own rows refine its answers {by}{asked}."


def _cells(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table's header and lines; numbers to four digits."""
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return names, [tuple(_short(row.get(name, "")) for name in names) for row in rows]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
