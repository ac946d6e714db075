"""Flower beside a federation, on the same sites."""

from pathlib import Path

import click

from benchmarks.accuracy import SETS, read_results
from benchmarks.fedavg.measuring import RUNS, SPREADS, measure_fedavg
from benchmarks.fedavg.measuring import SETS as USUAL
from benchmarks.fedavg.peers import PYTHON
from benchmarks.fedavg.tables import tables
from benchmarks.figures import shortened
from benchmarks.output import cells, command_line
from edge_node import console


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(SETS)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--spread", "spreads", multiple=True, type=click.Choice(SPREADS), default=SPREADS)
@click.option("--run", "runs", multiple=True, type=click.Choice(RUNS), default=RUNS)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Of Flower's, at most.",
)
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=0,
    help="To learn from at most, and to judge by. [default: all]",
)
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    default=PYTHON,
    help="That has Flower (benchmarks/requirements-flower.txt).",
)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Go on with these results.")
@click.option("--table", is_flag=True, help="Measure nothing: the file's tables, in Markdown.")
@console.json_option
def fedavg(
    *,
    sets: tuple[str, ...],
    data: Path,
    spreads: tuple[str, ...],
    runs: tuple[str, ...],
    rounds: int,
    rows: int,
    python: Path,
    file: Path | None,
    table: bool,
    as_json: bool,
) -> None:
    """Flower's FedAvg and bagged XGBoost beside a federation, on the same sites of SETS: hospitals,
    pol, protein and kin40k by default. With `--csv`, it goes on from what the file has.
    """
    if table:
        if file is None:
            raise click.UsageError("--table needs the results: --csv FILE")
        click.echo(tables(read_results(file)), nl=False)
        return
    found = []
    for row in measure_fedavg(
        sets or USUAL,
        data,
        python=python,
        spreads=spreads,
        runs=runs,
        rounds=rounds,
        most_rows=rows,
        results=file,
        command=command_line(),
        tell=console.explain,
    ):
        found.append(row)
        console.explain("  " + "  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    console.emit(
        {"benchmark": "fedavg", "rows": found},
        as_json=as_json,
        text=lambda: console.table(*cells(found)),
    )
