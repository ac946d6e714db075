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
from edge_node.program.candidates import Candidate
from edge_node.program.encoding import SPREAD, Check, agree_encoding
from edge_node.program.places import starting_landmarks
from edge_node.program.recounting import RecountingNetwork

__all__ = ["Parts", "agree_parts"]


@dataclass(frozen=True)
class Parts:
    """What a federation agrees on before it learns a posterior.

    Attributes:
        encoder: which numbers a row becomes.
        covariance: (d, d), of the encoded inputs.
        landmarks: Z (m, d), by where they come from: as rows are encoded, but centroids (k-means)
            where the metric puts them. If there are none yet, they are agreed on under the metric.
        bases: what the root chose with them: which of them are independent (`metric`). Empty: it
            hasn't chosen.
    """

    encoder: Encoder
    covariance: Matrix
    landmarks: Mapping[LandmarkKind, Matrix]
    bases: bytes = b""

    def with_centroids(self, candidate: Candidate) -> "Parts":
        """The same parts, and the landmarks of a candidate where they are centroids, or are where
        centroids would begin: then no site gave rows to any.
        """
        if candidate.landmark_kind is LandmarkKind.PUBLIC:
            return self
        landmarks = {**self.landmarks, LandmarkKind.KMEANS: candidate.landmarks}
        return Parts(self.encoder, self.covariance, landmarks)

    def of_rows(self, census: Census) -> "Parts":
        """The same parts, for rows of which there are as many as a census says."""
        encoder = msgspec.structs.replace(
            self.encoder, rows=census.rows, class_counts=census.classes
        )
        return Parts(encoder, self.covariance, self.landmarks)


async def agree_parts(
    network: Network,
    source: Source,
    spec: FederationSpec,
    *,
    public: Batch | None = None,
    floors: Floors,
    check: Check = lambda _: None,
    choose: Callable[[Parts], bytes] | None = None,
) -> tuple[RecountingNetwork, Parts]:
    """The parts that all nodes share; arguments and errors as for `edge_node.program.infer`.

    Args:
        network: the node's view of the federation.
        source: the node's own rows.
        spec: what the federation agreed on.
        public: public landmarks, as rows, where the spec has any.
        floors: the fewest rows that the node gives to a sum over a group.
        check: as for `agree_encoding`.
        choose: how the root chooses their bases. None: it doesn't yet.

    Returns:
        The network to use from here on, which counts again whenever a node is lost; and the parts.
    """

    def parts_of(encoder: Encoder, covariance: Matrix) -> Parts:
        landmarks = starting_landmarks(network.node, encoder, covariance, spec, public)
        return Parts(encoder, covariance, landmarks)

    recounting, encoder, covariance = await agree_encoding(
        network,
        source,
        spec.data,
        fewest=floors.category,
        pixels=spec.model.image is not None,
        check=check,
        choose=None if choose is None else lambda *agreed: choose(parts_of(*agreed)),
    )
    bases = b"" if choose is None else recounting.decision(SPREAD)
    parts = network.once(lambda: replace(parts_of(encoder, covariance), bases=bases))
    return recounting, parts
