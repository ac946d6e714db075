"""``edge-node demo``: choose data, run the experiment, show and write the report."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from edge_node import console
from edge_node.config import FederationSpec, ModelSpec, Task, TimingSpec, check_spec
from edge_node.demo import report as reporting
from edge_node.demo.datasets import BUNDLED, Dataset, load_csv, split
from edge_node.demo.experiment import Outcome, run_experiment, write_sites
from edge_node.demo.federation import LocalFederation
from edge_node.errors import ConfigurationError, MachineError

__all__ = ["demonstrate"]

_TIMING = TimingSpec(heartbeat=0.3, liveness=5.0, settle=1.0, step=120.0)


def demonstrate(
    *,
    dataset: str,
    file: Path | None,
    target: str | None,
    site_column: str | None,
    task: str | None,
    ignore: tuple[str, ...],
    nodes: int,
    how: str | None,
    landmarks: int,
    report: Path,
    keep: bool,
    as_json: bool,
) -> None:
    """Run the demonstration; the arguments are the command's options.

    Raises:
        ConfigurationError: options that don't go together.
        DataError: the CSV file can't be used.
        MachineError: a process failed, or the report folder can't be written.
    """
    data = _dataset(dataset, file, target, site_column, task, ignore=ignore)
    how = how or ("by-column" if data.site_column else "clustered")
    sites = split(data, how, nodes)
    spec = FederationSpec(
        name=data.name,
        data=data.data,
        model=ModelSpec(landmarks=landmarks),
        timing=_TIMING,
        minimum_nodes=len(sites),
    )
    check_spec(spec, where="the demonstration's spec")
    _make_folder(report)
    with _working_directory(keep) as directory:
        files = write_sites(sites, directory)
        with LocalFederation(directory / "federation", spec, files, threads=1) as federation:
            with _progress() as progress:
                outcome = run_experiment(federation, sites, progress)
            topology = federation.topology()
            facts = reporting.summary(outcome, data, sites, topology, how)
            reporting.write_report(
                report, facts, outcome, data=data.data, sites=sites, topology=topology
            )
            if as_json:
                console.emit(facts, as_json=True, text="")
            else:
                _show(outcome, data, sites, facts, report)
            if keep:
                _leave_running(federation)


def _dataset(
    name: str,
    file: Path | None,
    target: str | None,
    site_column: str | None,
    task: str | None,
    *,
    ignore: tuple[str, ...],
) -> Dataset:
    if file is None:
        if target or site_column or task or ignore:
            raise ConfigurationError(
                "--target, --site-column, --task and --ignore go with --csv",
                remedy="Give --csv FILE as well",
            )
        return BUNDLED[name]()
    if target is None:
        raise ConfigurationError(
            "--csv needs --target", expected="--target COLUMN", remedy="Name the column to predict"
        )
    known_task = Task(task) if task else None
    return load_csv(file, target, site_column=site_column, task=known_task, ignore=ignore)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "report.json").touch()
    except OSError as error:
        raise MachineError(
            "the report folder can't be written",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Choose another folder with --report",
        ) from error


@contextmanager
def _working_directory(keep: bool) -> Iterator[Path]:
    """A folder for the federation; it goes with the demonstration, unless that is kept."""
    directory = Path(tempfile.mkdtemp(prefix="tangent-mesh-"))
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _progress() -> Iterator[Any]:
    """A progress bar on standard error; silent where that is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda message, share: bar.update(task, description=message, completed=share)


def _show(
    outcome: Outcome, data: Dataset, sites: list[Any], facts: dict[str, Any], folder: Path
) -> None:
    for note in data.notes:
        console.explain(f"Note: {note}")
    console.show(reporting.node_table(outcome, sites))
    console.show(reporting.comparison_table(outcome))
    console.show(reporting.example_table(outcome, data.data, sites))
    console.show(
        f"{facts['sums']} sums in {facts['traversals']} traversals of the tree took "
        f"{facts['wall_seconds']:.1f} s, enrolment included; "
        f"{facts['bytes_per_edge'] / 1e6:.2f} MB over each tree edge.\n"
        f"Largest difference from pooled: mean {outcome.mean_difference:.1e}, "
        f"sd {outcome.sd_difference:.1e} (standardised).\n"
        f"Report: {folder}/report.json, predictions.csv, predictions.png, network.png"
    )


def _leave_running(federation: LocalFederation) -> None:
    """Say how to ask the federation, and wait for Ctrl-C."""
    node = next(iter(federation.files))
    home = federation.node_directory(node)
    console.explain(
        f"\nThe federation goes on. Ask it, for example:\n"
        f"  edge-node status --dir {home}\n"
        f"  edge-node predict --dir {home} --csv FILE\n"
        f"  aggregator status --dir {federation.directory / 'aggregator'}\n"
        f"Ctrl-C ends it; everything is in {federation.directory}"
    )
    signal.pause()
