"""The demonstration's experiment: one federation, against pooled data and each site alone."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv

from edge_node import console
from edge_node.config import DataSpec, FederationSpec, Which
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import batch_from_rows, open_source
from edge_node.demo.data.sites import Site
from edge_node.demo.evaluation import averaged, evaluate, table_rows
from edge_node.demo.federation import LocalFederation
from edge_node.demo.refusals import Refusals
from edge_node.errors import CohortRefusedError, DataError, NumericalError, TangentMeshError
from edge_node.model.model import Model
from edge_node.network.epoch.keys import masked_cohort
from edge_node.network.exchange.records import RecordStore
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.serving import client
from edge_node.serving.status import NodeStatus

__all__ = ["Outcome", "run_experiment"]

Progress = Callable[[str, float], None]
"""Called with what is being done and how much of the whole is done, 0 to 1."""

Row = dict[str, Any]
Figures = dict[str, float]

_DEADLINE = 600.0  # seconds for the federation to reach its posterior


@dataclass(frozen=True)
class Outcome:
    """What the experiment found; each mapping is by node where it doesn't say otherwise."""

    model: Model  # the federation's, as its first node holds it
    statuses: Mapping[str, NodeStatus]
    wall_seconds: float  # from the first process's start to the last node's posterior
    predictions: Mapping[str, list[Row]]  # of the node's own held-out rows
    local: Mapping[str, Figures]  # federated, on the node's own held-out rows
    local_alone: Mapping[str, Figures]  # alone, on its own held-out rows; without sites that can't
    metrics: Mapping[str, Figures]  # "federated", "pooled", "alone", "refined": all held-out rows
    mean_difference: float  # from pooled: largest over nodes and rows, latent, standardised units
    sd_difference: float
    secure_sum: bool  # whether every node holds its whole cohort's masking keys


def run_experiment(
    federation: LocalFederation, sites: Sequence[Site], progress: Progress, *, started: float
) -> Outcome:
    """Wait for the federation's posterior, learn both references in this process, and compare.

    Args:
        federation: its processes have been started; it is left running.
        sites: with their held-out rows, by name in the order of the federation's files.
        progress: is told how far it is.
        started: when the first process was (monotonic seconds).
    """
    data = federation.spec.data
    statuses = _wait(federation, progress)
    wall_seconds = time.monotonic() - started
    progress("Asking each node about its held-out rows", 0.75)
    predictions = {site.name: _ask(federation, site, Which.AUTO) for site in sites}
    shared = {site.name: _ask(federation, site, Which.GLOBAL) for site in sites}
    everything = pa.concat_tables([site.test for site in sites])
    alone = {}
    with _without_warnings():
        progress("Learning from pooled rows on one machine, for comparison", 0.8)
        pooled = _learn_pooled(federation)
        for site in sites:
            progress(f"Learning from {site.name}'s rows alone, for comparison", 0.9)
            if (answers := _learn_alone(federation, site)) is not None:
                alone[site.name] = answers
    models = [Model.load(_paths(federation, site).model) for site in sites]
    mean_difference, sd_difference = _differences(models, pooled, everything)
    return Outcome(
        model=models[0],
        statuses=statuses,
        wall_seconds=wall_seconds,
        predictions=predictions,
        local={s.name: evaluate(predictions[s.name], s.test, data) for s in sites},
        local_alone={
            s.name: evaluate(alone[s.name](s.test), s.test, data) for s in sites if s.name in alone
        },
        metrics={
            "federated": evaluate(_all(shared), everything, data),
            "pooled": evaluate(_predict(pooled, everything), everything, data),
            "alone": averaged(
                [evaluate(each(everything), everything, data) for each in alone.values()]
            ),
            "refined": evaluate(_all(predictions), everything, data),
        },
        mean_difference=mean_difference,
        sd_difference=sd_difference,
        secure_sum=all(_masked(federation, site, statuses[site.name]) for site in sites),
    )


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Log no warnings: those of a model for comparison read as if they were the federation's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _wait(federation: LocalFederation, progress: Progress) -> dict[str, NodeStatus]:
    """Wait for every node's posterior, and say what the federation does meanwhile.

    Raises:
        RefusedError: nodes refuse, and go on doing so.
        NetworkError: the posterior is not there in time.
    """
    refusals, started = Refusals(tuple(federation.files)), time.monotonic()
    for statuses in federation.follow(deadline=_DEADLINE):
        if federation.agree(statuses):
            return statuses
        refusals.check(statuses, time.monotonic())
        if not any(status.steps_completed for status in statuses.values()):
            started = time.monotonic()
        progress(*_how_far(list(statuses.values()), time.monotonic() - started))
    raise AssertionError("follow ends by raising")  # pragma: no cover


