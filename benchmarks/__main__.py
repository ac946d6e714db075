"""The benchmarks' command line."""

import sys
from pathlib import Path
from typing import Any

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
from benchmarks.classifiers import CASES, measure_classifiers, wins
from benchmarks.cpu import measure_cpu
from benchmarks.disclosure.curve import measure_disclosure
from benchmarks.disclosure.figure import draw_disclosure
from benchmarks.disclosure.rows import SETS as DISCLOSED_SETS
from benchmarks.figures import shortened, write_csv
from benchmarks.hospitals import measure_hospitals
from benchmarks.images import measure_images
from benchmarks.kernel import measure_kernel
from benchmarks.likelihoods import PROBLEMS as LIKELIHOOD_PROBLEMS
from benchmarks.likelihoods import averaged, measure_likelihoods
from benchmarks.memory import measure_memory
from benchmarks.prediction import measure_prediction
from benchmarks.privacy import (
    EPSILONS,
    QUESTIONS,
    draw_privacy,
    measure_privacy,
    summarise_privacy,
)
from benchmarks.relevance import RELEVANCE_PROBLEMS, measure_relevance
from benchmarks.relevance import WAYS as RELEVANCE_WAYS
from benchmarks.robust import measure_robustness
from benchmarks.run import PROBLEMS, measure_run
from benchmarks.secure import measure_secure
from benchmarks.simulation import measure_simulation
from benchmarks.startup import measure_startup
from benchmarks.statistics import measure_statistics
from benchmarks.wire import measure_wire
from edge_node import console
from edge_node.config import SAFE_MOST_TOLD, KernelKind, LandmarkKind, ModelSpec


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
@click.option("--repeats", default=9, show_default=True)
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
    """Bytes a leaf sends in a run over mTLS, against those of the words that it contributes."""
    _show(measure_wire(rows, landmarks), as_json)


@cli.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--nodes", multiple=True, type=int, default=[3, 10, 32, 64], show_default=True)
@click.option("--rows", default=4000, show_default=True, help="Of a site, for a whole round.")
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def secure(landmarks: int, nodes: tuple[int, ...], rows: int, repeats: int, as_json: bool) -> None:
    """Bytes, wall and processor time of a secure sum, against a plain one of float64 numbers."""
    measured = measure_secure(landmarks, nodes, rows, repeats)
    console.emit(
        measured, as_json=as_json, text=lambda: console.table(*_cells(measured["results"]))
    )


@cli.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--landmarks", default=500, show_default=True)
@click.option("--nodes", default=8, show_default=True)
@console.json_option
def cpu(rows: int, landmarks: int, nodes: int, as_json: bool) -> None:
    """CPU seconds of a federation's node processes, against one process with all the rows."""
    _show(measure_cpu(rows, landmarks, nodes), as_json)


@cli.command()
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
            console.show(console.table(*_cells(runs[-1].pop("steps")), title=name))
    console.emit(
        {"benchmark": "run", "command": _command(), "runs": runs},
        as_json=as_json,
        text=lambda: console.table(*_cells(runs)),
    )


@cli.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def startup(landmarks: int, repeats: int, as_json: bool) -> None:
    """Seconds from the start of `edge-node predict` to its answer, against 1.5 s."""
    _show(measure_startup(landmarks, repeats), as_json)


@cli.command()
@click.option("--landmarks", default=1000, show_default=True)
@click.option("--rows", default=8192, show_default=True, help="Of the batch.")
@click.option("--repeats", default=5, show_default=True)
@console.json_option
def prediction(landmarks: int, rows: int, repeats: int, as_json: bool) -> None:
    """Seconds of a prediction with its uncertainty: one row, a batch, and reading the model."""
    _show(measure_prediction(landmarks, rows, repeats), as_json)


