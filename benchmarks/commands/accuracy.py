"""A federation and its peers on real sets."""

from pathlib import Path

import click

from benchmarks.accuracy import (
    ALL_RUNS,
    SETS,
    Setting,
    measure_accuracy,
    read_results,
    summarise,
    tables,
)
from benchmarks.figures import shortened
from benchmarks.output import cells, command_line
from edge_node import console
from edge_node.config import SAFE_MOST_TOLD, ModelSpec, SiteRefinement


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(SETS)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--splits", type=click.IntRange(1, 3), default=3, show_default=True)
@click.option("--rows", default=0, help="To learn from at most, and to judge by. [default: all]")
@click.option("--spread", type=click.Choice(["clustered", "iid"]), default="clustered")
@click.option("--nodes", default=0, help="[default: 4 below 1,000 rows, 8 below 5,000, else 16]")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Choice(ALL_RUNS),
    default=ALL_RUNS,
    help="Ours or a peer. [default: all]",
)
@click.option("--landmarks", type=int, help="At most; as many as the rows allow if not given.")
@click.option("--most-told", default=SAFE_MOST_TOLD, show_default=True, help="Numbers per cell.")
@click.option("--block-rows", default=2000, show_default=True, help="Rows of a site's block.")
@click.option(
    "--refinement",
    default="auto",
    show_default=True,
    type=click.Choice([each.value for each in SiteRefinement]),
    help="How a site uses its own rows.",
)
@click.option("--neighbours", default=60, show_default=True, help="Of a row, in a site's graph.")
@click.option("--moves", default=0, show_default=True, help="Of the landmarks, at most.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Go on with these results.")
@click.option("--again", is_flag=True, help="Measure ours again, of other versions in the file.")
@click.option("--table", is_flag=True, help="Measure nothing: the file's tables, in Markdown.")
@console.json_option
def accuracy(
    *,
    sets: tuple[str, ...],
    data: Path,
    splits: int,
    rows: int,
    spread: str,
    nodes: int,
    runs: tuple[str, ...],
    landmarks: int | None,
    most_told: float,
    block_rows: int,
    refinement: str,
    neighbours: int,
    moves: int,
    file: Path | None,
    again: bool,
    table: bool,
    as_json: bool,
) -> None:
    """Errors, calibration and costs of a federation and of its peers on real SETS; all of them by
    default. It can be stopped: with `--csv`, it goes on from what the file has.
    """
    if table:
        if file is None:
            raise click.UsageError("--table needs the results: --csv FILE")
        click.echo(tables(read_results(file)), nl=False)
        return
    setting = Setting(
        rows=rows,
        nodes=nodes,
        spread=spread,
        model=ModelSpec(
            landmarks=landmarks or "auto",
            move_landmarks=moves,
            site_refinement=SiteRefinement(refinement),
            site_neighbours=neighbours,
            site_block_rows=block_rows,
            site_rows=max(8000, block_rows),
        ),
        most_told=most_told,
    )
    found = []
    for row in measure_accuracy(
        sets or tuple(SETS),
        data,
        setting=setting,
        splits=splits,
        runs=runs,
        results=file,
        command=command_line(),
        again=again,
        tell=console.explain,
    ):
        found.append(row)
        console.explain("  " + "  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    summary = summarise(found)
    console.emit(
        {"benchmark": "accuracy", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*cells(summary)),
    )
