"""The benchmarks' command line."""

from typing import Any

import click

from benchmarks.cpu import measure_cpu
from benchmarks.kernel import measure_kernel
from benchmarks.startup import measure_startup
from benchmarks.statistics import measure_statistics
from benchmarks.wire import measure_wire
from edge_node import console


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure something against its limit, or against a peer, in one run."""


def _show(result: dict[str, Any], as_json: bool) -> None:
    console.emit(
        result,
        as_json=as_json,
        text=lambda: console.table(("", ""), [(key, str(value)) for key, value in result.items()]),
    )


@cli.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@console.json_option
def statistics(rows: int, landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds of a node's statistics, against BLAS dsyrk of the same shape alone."""
    _show(measure_statistics(rows, landmarks, repeats), as_json)


@cli.command()
@click.option("--rows", default=8000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=7, show_default=True)
@console.json_option
def kernel(rows: int, landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds of a dense ReLU network's block, against neural-tangents on the same JAX."""
    _show(measure_kernel(rows, landmarks, repeats), as_json)


@cli.command()
@click.option("--rows", default=3000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@console.json_option
def wire(rows: int, landmarks: int, as_json: bool) -> None:
    """Bytes a leaf sends in a run over mTLS, against 16 bytes for each number it contributes."""
    _show(measure_wire(rows, landmarks), as_json)


@cli.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--landmarks", default=500, show_default=True)
@click.option("--nodes", default=8, show_default=True)
@console.json_option
def cpu(rows: int, landmarks: int, nodes: int, as_json: bool) -> None:
    """CPU seconds of a federation's node processes, against one process with all the rows."""
    _show(measure_cpu(rows, landmarks, nodes), as_json)


@cli.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def startup(landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds from the start of `edge-node predict` to its answer, against 1.5 s."""
    _show(measure_startup(landmarks, repeats), as_json)


if __name__ == "__main__":
    console.main(cli, program="python -m benchmarks")
