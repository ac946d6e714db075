"""Classes: hospitals, images, and classifiers at sites."""

from pathlib import Path

import click

from benchmarks.classifiers import CASES, measure_classifiers, wins
from benchmarks.figures import shortened, write_csv
from benchmarks.hospitals import measure_hospitals
from benchmarks.images import measure_images
from benchmarks.output import cells, command_line
from edge_node import console
from edge_node.config import KernelKind, LandmarkKind, ModelSpec, SiteRefinement


@click.command()
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
        write_csv(rows, file, command_line())
    console.emit(
        {"benchmark": "hospitals", "rows": rows},
        as_json=as_json,
        text=lambda: console.table(*cells(rows)),
    )


@click.command()
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
        write_csv(found, file, command_line())
    console.emit(
        {"benchmark": "images", "rows": found},
        as_json=as_json,
        text=lambda: console.table(*cells(found)),
    )


@click.command()
@click.argument("sets", nargs=-1, type=click.Choice(list(CASES)))
@click.option("--data", type=click.Path(path_type=Path), default="../shared/data")
@click.option("--splits", type=click.IntRange(1, 4), default=3, show_default=True)
@click.option(
    "--refinement",
    type=click.Choice([each.value for each in SiteRefinement]),
    default=SiteRefinement.AUTO.value,
    show_default=True,
    help="What a site makes of its rows.",
)
@click.option("--peers/--no-peers", default=True, help="Whether peers answer, too.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Write every split's figures.")
@console.json_option
def classifiers(
    *,
    sets: tuple[str, ...],
    data: Path,
    splits: int,
    refinement: str,
    peers: bool,
    file: Path | None,
    as_json: bool,
) -> None:
    """Accuracy and log loss of classifiers of several sites, of each site alone, and of peers."""
    rows, model = [], ModelSpec(site_refinement=SiteRefinement(refinement))
    measured = measure_classifiers(
        sets or tuple(CASES), data, splits=splits, model=model, peers=peers, tell=console.explain
    )
    for row in measured:
        rows.append(row)
        console.explain("  " + "  ".join(f"{k} {v}" for k, v in shortened(row).items()))
    if file is not None:
        write_csv(rows, file, command_line())
    summary = wins(rows)
    console.emit(
        {"benchmark": "classifiers", "summary": summary},
        as_json=as_json,
        text=lambda: console.table(*cells(summary)),
    )
