"""The parts of a model that are agreed on before its posterior: encoding, covariance, landmarks.

They may depend on how rows are split over sites, because a site gives no sum over a few of its
rows. The posterior, given its parts, doesn't. So whoever compares a federation with one machine
that holds all rows gives both the same parts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from edge_node.arrays import Matrix
from edge_node.config import FederationSpec, Floors, LandmarkKind
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch, Source
from edge_node.data.sums.census import Census
from edge_node.network.base import Network
from edge_node.program.encoding import SPREAD, Check, agree_encoding
from edge_node.program.features.candidates import Candidate, Fit
from edge_node.program.features.moves import Moved
from edge_node.program.features.places import choose_first_bases, starting_landmarks
from edge_node.program.features.screening import Screened, agree_kept
from edge_node.program.plan.allowances import sums_products
from edge_node.program.plan.planning import schedule_for
from edge_node.program.plan.schedule import Schedule
from edge_node.program.recounting import RecountingNetwork
from edge_node.security.disclosure.allowance import Allowance

__all__ = ["Parts", "agree_parts"]


@dataclass(frozen=True)
class Parts:
    """What a federation agrees on before it learns a posterior.

    Attributes:
        encoder: which numbers a row becomes.
        covariance: (d, d), of the encoded inputs.
        landmarks: Z (m, d), by where they come from: as rows are encoded, but centroids (k-means)
            where the metric puts them. If there are none yet, they are agreed on under the metric.
        kept: the inputs that a metric may start from, ascending; none: it starts from all.
        bases: what the root chose with them: which of them are independent (`metric`). Empty: it
            hasn't chosen.
        moved: where the bound's gradient has moved them, and the metric; None: it hasn't.
    """

    encoder: Encoder
    covariance: Matrix
    landmarks: Mapping[LandmarkKind, Matrix]
    kept: tuple[int, ...] = ()
    bases: bytes = b""
    moved: Moved | None = None

    def schedule(self, spec: FederationSpec, allowance: Allowance) -> Schedule:
        """The plan of a run with these parts. Raises CohortRefusedError."""
        return schedule_for(
            spec,
            allowance,
            rows=self.encoder.rows,
            inputs=len(self.covariance),
            starts=2 if self.kept else 1,
        )

    def with_centroids(self, candidate: Candidate) -> "Parts":
        """The same parts, and the landmarks of a candidate where they are centroids, or are where
        centroids would begin: then no site gave rows to any.
        """
        if candidate.landmark_kind is LandmarkKind.PUBLIC:
            return self
        landmarks = {**self.landmarks, LandmarkKind.KMEANS: candidate.landmarks}
        return replace(self, landmarks=landmarks, bases=b"")

    def with_moved(self, fit: Fit, candidate: Candidate) -> "Parts":
        """The same parts, and where a candidate's landmarks and metric have been moved."""
        return replace(self, moved=Moved(candidate.landmarks, candidate.metric, fit.evidence.noise))

    def of_rows(self, census: Census) -> "Parts":
        """The same parts, for rows of which there are as many as a census says."""
        encoder = msgspec.structs.replace(
            self.encoder, rows=census.rows, class_counts=census.classes
        )
        return replace(self, encoder=encoder, bases=b"")


async def agree_parts(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    floors: Floors,
    check: Check = lambda _: None,
    allowance: Callable[[], Allowance] = Allowance.unlimited,
) -> tuple[RecountingNetwork, Parts]:
    """The parts that all nodes share; arguments and errors as for `edge_node.program.infer`.

    With the last total the root says which landmarks of the first comparison are independent.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        public: public landmarks, as rows, where the spec has any.
        floors: the fewest rows that the node gives to a sum over a group.
        check: as for `agree_encoding`.
        allowance: what the rows may tell; asked when they were counted.

    Returns:
        The network to use from here on, which counts again whenever a node is lost; and the parts.
    """

    def parts_of(encoder: Encoder, covariance: Matrix) -> Parts:
        landmarks = starting_landmarks(network.node, encoder, covariance, spec, public)
        return Parts(encoder, covariance, landmarks)

    def choose(parts: Parts) -> bytes:
        schedule = parts.schedule(spec, allowance())
        return choose_first_bases(parts.landmarks, parts.kept, spec, schedule)

    def choose_unless_screened(parts: Parts) -> bytes:
        looked_at = parts.schedule(spec, allowance()).screening
        return b"" if looked_at else choose(parts)

    recounting, agreed = await agree_encoding(
        network,
        source,
        spec.data,
        fewest=floors.category,
        pixels=spec.model.image is not None,
        products=lambda: sums_products(spec.data, allowance()),
        check=check,
        choose=lambda *agreed: choose_unless_screened(parts_of(*agreed)),
    )
    parts = network.once(lambda: parts_of(agreed.encoder, agreed.covariance))
    screening = parts.schedule(spec, allowance()).screening
    rows = Screened(source, spec.data, agreed, floors.category)
    if screening is None or not rows.looked_at:
        return recounting, replace(parts, bases=recounting.decision(SPREAD))
    kept, bases = await agree_kept(
        recounting, rows, screening, lambda kept: choose(replace(parts, kept=kept))
    )
    return recounting, replace(parts, kept=kept, bases=bases)