def _how_far(statuses: Sequence[NodeStatus], seconds: float) -> tuple[str, float]:
    """What the federation does, ``seconds`` after its first step, and which share is done."""
    at_work = [status for status in statuses if status.phase == "running"]
    if not at_work:
        return "Federating: waiting for all nodes", 0.3
    first = max(at_work, key=lambda status: status.steps_completed)
    done, planned = first.steps_completed, first.steps_planned
    share = done / max(planned, done + 1)
    said = console.how_far(seconds, done, planned)
    return f"Federating: {first.step or 'computing'} ({said})", 0.3 + 0.45 * share


def _masked(federation: LocalFederation, site: Site, status: NodeStatus) -> bool:
    """Whether the node's sums were masked with everybody's keys, by what it has on its disk."""
    records = RecordStore(_paths(federation, site).state).run(status.run)
    masked = masked_cohort(records, status.run, status.epoch)
    return len(masked) > 1 and set(masked) == set(status.cohort)


def _ask(federation: LocalFederation, site: Site, which: Which) -> list[Row]:
    """What the site's own node answers, over its local endpoint. An error names the site."""
    rows = table_rows(site.test, federation.spec.data)
    try:
        return client.predict(federation.node_directory(site.name), rows, posterior=which)
    except TangentMeshError as error:
        error.where = ", ".join(filter(None, [f"site {site.name}", error.where]))
        raise


def _all(predictions: Mapping[str, list[Row]]) -> list[Row]:
    return [row for rows in predictions.values() for row in rows]


def _predict(model: Model, table: pa.Table) -> list[Row]:
    """From the posterior of all rows it has seen."""
    batch = batch_from_rows(table_rows(table, model.data), model.data)
    return model.predict(batch, which=Which.GLOBAL).rows()


def _learn_pooled(federation: LocalFederation) -> Model:
    """What one machine with all rows learns, given the parts on which the nodes agree."""
    data = federation.spec.data
    sources = {name: open_source(file, data, site=name) for name, file in federation.files.items()}
    return simulate_pooled(federation.spec, sources)


def _learn(spec: FederationSpec, node: str, file: Path) -> Model:
    """What one node learns from its own rows."""
    return simulate(spec, {node: open_source(file, spec.data, site=node)})[node]


def _learn_alone(federation: LocalFederation, site: Site) -> Callable[[pa.Table], list[Row]] | None:
    """How the site answers from its own rows; None: it can't, as where they are too few, its target
    is constant, or no event was seen there.

    A site that has seen a single class, or constant inputs, answers with class shares. The minimum
    numbers of rows protect rows from others, so none applies to a site that learns alone.
    """
    data = federation.spec.data
    spec = msgspec.structs.replace(federation.spec, minimum_rows=0)
    if data.event and not any(site.train[data.event].to_pylist()):
        return None
    try:
        model = _learn(spec, site.name, federation.files[site.name])
    except (CohortRefusedError, DataError, NumericalError):
        if not data.task.has_classes:
            return None
        shares = _class_shares(site.train, data)
        return lambda table: [shares] * table.num_rows
    return lambda table: _predict(model, table)


def _class_shares(table: pa.Table, data: DataSpec) -> Row:
    """Laplace's rule of succession: one imaginary row a class."""
    labels = table[data.target].to_pylist()
    counts = {name: labels.count(name) + 1 for name in data.classes}
    shares = {name: count / sum(counts.values()) for name, count in counts.items()}
    return {"label": max(shares, key=shares.__getitem__), "probabilities": shares}


def _differences(models: Sequence[Model], pooled: Model, table: pa.Table) -> tuple[float, float]:
    batch = batch_from_rows(table_rows(table, pooled.data), pooled.data)
    mean, sd = pooled.latent(batch)
    answers = [model.latent(batch) for model in models]
    return (
        max(float(np.abs(theirs - mean).max()) for theirs, _ in answers),
        max(float(np.abs(theirs - sd).max()) for _, theirs in answers),
    )


def _paths(federation: LocalFederation, site: Site) -> NodePaths:
    return NodePaths(federation.node_directory(site.name))
