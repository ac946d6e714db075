"""Belief propagation beside solvers of the whole system."""

from pathlib import Path

import click

from benchmarks.figures import shortened, write_csv
from benchmarks.output import command_line
from benchmarks.propagation.measuring import measure_propagation
from benchmarks.propagation.methods import MOST
from benchmarks.propagation.shown import draw_propagation, slopes, table
from benchmarks.propagation.system import CASES
from edge_node import console


@click.command()
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(10),
    default=[10**3, 10**4, 10**5, 10**6],
    show_default=True,
    help="Of the field, in variables.",
)
@click.option(
    "--case",
    "cases",
    multiple=True,
    type=click.Choice(list(CASES)),
    help="How strong the coupling is. [default: both]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(list(MOST)),
    help="[default: all, each up to its own size]",
)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them.")
@console.json_option
def propagation(
    *,
    sizes: tuple[int, ...],
    cases: tuple[str, ...],
    methods: tuple[str, ...],
    file: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Belief propagation on a field's graph, against solvers of the whole sparse system.

    A size of 1,000 takes a minute, most of which is the start of processes. The slope is that of
    seconds from 10,000 variables on, where there are two such sizes.
    """
    rows = []
    for row in measure_propagation(
        sizes, cases or tuple(CASES), methods or tuple(MOST), tell=console.explain
    ):
        rows.append(row)
        console.explain("  ".join(f"{k} {v}" for k, v in shortened(row).items()))
        if file is not None:  # the largest come last
            write_csv(rows, file, command_line())
    if plot is not None:
        draw_propagation(rows, plot)
    growth = slopes(rows)
    console.emit(
        {"benchmark": "propagation", "rows": rows, "slopes": growth},
        as_json=as_json,
        text="\n".join(table(rows)),
    )
