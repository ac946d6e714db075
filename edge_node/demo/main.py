"""``edge-node demo``: choose data, run the experiment, show and write the report."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from edge_node import console
from edge_node.config import FederationSpec, ModelSpec, TimingSpec, check_spec
from edge_node.demo.data.choices import Choices, choose_data
from edge_node.demo.data.datasets import Dataset
from edge_node.demo.data.schema import schema_of, schema_table
from edge_node.demo.data.sites import Site, split, write_sites
from edge_node.demo.ending import EndingSignals, working_directory
from edge_node.demo.federation import LocalFederation
from edge_node.demo.folder import make_folder
from edge_node.errors import ConfigurationError, TangentMeshError

if TYPE_CHECKING:
    from edge_node.demo.experiment import Outcome

__all__ = ["demonstrate"]

_NAME = "demonstration"  # a file's name may be too long, or end in a space
# the first run waits for all nodes, so that nothing has to settle
_TIMING = TimingSpec(heartbeat=0.3, liveness=5.0, settle=0.2, step=120.0)
_TELL_SECONDS = 10.0  # how often progress is told where no bar can be drawn


def demonstrate(
    choices: Choices,
    *,
    nodes: int,
    how: str | None,
    landmarks: int | None,
    most_told: float,
    report: Path,
    keep: bool,
    as_json: bool,
) -> None:
    """Run the demonstration; the arguments are the command's options.

    Raises:
        ConfigurationError: options that don't go together.
        DataError: the CSV file can't be used.
        RefusedError: the nodes refuse to learn from these rows.
        NetworkError: the federation has no posterior in time.
        MachineError: a process failed, or the report folder can't be written.
    """
    data = choose_data(choices)
    if not as_json:
        _introduce(data)
    how = how or ("by-column" if data.site_column else "clustered")
    sites = split(data, how, nodes)
    spec = _spec(data, len(sites), ModelSpec(landmarks=landmarks or "auto"), most_told)
    make_folder(report, "report.json")
    with EndingSignals() as signals, working_directory(keep=keep) as directory:
        files = write_sites(sites, directory)
        federation = LocalFederation(directory / "federation", spec, files, threads=1)
        with federation, signals.heeded(), _logs_saved(federation, report):
            with _progress(silent=as_json) as progress:
                outcome = _run(federation, sites, progress, signals)
            from edge_node.demo import report as reporting

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


def _run(
    federation: LocalFederation,
    sites: list[Site],
    progress: Callable[[str, float], None],
    signals: EndingSignals,
) -> "Outcome":
    """Start the processes and make the experiment with them, whose mathematics loads meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        starting = pool.submit(federation.start, lambda said, share: progress(said, 0.3 * share))
        from edge_node.demo.experiment import run_experiment  # a second of import time
        from edge_node.inference.numerics.streaming import blas_threads

        signals.raise_received()
        starting.result()
    with blas_threads(None, sum(site.train.num_rows for site in sites)):
        return run_experiment(federation, sites, progress, started=started)


def _spec(data: Dataset, nodes: int, model: ModelSpec, most_told: float) -> FederationSpec:
    """What the nodes will agree on. Raises ConfigurationError."""
    spec = FederationSpec(
        name=_NAME,
        data=data.data,
        model=model,
        timing=_TIMING,
        minimum_nodes=nodes,
        most_told=most_told,
    )
    try:
        check_spec(spec, where=data.where or data.name)
    except ConfigurationError as error:
        error.remedy = "Correct the file, or leave a column out with `--ignore COLUMN`"
        raise
    return spec


def _introduce(data: Dataset) -> None:
    """Show what was read before anything starts."""
    console.show(schema_table(schema_of(data)))
    for note in data.notes:
        console.explain(f"Note: {note}.")


@contextmanager
def _logs_saved(federation: LocalFederation, report: Path) -> Iterator[None]:
    """Keep the processes' logs, which hold no rows, where the demonstration fails."""
    try:
        yield
    except TangentMeshError as error:
        folder = report / "logs"
        folder.mkdir(exist_ok=True)
        for log in federation.directory.glob("*.log"):
            shutil.copy(log, folder)
        error.where = error.where.replace(str(federation.directory), str(folder))
        raise


@contextmanager
def _progress(*, silent: bool) -> Iterator[Any]:
    """Progress on standard error: a bar at a terminal, elsewhere a line now and then."""
    if silent or not sys.stderr.isatty():
        yield (lambda *_: None) if silent else _Lines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda message, share: bar.update(task, description=message, completed=share)


class _Lines:
    """Progress as lines of text, at most one in ten seconds."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def __call__(self, message: str, _: float) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            console.explain(message)


def _show(
    outcome: "Outcome", data: Dataset, sites: list[Site], facts: dict[str, Any], folder: Path
) -> None:
    from edge_node.demo import report as reporting

    for warning in facts["warnings"]:
        console.show(f"Warning: {warning}.\n")
    console.show(reporting.node_table(outcome, sites))
    console.show(reporting.comparison_table(outcome))
    console.show(reporting.example_table(outcome, data.data, sites))
    console.show(
        f"{reporting.cost(facts)}\n"
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
