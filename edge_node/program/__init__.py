"""The federation program: what every node runs, and what one machine would run with all the rows.

It reads as mathematics. The only thing that happens between nodes is ``await network.sum`` and
``decide``; everything else is a pure function of a node's own rows or of totals that all share.
docs/design.md lists the steps, docs/model.md derives what they compute.
"""

from datetime import UTC, datetime

import numpy as np

from edge_node.config import FederationSpec, SitePolicy, Task
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, Source
from edge_node.inference.classification.classes import LabelRows, class_offsets
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.model import Model, Provenance
from edge_node.network.base import Network
from edge_node.program.candidates import Fit
from edge_node.program.classification import agree_classifier
from edge_node.program.encoding import agree_encoding
from edge_node.program.landmarks import agree_landmarks
from edge_node.program.metric import learn_features
from edge_node.program.private import infer_privately
from edge_node.program.recounting import RecountingNetwork
from edge_node.program.regression import agree_posteriors
from edge_node.step import Step

__all__ = ["infer"]


async def infer(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    policy: SitePolicy | None = None,
    run: int = 0,
) -> Model:
    """Run the program at one node; with ``[privacy]`` in the spec, `infer_privately`.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        public: public landmarks, as rows, where the spec has any: the same at every node.
        policy: what this node's site demands, here of the federation's rows; None: nothing.
        run: the number of this run, for the model's provenance.

    Returns:
        The model: the same at every node, and, to rounding, the same as with all rows in one place.

    Raises:
        ConfigurationError: the spec has public landmarks, and none are given.
        DataError: this node's rows don't fit the schema.
        CohortRefusedError: the federation has too few rows, of a class or for this site.
        NumericalError: the model can't be computed from the federation's totals.
        NetworkError: a step could not be completed.
    """
    if spec.privacy is not None:
        return await infer_privately(network, source, spec, public=public, run=run)
    demands = {
        "`minimum_rows` of the federation's spec": spec.minimum_rows,
        "`policy.minimum_rows` of this site": policy.minimum_rows if policy else 0,
    }
    census, encoder, covariance = await agree_encoding(
        network, source, spec.data, pixels=spec.model.image is not None, minimum_rows=demands
    )
    rows = EncodedRows(source, encoder)
    landmarks = await agree_landmarks(census, rows, covariance, spec, public)
    posterior: Posterior | ClassPosterior
    refinement: Refinement | None = None
    if spec.data.task is Task.CLASSIFICATION:
        offsets = class_offsets(np.array(encoder.class_counts), spec.data.classes)
        labels = LabelRows(rows, offsets)
        fit = await learn_features(census, labels, encoder.rows, landmarks, spec.model)
        posterior, learnt_in = await agree_classifier(
            census, rows, fit, offsets, most_steps=spec.model.newton_steps
        )
    else:
        fit = await learn_features(census, rows, encoder.rows, landmarks, spec.model)
        posterior, refinement, learnt_in = await agree_posteriors(census, rows, fit, spec.model)
    provenance = _provenance(
        census,
        fit,
        spec,
        run=run,
        rows=encoder.rows,
        learnt_in=learnt_in,
        log_evidence=posterior.log_evidence,
    )
    return Model(spec.data, encoder, posterior, provenance, refinement)


def _provenance(
    census: RecountingNetwork,
    fit: Fit,
    spec: FederationSpec,
    *,
    run: int,
    rows: int,
    learnt_in: Step,
    log_evidence: float,
) -> Provenance:
    """Where the model comes from; ``census`` has taken its steps."""
    completed = [step for step, nodes in census.steps.items() if nodes]
    return Provenance(
        federation=spec.name,
        spec_hash=spec.digest().hex(),
        run=run,
        cohorts={str(step): census.steps[step] for step in completed},
        learnt_in=str(census.attempt(learnt_in)),
        rows=rows,
        sums=sum(step.is_sum for step in completed),
        traversals=len(census.steps),
        kernel=str(fit.candidate.kernel),
        landmark_kind=fit.candidate.landmark_kind,
        landmarks=len(fit.features.landmarks),
        log_evidence=log_evidence,
        uncovered_share=fit.statistics.uncovered_share,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