@cli.command()
@click.option("--rows", default=10_000_000, show_default=True)
@click.option("--landmarks", default=1000, show_default=True)
@console.json_option
def memory(rows: int, landmarks: int, as_json: bool) -> None:
    """Peak megabytes of a process that streams a file into its statistics, against 400."""
    _show(measure_memory(rows, landmarks), as_json)


@cli.command()
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
    console.emit(measured, as_json=as_json, text=lambda: console.table(*_cells(measured["runs"])))


@cli.command()
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
        command=_command(),
        again=again,
        tell=console.explain,
    ):
        found.append(row)
        console.explain("  " + "  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    summary = summarise(found)
    console.emit(
        {"benchmark": "accuracy", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*_cells(summary)),
    )


@cli.command()
@click.argument("problems", nargs=-1, type=click.Choice(list(RELEVANCE_PROBLEMS)))
@click.option("--seeds", default=3, show_default=True, help="How often rows are drawn.")
@click.option("--way", "ways", multiple=True, default=RELEVANCE_WAYS, show_default=True)
@click.option("--kernel", "kernels", multiple=True, help="The spec's by default.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def relevance(
    *,
    problems: tuple[str, ...],
    seeds: int,
    ways: tuple[str, ...],
    kernels: tuple[str, ...],
    file: Path | None,
    as_json: bool,
) -> None:
    """Whether the inputs that matter are found among many that don't; all PROBLEMS by default."""
    model = {"kernels": kernels} if kernels else {}
    rows = []
    for row in measure_relevance(
        problems or tuple(RELEVANCE_PROBLEMS), seeds=seeds, ways=ways, **model
    ):
        rows.append(row)
        console.explain("  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    if file is not None:
        write_csv(rows, file, _command())
    console.emit(
        {"benchmark": "relevance", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*_cells(rows)),
    )


@cli.command()
@click.option("--set", "names", type=click.Choice(list(LIKELIHOOD_PROBLEMS)), multiple=True)
@click.option("--splits", default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def likelihoods(*, names: tuple[str, ...], splits: int, file: Path | None, as_json: bool) -> None:
    """Counts, ordered classes and times to an event, against regressions of pooled rows."""
    chosen = names or tuple(LIKELIHOOD_PROBLEMS)
    rows = [row for name in chosen for row in measure_likelihoods(name, splits)]
    if file is not None:
        write_csv(rows, file, _command())
    summary = averaged(rows)
    console.emit(
        {"benchmark": "likelihoods", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*_cells(summary)),
    )


@cli.command()
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--landmarks", default=600, show_default=True)
@click.option("--indicator/--no-indicator", default=True, help="Whether the hospital is an input.")
@click.option("--steps", default=12, show_default=True, help="Of the classifier; 0: one sum.")
@click.option("--most-told", default=0.5, show_default=True, help="Numbers per cell, at most.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def hospitals(
    *,
    data: Path,
    landmarks: int,
    indicator: bool,
    steps: int,
    most_told: float,
    file: Path | None,
    as_json: bool,
) -> None:
    """Heart disease at four hospitals: a federation, each hospital alone, and pooled peers."""
    model = ModelSpec(
        kernels=(KernelKind.NTK, KernelKind.NNGP),
        landmarks=landmarks,
        landmark_kinds=(LandmarkKind.GAUSSIAN,),
        metric_repetitions=0,
        newton_steps=steps,
    )
    rows = measure_hospitals(data, model, indicator=indicator, most_told=most_told)
    if file is not None:
        write_csv(rows, file, _command())
    console.emit(
        {"benchmark": "hospitals", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*_cells(rows)),
    )


@cli.command()
@click.option("--side", "sides", multiple=True, default=[8, 10], show_default=True)
@click.option("--rows", default=200, show_default=True)
@click.option("--landmarks", default=60, show_default=True, help="Of the convolutional kernel.")
@click.option("--splits", default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def images(
    *,
    sides: tuple[int, ...],
    rows: int,
    landmarks: int,
    splits: int,
    file: Path | None,
    as_json: bool,
) -> None:
    """Digits that are shifted on a canvas: a convolutional kernel against a dense one."""
    found = []
    for row in measure_images(sides, rows=rows, landmarks=landmarks, splits=splits):
        found.append(row)
        console.explain("  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    if file is not None:
        write_csv(found, file, _command())
    console.emit(
        {"benchmark": "images", "rows": found},
        as_json=as_json,
        text=lambda: console.table(*_cells(found)),
    )


@cli.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(CASES)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--splits", type=click.IntRange(1, 4), default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write every split's figures.")
@console.json_option
def classifiers(
    *, sets: tuple[str, ...], data: Path, splits: int, file: Path | None, as_json: bool
) -> None:
    """Accuracy and log loss of classifiers of several sites, of each site alone, and of peers."""
    rows = []
    measured = measure_classifiers(
        sets or tuple(CASES), data, splits=splits, model=ModelSpec(), tell=console.explain
    )
    for row in measured:
        rows.append(row)
        console.explain("  " + "  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    if file is not None:
        write_csv(rows, file, _command())
    summary = wins(rows)
    console.emit(
        {"benchmark": "classifiers", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*_cells(summary)),
    )


@cli.command()
@click.argument("questions", nargs=-1, type=click.Choice(list(QUESTIONS)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--landmarks", default=100, show_default=True)
@click.option("--repeats", default=5, show_default=True, help="Runs for each epsilon.")
@click.option("--epsilon", "epsilons", multiple=True, type=float, default=EPSILONS)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them.")
@console.json_option
def privacy(
    *,
    questions: tuple[str, ...],
    data: Path,
    landmarks: int,
    repeats: int,
    epsilons: tuple[float, ...],
    file: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Accuracy of runs with differential privacy against epsilon; all QUESTIONS by default."""
    rows = list(
        measure_privacy(
            questions or tuple(QUESTIONS),
            data,
            epsilons=epsilons,
            repeats=repeats,
            landmarks=landmarks,
            tell=console.explain,
        )
    )
    if file is not None:
        write_csv(rows, file, _command())
    summary = summarise_privacy(rows)
    if plot is not None:
        draw_privacy(summary, plot)
    console.emit(
        {"benchmark": "privacy", "landmarks": landmarks, "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*_cells(summary)),
    )


@cli.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(DISCLOSED_SETS)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--starts", default=8, show_default=True, help="Of each least-squares problem.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them.")
@console.json_option
def disclosure(
    *,
    sets: tuple[str, ...],
    data: Path,
    starts: int,
    file: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Rows that attacks find in exact sums, against what is told; of all SETS by default."""
    rows = list(
        measure_disclosure(
            data, sets=sets or tuple(DISCLOSED_SETS), starts=starts, tell=console.explain
        )
    )
    if file is not None:
        write_csv(rows, file, _command())
    if plot is not None:
        draw_disclosure(rows, plot)
    console.emit(
        {"benchmark": "disclosure", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*_cells(rows)),
    )


@cli.command()
@click.option("--rows", default=2000, show_default=True)
@click.option("--splits", default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def robust(rows: int, splits: int, file: Path | None, as_json: bool) -> None:
    """Errors of a regression with wild cells, heavy-tailed columns and outliers among targets."""
    found = list(measure_robustness(rows, splits))
    if file is not None:
        write_csv(found, file, _command())
    console.emit(
        {"benchmark": "robust", "rows": found},
        as_json=as_json,
        text=lambda: console.table(*_cells(found)),
    )


def _command() -> str:
    return "python -m benchmarks " + " ".join(sys.argv[1:])


def _cells(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    fields = tuple(dict.fromkeys(key for row in rows for key in row))
    return fields, [tuple(str(shortened(row).get(f, "")) for f in fields) for row in rows]


if __name__ == "__main__":
    console.main(cli, program="python -m benchmarks")
