"""Where a model comes from: its run, and the estimator that it was learnt by."""

from collections.abc import Mapping

import msgspec

from edge_node.config import LandmarkKind, ModelSpec, PrivacySpec
from edge_node.security.disclosure.bill import Bill

__all__ = ["Notes", "Provenance"]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sums a model was made of, and which choices were taken on the way.

    ``traversals`` says how often the program traversed the tree, up and down: once for each sum,
    for each gather, and for each sum that was given up because a node was lost. The start of an
    epoch (claims, catch-up, keys) and the comparison of transcripts at the end of a run
    don't count: they belong to the tree, not to the program.
    """

    federation: str
    spec_hash: str  # hexadecimal
    run: int
    cohorts: Mapping[str, tuple[str, ...]]  # by step: whose contributions its total holds
    learnt_in: str  # the step whose total the posterior is made of
    rows: int
    sums: int  # totals that were formed
    traversals: int
    kernel: str  # in a few words
    landmark_kind: LandmarkKind
    landmarks: int
    log_evidence: float
    uncovered_share: float  # mean(k** - phi'phi) / mean k**: what the landmarks don't see
    created: str  # ISO 8601, UTC
    privacy: PrivacySpec | None = None  # what the run's one sum with noise promises
    bill: Bill | None = None  # None: no site hid rows from another, or noise protects them
    model: ModelSpec | None = None  # what was asked for
    explained: float | None = None  # share of the target's variance, or of the classes' entropy
    warnings: tuple[str, ...] = ()  # for whoever reads predictions

    @property
    def cohort(self) -> tuple[str, ...]:
        """The nodes whose rows the posterior was learnt from."""
        return self.cohorts[self.learnt_in]


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What a scikit-learn estimator was given, and a schema can't say.

    Attributes:
        labels: NumPy's type of the classes; empty: text.
        named: whether the columns had names.
    """

    labels: str = ""
    named: bool = True
