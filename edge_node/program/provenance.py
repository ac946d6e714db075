"""Where a model comes from: the steps of its run, and the choices taken in them."""

from datetime import UTC, datetime

from edge_node.config import FederationSpec
from edge_node.inference.evaluation.explained import Explained
from edge_node.model.provenance import Provenance
from edge_node.network.base import Network
from edge_node.program.features.candidates import Candidate
from edge_node.security.disclosure.bill import Bill
from edge_node.step import Content, Step

__all__ = ["provenance_of"]

_LEARNT_NOTHING = (
    "the model explains no more than a constant would: it has learnt nothing from the inputs"
)


def provenance_of(
    network: Network,
    spec: FederationSpec,
    candidate: Candidate,
    *,
    run: int,
    learnt_in: Step,
    rows: int,
    landmarks: int,
    log_evidence: float,
    uncovered_share: float,
    explained: Explained | None = None,
    bill: Bill | None = None,
) -> Provenance:
    """The provenance of a model whose run ``network`` has just completed.

    Args:
        network: the network that took the run's steps; a step without nodes was given up.
        spec: what the federation agreed on.
        candidate: the kernel and the landmarks that were chosen.
        run: the number of the run.
        learnt_in: the step whose total the posterior is made of.
        rows: how many rows the federation has.
        landmarks: how many of the candidate's landmarks are independent.
        log_evidence: the posterior's, nats.
        uncovered_share: the share of the prior variance that the landmarks don't cover.
        explained: how much the model explains; None: it can't be told.
        bill: what the run has told; None: nobody hid anything, or noise protects it.
    """
    completed = {step: nodes for step, nodes in network.steps.items() if nodes}
    return Provenance(
        federation=spec.name,
        spec_hash=spec.digest().hex(),
        run=run,
        cohorts={str(step): nodes for step, nodes in completed.items()},
        learnt_in=str(learnt_in),
        rows=rows,
        sums=sum(step.is_sum and step.content is not Content.NOTHING for step in completed),
        traversals=len(network.steps),
        kernel=str(candidate.kernel),
        landmark_kind=candidate.landmark_kind,
        landmarks=landmarks,
        log_evidence=log_evidence,
        uncovered_share=uncovered_share,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        privacy=spec.privacy,
        bill=bill,
        explained=None if explained is None else explained.share,
        warnings=(_LEARNT_NOTHING,) if explained is not None and explained.nothing else (),
        model=spec.model,
    )
