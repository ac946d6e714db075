"""What the daemons' program answers for a case's test rows.

    shared   the posterior that all sites share
    site     that of the site that is asked, which chooses between its own and the shared one
    alone    each site with its own rows only

``shared-raised`` and ``site-raised`` are the same with a ceiling that is no bound.

Federated runs tell what daemons would tell: sites sign their sizes, and plan by what they count.
``alone`` is one process for each site, and tells nobody anything. A site that can't learn alone
answers with the mean and the deviation of its own rows, or their shares of the classes by the rule
of succession.
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from benchmarks.accuracy.answers import Answers, Intervals, Probabilities
from benchmarks.accuracy.cases import Case
from benchmarks.datasets import take
from benchmarks.figures import Row
from edge_node.arrays import Matrix
from edge_node.config import FederationSpec, SiteRefinement, Task, Which
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import TangentMeshError
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from edge_node.program.simulation import simulate

__all__ = ["OURS", "RAISED", "answer", "answers_by", "learn", "learn_alone"]

RAISED = 1000.0  # numbers per cell: more than any run tells

OURS: Mapping[str, tuple[str, ...]] = {
    "federated": ("shared", "site"),
    "raised": ("shared-raised", "site-raised"),
    "alone": ("alone",),
}
"""The ways, by the run that they are the answers of."""


def answer(run: str, case: Case) -> tuple[dict[str, Answers], Row]:
    """The answers of a run by their way, and facts of its model. Raises TangentMeshError."""
    if run == "alone":
        return _alone(case)
    spec = case.spec
    if run == "raised":
        spec = msgspec.structs.replace(spec, most_told=RAISED)
    models = learn(spec, case.parts)
    first = next(iter(models.values()))
    facts = {
        "sites": len(models),
        "sums": first.provenance.sums,
        "kernel": first.provenance.kernel,
        "landmarks": first.provenance.landmarks,
    }
    return answers_by(case, models, OURS[run]), facts


def answers_by(
    case: Case, models: Mapping[str, Model], ways: tuple[str, ...] = ("shared", "site")
) -> dict[str, Answers]:
    """The shared posterior's answers, and those of the sites where each test row has one."""
    shared, site = ways
    first = next(iter(models.values()))
    answers = {shared: _predicted(case, first, case.test, Which.GLOBAL)}
    if set(case.test_owners) <= set(models):
        answers[site] = _by_owner(case, models)
    return answers


def learn(spec: FederationSpec, parts: Mapping[str, Batch]) -> dict[str, Model]:
    """Run the program with one node for each part; returns each node's model.

    Raises TangentMeshError: among others, where the nodes' own rule lets them tell too little.
    """
    return simulate(spec, {name: MemorySource((part,)) for name, part in parts.items()})


def learn_alone(spec: FederationSpec, part: Batch) -> Model | None:
    """A site by itself; None where it can't learn, as without one of the classes."""
    try:
        return learn(spec, {"alone": part})["alone"]
    except TangentMeshError:
        return None


def _alone(case: Case) -> tuple[dict[str, Answers], Row]:
    if not set(case.test_owners) <= set(case.owners):
        return {}, {}
    model = msgspec.structs.replace(case.setting.model, site_refinement=SiteRefinement.NONE)
    spec = msgspec.structs.replace(case.spec, model=model)
    models = {owner: learn_alone(spec, part) for owner, part in case.parts.items()}
    unable = sum(model is None for model in models.values())
    return {"alone": _by_owner(case, models)}, {"sites": len(models), "unable": unable}


def _by_owner(case: Case, models: Mapping[str, Model | None]) -> Answers:
    """Each test row answered by the site in whose region it lies."""
    owners = np.unique(case.test_owners)
    rows = [np.flatnonzero(case.test_owners == owner) for owner in owners]
    parts = [
        _predicted(case, model, take(case.test, own), Which.AUTO)
        if (model := models[owner]) is not None
        else _without_model(case, case.parts[owner], len(own))
        for owner, own in zip(owners, rows, strict=True)
    ]
    order = np.argsort(np.concatenate(rows))
    if isinstance(parts[0], Intervals):
        columns = zip(*((p.mean, p.sd, p.half_width) for p in parts), strict=True)  # type: ignore[union-attr]
        return Intervals(*(np.concatenate(each)[order] for each in columns))
    return Probabilities(np.concatenate([p.of_class for p in parts])[order])  # type: ignore[union-attr]


def _predicted(case: Case, model: Model, batch: Batch, which: Which) -> Answers:
    found = model.predict(batch, which=which)
    if isinstance(found, ClassPredictions):
        known = case.problem.data.classes
        columns = [known.index(name) for name in found.classes]
        return Probabilities(_spread_out(found.probabilities, columns, len(known)))
    assert isinstance(found, IntervalPredictions)  # noqa: S101 - a regression
    return Intervals(found.mean, found.sd, found.upper - found.mean)


def _spread_out(probabilities: Matrix, columns: list[int], classes: int) -> Matrix:
    """Columns at their classes; a class that wasn't learnt has no probability."""
    all_classes = np.zeros((len(probabilities), classes))
    all_classes[:, columns] = probabilities
    return all_classes


def _without_model(case: Case, part: Batch, rows: int) -> Answers:
    y = part.target
    assert y is not None  # noqa: S101 - training rows have targets
    if case.problem.data.task is Task.CLASSIFICATION:
        counts = np.bincount(y.astype(int), minlength=len(case.problem.data.classes)) + 1.0
        return Probabilities(np.tile(counts / counts.sum(), (rows, 1)))
    everyone = case.train.target
    assert everyone is not None  # noqa: S101
    sd = float(y.std(ddof=1)) if len(y) > 1 else 0.0
    sd = sd or float(everyone.std())  # of one row, or of equal ones, nothing is known
    return Intervals(*(np.full(rows, value) for value in (float(y.mean()), sd, 1.96 * sd)))
