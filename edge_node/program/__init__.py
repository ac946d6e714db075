"""The federation program: what every node runs, and what one machine would run with all the rows.

It reads as mathematics. The only thing that happens between nodes is ``await network.sum`` and
``decide``; everything else is a pure function of a node's own rows or of totals that all share.
docs/design.md lists the steps, docs/model.md derives what they compute.

Read `infer` here, then its chapters in the order of a run: `parts` (`encoding`, `landmarks`),
`metric` (with `candidates`), and `regression` or `classification`. `private` is the program of a
spec with differential privacy. `allowances` says what the rows may tell, `metered` counts what they
tell. `recounting` keeps sums over counted nodes, `together` puts several
into one sweep, `root_decisions` reads the root's choices, `provenance` says where a model comes
from. `simulation` runs a whole federation in this process.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_node.arrays import Matrix
from edge_node.config import FederationSpec, LandmarkKind, SitePolicy, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, Source
from edge_node.inference.classification.classes import LabelRows, class_offsets
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.model import Model
from edge_node.network.base import Network
from edge_node.program.allowances import allowance_of, check_minimum
from edge_node.program.candidates import Fit
from edge_node.program.classification import agree_classifier
from edge_node.program.encoding import agree_census
from edge_node.program.metered import MeteredNetwork
from edge_node.program.metric import learn_features
from edge_node.program.parts import Parts, agree_parts
from edge_node.program.provenance import provenance_of
from edge_node.program.recounting import RecountingNetwork
from edge_node.program.regression import agree_posteriors
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Step

__all__ = ["infer"]


async def infer(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    policy: SitePolicy | None = None,
    parts: Parts | None = None,
    allowance: Allowance | None = None,
    run: int = 0,
) -> Model:
    """Run the program at one node; with ``[privacy]`` in the spec, `infer_privately`.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        public: public landmarks, as rows, where the spec has any: the same at every node.
        policy: this site's; its `minimum_rows` is demanded of the federation. None: no demand.
        parts: the model's parts, the same at every node. None: they are agreed on.
        allowance: what the rows may tell, for a reference that answers as a certain federation
            would. None: as the sites' sizes say; without sizes, any number.
        run: the number of this run, for the model's provenance.

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
    metered = MeteredNetwork(network)
    demands = {
        "`minimum_rows` of the federation's spec": spec.minimum_rows,
        "`policy.minimum_rows` of this site": policy.minimum_rows if policy else 0,
    }

    def check(rows: int) -> None:
        check_minimum(rows, demands)
        metered.allowance = allowance or allowance_of(network, rows, spec)

    if parts is None:
        recounting, parts = await agree_parts(metered, source, spec, public=public, check=check)
    else:
        recounting = await agree_census(metered, source, spec.data, check=check)
        parts = parts.of_rows(recounting.total)
    encoder, landmarks = parts.encoder, parts.landmarks
    rows = EncodedRows(source, encoder)
    if spec.data.task is Task.CLASSIFICATION:
        learnt = await _classifier(metered, recounting, rows, landmarks, spec)
    else:
        learnt = await _regression(recounting, rows, landmarks, spec)
    provenance = provenance_of(
        recounting,
        spec,
        learnt.fit.candidate,
        run=run,
        learnt_in=recounting.attempt(learnt.step),
        rows=encoder.rows,
        landmarks=len(learnt.fit.features.landmarks),
        log_evidence=learnt.posterior.log_evidence,
        uncovered_share=learnt.fit.statistics.uncovered_share,
        bill=metered.receipt(spec.coalition),
    )
    return Model(spec.data, encoder, learnt.posterior, provenance, learnt.refinement)


@dataclass(frozen=True)
class _Learnt:
    """What a task's part of the program gives.

    Attributes:
        fit: the feature map, and what the federation's rows say in it.
        posterior: the one that all nodes share.
        step: the step whose total the posterior is made of.
        refinement: this site's own (regression).
    """

    fit: Fit
    posterior: Posterior | ClassPosterior
    step: Step
    refinement: Refinement | None = None


async def _classifier(
    metered: MeteredNetwork,
    recounting: RecountingNetwork,
    rows: EncodedRows,
    landmarks: Mapping[LandmarkKind, Matrix],
    spec: FederationSpec,
) -> _Learnt:
    """Features from label regression, then quasi-Newton steps from what may still be told."""
    encoder, model = rows.encoder, spec.model
    offsets = class_offsets(np.array(encoder.class_counts), spec.data.classes)
    fit = await learn_features(recounting, LabelRows(rows, offsets), encoder.rows, landmarks, model)
    posterior, step = await agree_classifier(
        recounting,
        rows,
        fit,
        offsets,
        most_steps=model.newton_steps,
        most_numbers=metered.left,
    )
    return _Learnt(fit, posterior, step)


async def _regression(
    recounting: RecountingNetwork,
    rows: EncodedRows,
    landmarks: Mapping[LandmarkKind, Matrix],
    spec: FederationSpec,
) -> _Learnt:
    """Features, then the global posterior and this site's refinement of it."""
    fit = await learn_features(recounting, rows, rows.encoder.rows, landmarks, spec.model)
    posterior, refinement, step = await agree_posteriors(recounting, rows, fit, spec.model)
    return _Learnt(fit, posterior, step, refinement)
