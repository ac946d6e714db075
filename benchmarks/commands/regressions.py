"""Regressions, counts and times: inputs that matter, likelihoods, outliers."""

from pathlib import Path

import click

from benchmarks.figures import shortened, write_csv
from benchmarks.likelihoods import PROBLEMS as LIKELIHOOD_PROBLEMS
from benchmarks.likelihoods import averaged, measure_likelihoods
from benchmarks.output import cells, command_line
from benchmarks.relevance import RELEVANCE_PROBLEMS, measure_relevance
from benchmarks.relevance import WAYS as RELEVANCE_WAYS
from benchmarks.robust import measure_robustness
from edge_node import console


@click.command()
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
        write_csv(rows, file, command_line())
    console.emit(
        {"benchmark": "relevance", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*cells(rows)),
    )


@click.command()
@click.option("--set", "names", type=click.Choice(list(LIKELIHOOD_PROBLEMS)), multiple=True)
@click.option("--splits", default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def likelihoods(*, names: tuple[str, ...], splits: int, file: Path | None, as_json: bool) -> None:
    """Counts, ordered classes and times to an event, against regressions of pooled rows."""
    chosen = names or tuple(LIKELIHOOD_PROBLEMS)
    rows = [row for name in chosen for row in measure_likelihoods(name, splits)]
    if file is not None:
        write_csv(rows, file, command_line())
    summary = averaged(rows)
    console.emit(
        {"benchmark": "likelihoods", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*cells(summary)),
    )


@click.command()
@click.option("--rows", default=2000, show_default=True)
@click.option("--splits", default=3, show_default=True)
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write the figures.")
@console.json_option
def robust(rows: int, splits: int, file: Path | None, as_json: bool) -> None:
    """Errors of a regression with wild cells, heavy-tailed columns and outliers among targets."""
    found = list(measure_robustness(rows, splits))
    if file is not None:
        write_csv(found, file, command_line())
    console.emit(
        {"benchmark": "robust", "rows": found},
        as_json=as_json,
        text=lambda: console.table(*cells(found)),
    )
