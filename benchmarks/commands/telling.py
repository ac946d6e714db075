"""What differential privacy costs, and what exact sums give away."""

from pathlib import Path

import click

from benchmarks.disclosure.curve import measure_disclosure
from benchmarks.disclosure.figure import draw_disclosure
from benchmarks.disclosure.rows import SETS as DISCLOSED_SETS
from benchmarks.figures import write_csv
from benchmarks.output import cells, command_line
from benchmarks.privacy import EPSILONS, QUESTIONS, draw_privacy, measure_privacy, summarise_privacy
from edge_node import console


@click.command()
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
        write_csv(rows, file, command_line())
    summary = summarise_privacy(rows)
    if plot is not None:
        draw_privacy(summary, plot)
    console.emit(
        {"benchmark": "privacy", "landmarks": landmarks, "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*cells(summary)),
    )


@click.command()
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
        write_csv(rows, file, command_line())
    if plot is not None:
        draw_disclosure(rows, plot)
    console.emit(
        {"benchmark": "disclosure", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*cells(rows)),
    )
