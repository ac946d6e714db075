"""Fleets of devices that are each a variable of one field."""

from pathlib import Path

import click

from benchmarks.field.changes import measure_changes
from benchmarks.field.figure import draw_field
from benchmarks.field.priors import measure_priors
from benchmarks.field.talk import measure_talk
from benchmarks.figures import Row, shortened, write_csv
from benchmarks.output import cells, command_line
from edge_node import console

_PARTS = ("prior", "change", "talk")
_MOST_TICKS = 400


@click.command()
@click.option(
    "--devices",
    type=click.IntRange(1000),
    default=100_000,
    show_default=True,
    help="Of the largest fleet; others are smaller.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Of noise, for the variances.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(_PARTS),
    default=_PARTS,
    show_default=True,
    help="What is measured.",
)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw errors against messages.")
@console.json_option
def field(
    *,
    devices: int,
    samples: int,
    parts: tuple[str, ...],
    file: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Devices as nodes: which priors converge, what changes cost, errors against messages."""
    fewer = max(devices // 5, 1000)
    rows: list[Row] = []
    if "prior" in parts:
        rows += measure_priors(max(devices // 100, 100))
    if "change" in parts:
        rows += measure_changes(fewer, measuring=0.5, lost=0.2)
    if "talk" in parts:
        for count, measuring, losses in ((fewer, 0.2, (0.2,)), (devices, 0.5, (0.0, 0.2))):
            for row in measure_talk(
                count, measuring=measuring, samples=samples, losses=losses, most_ticks=_MOST_TICKS
            ):
                rows.append(row)
                console.explain("  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    if file is not None:
        write_csv(rows, file, command_line())
    if plot is not None:
        draw_field(rows, plot)
    if as_json:
        console.emit({"benchmark": "field", "rows": rows}, as_json=True, text="")
        return
    for part in ("prior", "change", "answer"):  # the talk was told while it lasted
        if some := [row for row in rows if row["part"] == part]:
            console.show(console.table(*cells(some)))
