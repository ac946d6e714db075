"""The claims of infinite width, shown on finite networks."""

from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks.figures import write_csv
from benchmarks.output import cells, command_line
from edge_node import console
from edge_node.errors import ConfigurationError


@click.command()
@click.option(
    "--seeds",
    type=click.IntRange(2),
    default=32,
    show_default=True,
    help="Networks of each width to train.",
)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them.")
@console.json_option
def width(*, seeds: int, file: Path | None, plot: Path | None, as_json: bool) -> None:
    """Finite networks beside their kernels: how fast predictions, weights and outputs approach.

    It needs optax, and two minutes of a processor.
    """
    if find_spec("optax") is None:
        raise ConfigurationError(
            "networks can't be trained",
            found="no optax",
            remedy="Install it: pip install optax",
        )
    from benchmarks.width.figure import draw_width  # loads JAX and optax, as no other command does
    from benchmarks.width.fits import fitted
    from benchmarks.width.measure import Size, measure_width

    rows = measure_width(Size(seeds=seeds), console.explain)
    if file is not None:
        write_csv(rows, file, command_line())
    slopes = list(fitted(rows))
    if plot is not None:
        draw_width(rows, plot)
    console.emit(
        {"benchmark": "width", "command": command_line(), "slopes": slopes},
        as_json=as_json,
        text=lambda: console.table(*cells(slopes)),
    )
