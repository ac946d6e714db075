"""What a node and a federation cost: time, bytes and memory."""

from pathlib import Path

import click

from benchmarks.cpu import measure_cpu
from benchmarks.joined import measure_joined
from benchmarks.kernel import measure_kernel
from benchmarks.memory import measure_memory
from benchmarks.output import cells, command_line, show
from benchmarks.prediction import measure_prediction
from benchmarks.run import PROBLEMS, measure_run
from benchmarks.secure import measure_secure
from benchmarks.simulation import measure_simulation
from benchmarks.startup import measure_startup
from benchmarks.statistics import measure_statistics
from benchmarks.wire import measure_wire
from edge_node import console
from edge_node.config import SAFE_MOST_TOLD, ModelSpec


@click.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=9, show_default=True)
@console.json_option
def statistics(rows: int, landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds of a node's statistics, against BLAS dsyrk of the same shape alone."""
    show(measure_statistics(rows, landmarks, repeats), as_json)


@click.command()
@click.option("--rows", default=8000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=7, show_default=True)
@console.json_option
def kernel(rows: int, landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds of a dense ReLU network's block, against neural-tangents on the same JAX."""
    show(measure_kernel(rows, landmarks, repeats), as_json)


@click.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--rows", default=8192, show_default=True, help="Of the batch.")
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def prediction(landmarks: int, rows: int, repeats: int, as_json: bool) -> None:
    """Seconds of a prediction with its uncertainty: one row, a batch, and reading the model."""
    show(measure_prediction(landmarks, rows, repeats), as_json)


@click.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def startup(landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds from the start of `edge-node predict` to its answer, against 1.5 s."""
    show(measure_startup(landmarks, repeats), as_json)


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@console.json_option
def memory(rows: int, landmarks: int, as_json: bool) -> None:
    """Peak megabytes of a process that streams a file into its statistics, against 400."""
    show(measure_memory(rows, landmarks), as_json)


@click.command()
@click.option("--rows", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--landmarks", type=click.IntRange(1), default=400, show_default=True)
@click.option("--inputs", type=click.IntRange(4), default=8, show_default=True)
@click.option("--neighbours", type=click.IntRange(1), default=60, show_default=True)
@console.json_option
def joined(rows: int, landmarks: int, inputs: int, neighbours: int, as_json: bool) -> None:
    """Peak megabytes of a site that refines by its kernel graph, against 2,000, and seconds.

    100,000 rows take a minute of a processor.
    """
    show(measure_joined(rows, landmarks, inputs, neighbours), as_json)


@click.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--landmarks", default=500, show_default=True)
@click.option("--nodes", default=8, show_default=True)
@console.json_option
def cpu(rows: int, landmarks: int, nodes: int, as_json: bool) -> None:
    """CPU seconds of a federation's node processes, against one process with all the rows."""
    show(measure_cpu(rows, landmarks, nodes), as_json)


@click.command()
@click.option("--rows", default=3000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@console.json_option
def wire(rows: int, landmarks: int, as_json: bool) -> None:
    """Bytes a leaf sends in a run over mTLS, against those of the words that it contributes."""
    show(measure_wire(rows, landmarks), as_json)


@click.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--nodes", multiple=True, type=int, default=[3, 10, 32, 64], show_default=True)
@click.option("--rows", default=4000, show_default=True, help="Of a site, for a whole round.")
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def secure(landmarks: int, nodes: tuple[int, ...], rows: int, repeats: int, as_json: bool) -> None:
    """Bytes, wall and processor time of a secure sum, against a plain one of float64 numbers."""
    measured = measure_secure(landmarks, nodes, rows, repeats)
    console.emit(measured, as_json=as_json, text=lambda: console.table(*cells(measured["results"])))


@click.command()
@click.option("--nodes", multiple=True, type=int, default=[40, 170], show_default=True)
@click.option("--rows", default=1455, show_default=True, help="Of all nodes.")
@click.option("--inputs", default=15, show_default=True)
@click.option("--most-told", default=SAFE_MOST_TOLD, show_default=True, help="Numbers per cell.")
@console.json_option
def simulation(
    nodes: tuple[int, ...], rows: int, inputs: int, most_told: float, as_json: bool
) -> None:
    """CPU seconds and megabytes of many nodes in one process, against one with all rows."""
    measured = measure_simulation(nodes, rows, inputs, most_told)
    console.emit(measured, as_json=as_json, text=lambda: console.table(*cells(measured["runs"])))


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(PROBLEMS)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--landmarks", type=int, help="At most. [default: the spec's]")
@click.option(
    "--most-told", type=float, help="Numbers per cell of others' rows. [default: the spec's]"
)
@console.json_option
def run(
    *,
    sets: tuple[str, ...],
    data: Path,
    landmarks: int | None,
    most_told: float | None,
    as_json: bool,
) -> None:
    """What whole runs on SETS cost, by step: bytes over an edge, processor, wall time, memory."""
    model = ModelSpec() if landmarks is None else ModelSpec(landmarks=landmarks)
    runs = []
    for name in sets or PROBLEMS:
        console.explain(f"{name} ...")
        runs.append(measure_run(name, data, model, most_told=most_told))
        if not as_json:
            console.show(console.table(*cells(runs[-1].pop("steps")), title=name))
    console.emit(
        {"benchmark": "run", "command": command_line(), "runs": runs},
        as_json=as_json,
        text=lambda: console.table(*cells(runs)),
    )
