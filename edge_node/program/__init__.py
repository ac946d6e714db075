"""The federation program: what every node runs, and what one machine would run with all the rows.

It reads as mathematics. All that happens between nodes is ``network.sum``, and what the root
chooses from a total; everything else is a pure function of a node's own rows or of totals that all
share. docs/design.md lists the steps, docs/model.md derives what they compute.

Read `infer` here, then what it calls in the order of a run: `plan` (what may be told), `parts`
(with `encoding`), `features` (inputs, kernel, metric, landmarks), `posteriors` (one for each task).
`private` is the program of a spec with differential privacy. `recounting` keeps sums over counted
nodes, `together` puts several into one sweep, `root_decisions` reads the root's choices,
`provenance` says where a model comes from. `simulation` runs a whole federation in this process.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge_node.config import FederationSpec, Floors, Likelihood, SitePolicy, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.rare_classes import ClassRows, without_rare_classes
from edge_node.data.sources.source import Batch, Source
from edge_node.data.sums.census import Census
from edge_node.inference.classification.classes import class_offsets
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.evaluation.explained import (
    Explained,
    explained_classes,
    explained_variance,
)
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.regression.calibration import HeldOutScores
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.model.own import OwnPosterior
from edge_node.network.base import Network
from edge_node.program.encoding import agree_census
from edge_node.program.features.candidates import Candidate, agree_fits
from edge_node.program.features.landmarks import NOTHING
from edge_node.program.features.places import Agreed, agree_candidate, targets_of
from edge_node.program.features.precisions import agree_precisions
from edge_node.program.parts import Parts, agree_parts
from edge_node.program.plan.allowances import allowance_of, check_events, check_minimum
from edge_node.program.plan.metered import MeteredNetwork
from edge_node.program.posteriors.calibration import agree_calibration, calibrate_site
from edge_node.program.posteriors.class_refinement import refined_classes
from edge_node.program.posteriors.classification import agree_classifier
from edge_node.program.posteriors.likelihoods import agree_latent, likelihoods_of
from edge_node.program.posteriors.regression import agree_posterior, refined
from edge_node.program.provenance import provenance_of
from edge_node.program.recounting import RecountingNetwork
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Step

__all__ = ["infer"]

_log = logging.getLogger(__name__)


async def infer(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    policy: SitePolicy | None = None,
    allowance: Allowance | None = None,
    floors: Floors | None = None,
    parts: Parts | None = None,
    partitioned: Callable[[], bool] = lambda: False,
    run: int = 0,
    foresees: Callable[[int], None] = lambda _: None,
) -> Model:
    """Run the program at one node; with ``[privacy]`` in the spec, `infer_privately`.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        public: public landmarks, as rows, where the spec has any: the same at every node.
        policy: this site's; its `minimum_rows` is demanded of the federation. None: no demand.
        allowance: what the rows may tell, for a reference that answers as a certain federation
            would. None: as the sites' sizes say; without sizes, any number.
        floors: the fewest rows that the site gives to a sum over a group. None: those of spec and
            policy; `Floors.none()` is for one process that holds all rows.
        parts: the model's parts, the same at every node. None: they are agreed on.
        partitioned: whether these rows were divided into k-means cells in another run; asked when
            the run's first sum is complete. A second division would give away rows that change
            cells, so they are given to none.
        run: the number of this run, for the model's provenance.
        foresees: is told how many steps the run will take in all, as soon as that is planned. It
            may end earlier: evidence says when to stop.

    Returns:
        The model: the same at every node, and, to rounding, the same as with all rows in one place
        and the same parts.

    Raises:
        ConfigurationError: the spec has public landmarks, and none are given.
        DataError: this node's rows don't fit the schema.
        CohortRefusedError: the federation has too few rows, of a class or for this site.
        NumericalError: the model can't be computed from the federation's totals.
        NetworkError: a step could not be completed.
    """
    if spec.privacy is not None:
        from edge_node.program.private import infer_privately  # loads SciPy's special functions

        return await infer_privately(network, source, spec, public=public, run=run)
    floors = floors or Floors.of(spec, policy)
    source = without_rare_classes(source, spec.data, floors.category)
    if isinstance(source, ClassRows):
        _log.warning(
            "%s: rows of rare classes take part in no sum: %s", network.node, source.left_out
        )
    metered = MeteredNetwork(network)
    demands = {
        "`minimum_rows` of the federation's spec": spec.minimum_rows,
        "`policy.minimum_rows` of this site": policy.minimum_rows if policy else 0,
    }

    def check(census: Census) -> None:
        check_minimum(census.rows, demands)
        check_events(census)
        metered.allowance = allowance or allowance_of(network, census, spec)

    if parts is None:
        recounting, parts = await agree_parts(
            metered,
            source,
            spec,
            public=public,
            floors=floors,
            check=check,
            allowance=lambda: metered.allowance,
        )
    else:
        fewest = floors.category
        recounting = await agree_census(metered, source, spec.data, fewest=fewest, check=check)
        parts = parts.of_rows(Census.read(recounting.total, spec.data))
    schedule = parts.schedule(spec, metered.allowance)
    foresees(len(network.steps) + len(schedule.compared_sums) + len(schedule.full_sums))
    rows = EncodedRows(source, parts.encoder)
    agreed = await agree_candidate(
        recounting,
        rows,
        parts.landmarks,
        spec,
        schedule,
        fewest=NOTHING if partitioned() else floors.landmark,
        alike=floors.landmark,
        kept=parts.kept,
        bases=parts.bases,
        moved=parts.moved,
        fitted=metered.fitted,
    )
    if spec.data.task.takes_steps:
        learnt = await _step_by_step(recounting, rows, agreed, spec, metered)
    else:
        learnt = await _regression(recounting, rows, agreed, spec, metered, floors=floors)
    provenance = provenance_of(
        recounting,
        spec,
        learnt.candidate,
        run=run,
        learnt_in=recounting.attempt(learnt.step),
        rows=parts.encoder.rows,
        landmarks=len(learnt.posterior.features.landmarks),
        log_evidence=learnt.posterior.log_evidence,
        uncovered_share=learnt.uncovered_share,
        explained=learnt.explained,
        bill=metered.receipt(spec.coalition),
    )
    for warning in provenance.warnings:
        _log.warning("%s: %s", network.node, warning)
    return Model(
        spec.data,
        parts.encoder,
        learnt.posterior,
        provenance,
        learnt.refinement,
        learnt.prefers_site,
    )


@dataclass(frozen=True)
class _Learnt:
    """What a task's part of the program gives.

    Attributes:
        candidate: the kernel and the landmarks that were chosen.
        posterior: the one that all nodes share.
        step: the step whose total the posterior is made of.
        uncovered_share: the share of the prior variance that the landmarks don't cover.
        explained: how much it explains; None: a node was lost, and it can't be told.
        refinement: this site's own.
        prefers_site: whether the refinement predicts this site's rows better than the posterior.
    """

    candidate: Candidate
    posterior: Posterior | ClassPosterior | LatentPosterior
    step: Step
    uncovered_share: float
    explained: Explained | None
    refinement: OwnPosterior | None = None
    prefers_site: bool = False


async def _step_by_step(
    network: RecountingNetwork,
    rows: EncodedRows,
    agreed: Agreed,
    spec: FederationSpec,
    metered: MeteredNetwork,
) -> _Learnt:
    """A regression under agreed features, then quasi-Newton steps from what may still be told."""
    targets = targets_of(rows, spec)
    _, candidate, features, schedule = agreed
    (fit,) = await agree_fits(network, Step("posterior"), targets, [candidate], [features])
    steps, numbers = schedule.steps, min(schedule.step_numbers, metered.left)
    sums, share = fit.statistics, fit.statistics.uncovered_share
    if spec.data.task is not Task.CLASSIFICATION:
        tried = likelihoods_of(spec, rows.encoder)
        latent, step = await agree_latent(
            network, rows, fit, tried, most_steps=steps, most_numbers=numbers
        )
        found = fit.evidence.log_evidence  # of the regression that the steps began with
        explained = explained_variance(found, sums.count, sums, candidate.metric_price)
        return _Learnt(candidate, latent, step, share, explained)
    offsets = class_offsets(np.array(rows.encoder.class_counts))
    posterior, step = await agree_classifier(
        network, rows, fit, offsets, most_steps=steps, most_numbers=numbers
    )
    found, price = posterior.log_evidence, candidate.metric_price
    if step == fit.step:
        explained = explained_variance(found, sums.count, sums, price)
    else:
        explained = explained_classes(found, sums.count, offsets, price)
    lost = network.steps[network.attempt(step)] != network.steps[network.attempt(fit.step)]
    own = refined_classes(rows, posterior, spec.model, timed=bool(spec.data.time))
    return _Learnt(candidate, posterior, step, share, None if lost else explained, *own)


async def _regression(
    network: RecountingNetwork,
    rows: EncodedRows,
    agreed: Agreed,
    spec: FederationSpec,
    metered: MeteredNetwork,
    *,
    floors: Floors,
) -> _Learnt:
    """Under agreed features the global posterior and this site's refinement of it."""
    fit, candidate, features, schedule = agreed
    precisions = None
    if fit.raw_power is not None:
        again = Step("residuals/posterior"), rows, fit, Likelihood.STUDENT_T
        precisions = await agree_precisions(network, *again)
    posterior, total, share, step = await agree_posterior(
        network, rows, features, fit, precisions, messages=schedule.messages
    )
    calibrated, timed = posterior, bool(spec.data.time)
    if schedule.calibrated and metered.left >= HeldOutScores.NUMBERS:
        scored = max(floors.category, Floors.of(spec).category)  # as sites, also of pooled rows
        calibrated = await agree_calibration(
            network, rows.sites, posterior, total, timed=timed, fewest=scored
        )
    found, count = posterior.log_evidence, total.count
    if precisions is not None:  # of cleaned targets, as the statistics are
        found, count = fit.evidence.log_evidence, fit.statistics.count
    explained = explained_variance(found, count, fit.statistics, candidate.metric_price)
    learnt = _Learnt(candidate, calibrated, step, share, explained)
    refinement = refined(rows, posterior, total, spec.model)
    if refinement is None:
        return learnt
    own, better = calibrate_site(
        refinement,
        rows,
        posterior,
        total,
        shared=calibrated.calibration,
        model=spec.model,
        timed=timed,
    )
    return replace(learnt, refinement=own, prefers_site=better)
