"""What a whole run costs, by step: bytes over an edge, processor time, wall time and memory.

A federation of real processes over mutual TLS on loopback addresses, as the demonstration starts
it: an aggregator, and nodes with one thread each. Everything is read from the nodes' own logs, in
which each traversal of the tree leaves a line. Bytes are those that gRPC is given, with framing and
repetitions; processor time is user and system time of all nodes' processes.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Row
from edge_node.config import FederationSpec, ModelSpec, Task, TimingSpec, Which
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import batch_from_rows
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import Dataset, breast_cancer
from edge_node.demo.data.sites import Site, split, write_sites
from edge_node.demo.evaluation import evaluate, table_rows
from edge_node.demo.federation import LocalFederation
from edge_node.demo.refusals import Refusals
from edge_node.model.model import Model

__all__ = ["PROBLEMS", "Problem", "measure_run", "steps_of"]

_DEADLINE = 3600.0
_TIMING = TimingSpec(heartbeat=0.5, liveness=60.0, settle=1.0, step=1800.0)

LogLine = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """Whose rows are learnt from: how they are read and spread over nodes."""

    read: Callable[[Path], Dataset]
    nodes: int
    how: str = "clustered"
    test_share: float = 0.25


def _regression(name: str) -> Problem:
    """A set of the UCI collection on 16 nodes, a tenth of the rows held out."""

    def read(folder: Path) -> Dataset:
        path = folder / "uci_regression" / f"{name}.csv.gz"
        raw = load_csv(path, "fold", task=Task.REGRESSION)
        target = raw.table.column_names[-2]  # fold is the last
        return load_csv(path, target, task=Task.REGRESSION, ignore=("fold",))

    return Problem(read, nodes=16, test_share=0.1)


def _hospitals(folder: Path) -> Dataset:
    """Four hospitals' heart disease, with each one's own missing values."""
    return load_csv(
        folder / "heart_disease_four_hospitals.csv.gz",
        "heart_disease",
        site_column="site",
        task=Task.CLASSIFICATION,
        ignore=("diagnosis_num",),
    )


PROBLEMS: dict[str, Problem] = {
    "breast-cancer": Problem(lambda _: breast_cancer(), nodes=5),
    "hospitals": Problem(_hospitals, nodes=4, how="by-column"),
    **{name: _regression(name) for name in ("pol", "protein", "kin40k")},
}


def measure_run(name: str, data: Path, model: ModelSpec, *, most_told: float | None = None) -> Row:
    """One run of a federation.

    Args:
        name: among ``PROBLEMS``.
        data: the folder of data sets.
        model: the spec's.
        most_told: the spec's; None: the default.

    Returns:
        Totals of the run, figures of its posterior on all sites' held-out rows, and ``steps``, one
        row for each traversal of the tree in order; see `steps_of`.

    Raises:
        RefusedError: the nodes refuse, as where rows are too few for what is asked of them.
    """
    problem = PROBLEMS[name]
    dataset = problem.read(data)
    sites = split(dataset, problem.how, problem.nodes, test_share=problem.test_share)
    spec = FederationSpec(
        name="run",
        data=dataset.data,
        model=model,
        timing=_TIMING,
        minimum_nodes=len(sites),
    )
    if most_told is not None:
        spec = msgspec.structs.replace(spec, most_told=most_told)
    with tempfile.TemporaryDirectory() as folder:
        files = write_sites(sites, Path(folder))
        with LocalFederation(Path(folder) / "f", spec, files, threads=1) as federation:
            return {"set": name, "most_told": spec.most_told, **_run(federation, sites)}


def _run(federation: LocalFederation, sites: Sequence[Site]) -> Row:
    began = time.monotonic()
    federation.start()
    refusals = Refusals(tuple(federation.files))
    for statuses in federation.follow(deadline=_DEADLINE):
        if federation.agree(statuses):
            break
        refusals.check(statuses, time.monotonic())
    seconds = time.monotonic() - began
    used = [cpu_seconds(federation.processes[site.name].pid) for site in sites]
    parents = federation.topology().parents
    root = next(node for node, parent in parents.items() if not parent)
    logs = {node: _log(federation.log(node)) for node in parents}
    steps = steps_of(logs, root)
    model = Model.load(NodePaths(federation.node_directory(root)).model)
    return {
        "nodes": len(sites),
        "rows": sum(site.train.num_rows for site in sites),
        "inputs": len(federation.spec.data.columns),
        "landmarks": model.provenance.landmarks,
        **_scores(model, sites),
        "sums": sum(step["kind"] == "sum" for step in steps),
        "traversals": len(steps),
        "up_megabytes": sum(step["up_bytes"] for step in steps) / 1e6,
        "down_megabytes": sum(step["down_bytes"] for step in steps) / 1e6,
        "processor_seconds": sum(used),
        "peak_megabytes": max(step["peak_megabytes"] for step in steps),
        "seconds": seconds,
        "run_seconds": sum(step["seconds"] for step in steps),
        "steps": steps,
    }


def steps_of(logs: Mapping[str, Sequence[LogLine]], root: str) -> list[Row]:
    """What each traversal of the tree cost.

    Args:
        logs: each node's lines, in order.
        root: the tree's.

    Returns:
        For each traversal, in the root's order: its name and kind; ``up_bytes`` and ``down_bytes``,
        the mean over the tree's edges; ``seconds`` since the traversal before it, at the root (the
        first: since the run began); ``processor_seconds`` of all nodes since the traversal before
        it (the first: since the processes began, imports and all); ``peak_megabytes``, the largest
        that a node has taken so far.
    """
    traversals = {node: [each for each in lines if "kind" in each] for node, lines in logs.items()}
    (run,) = [line for line in logs[root] if line["message"] == "a run begins"]
    rows = []
    for before, line in pairwise([run, *traversals[root]]):
        name = (line["epoch"], line["kind"], line["step"])
        found = [_pair(lines, name) for lines in traversals.values()]
        edges = max(1, len(found) - 1)  # a root's line counts no bytes
        row = {
            "step": line["step"],
            "kind": line["kind"],
            "up_bytes": sum(now["sent"] for _, now in found) / edges,
            "down_bytes": sum(now["received"] for _, now in found) / edges,
            "seconds": _time(line) - _time(before),
            "processor_seconds": sum(
                now["processor_seconds"] - last.get("processor_seconds", 0.0) for last, now in found
            ),
            "peak_megabytes": max(now["peak_bytes"] for _, now in found) / 1e6,
        }
        rows.append(row)
    return rows


def _pair(lines: Sequence[LogLine], name: tuple[int, str, str]) -> tuple[LogLine, LogLine]:
    """A node's line of a traversal, after the one before it."""
    empty: LogLine = {}
    return next(
        (before, line)
        for before, line in pairwise([empty, *lines])
        if (line["epoch"], line["kind"], line["step"]) == name
    )


def _log(file: Path) -> list[LogLine]:
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == "a run begins" or "kind" in line]


def _time(line: LogLine) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def _scores(model: Model, sites: Sequence[Site]) -> Row:
    """How good the posterior that all nodes share is on all held-out rows."""
    table = pa.concat_tables([site.test for site in sites])
    batch = batch_from_rows(table_rows(table, model.data), model.data)
    scores = evaluate(model.predict(batch, which=Which.GLOBAL).rows(), table, model.data)
    if model.data.task is Task.CLASSIFICATION:
        return dict(scores)
    target = pa.concat_tables([site.train for site in sites])[model.data.target].to_numpy()
    unit = float(np.std(target))
    return {**scores, "rmse": scores["rmse"] / unit, "nll": scores["nll"] - float(np.log(unit))}
