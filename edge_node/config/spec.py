"""What all nodes of a federation agree on: schema, model, timing, privacy."""

import enum
import hashlib
from typing import Literal

import msgspec

from edge_node.config.privacy import PrivacySpec
from edge_node.config.table import Table

__all__ = [
    "LARGEST_COHORT",
    "SAFE_MOST_TOLD",
    "SMALLEST_COHORT",
    "SMALLEST_GROUP",
    "Activation",
    "Column",
    "ColumnKind",
    "DataSpec",
    "Distribution",
    "FederationSpec",
    "KernelKind",
    "LandmarkKind",
    "Likelihood",
    "ModelSpec",
    "SiteRefinement",
    "Task",
    "TimingSpec",
    "Which",
]


SMALLEST_COHORT = 3
"""Fewest nodes that a sum may ever hold: in a sum of two, each could subtract its own part."""


SMALLEST_GROUP = 3
"""Fewest of its own rows that a site ever gives to a sum over a group of rows."""


SAFE_MOST_TOLD = 0.5
"""The most numbers per cell of others' rows that no attack that we know has solved for rows."""


LARGEST_COHORT = 2**14
"""Most nodes that a sum can hold: with more, its fixed-point words could overflow their ring."""


_LANDMARKS = 500
"""Most landmarks for ``auto``: a posterior of more is costly to learn and to ask."""


_PRIVATE_LANDMARKS = 300
"""The same where each number of a sum gets noise."""


class Task(enum.StrEnum):
    """What is predicted: a number, a label, how often, a label in an order, or the time until."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    COUNT = "count"
    ORDINAL = "ordinal"
    SURVIVAL = "survival"

    @property
    def has_classes(self) -> bool:
        """Whether the target is one of some labels; otherwise it is a number."""
        return self in (Task.CLASSIFICATION, Task.ORDINAL)

    @property
    def takes_steps(self) -> bool:
        """Whether the posterior is found step by step (`program.posteriors.classification`)."""
        return self is not Task.REGRESSION


class Distribution(enum.StrEnum):
    """Of times to an event; ``auto``: the one with the higher evidence."""

    AUTO = "auto"
    LOGNORMAL = "lognormal"
    WEIBULL = "weibull"


class ColumnKind(enum.StrEnum):
    """How a column is encoded: standardised, or one-hot over the federated category list.

    A site column is categorical. Each node fills it with its own name, unless its file has it.
    """

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    SITE = "site"


class KernelKind(enum.StrEnum):
    """Which kernel.

    An infinitely wide network's, trained (NTK) or with random weights (NNGP); a classical function
    of the distance (Matern 3/2, RBF); a trained convolutional network's, for images (CONV_NTK).
    """

    NTK = "ntk"
    NNGP = "nngp"
    MATERN32 = "matern32"
    RBF = "rbf"
    CONV_NTK = "conv-ntk"


class Activation(enum.StrEnum):
    """The network's nonlinearity."""

    RELU = "relu"
    ERF = "erf"
    GELU = "gelu"


class Which(enum.StrEnum):
    """Which posterior answers: the shared one, the site's refined one, or that which it prefers."""

    AUTO = "auto"
    GLOBAL = "global"
    SITE = "site"


class LandmarkKind(enum.StrEnum):
    """Where landmarks come from; none is anybody's row. ``auto``: any, k-means if rows are many."""

    GAUSSIAN = "gaussian"
    KMEANS = "kmeans"
    PUBLIC = "public"
    AUTO = "auto"


class SiteRefinement(enum.StrEnum):
    """How a site refines the shared posterior with its own rows.

    In blocks of rows that lie close together, or by a graph of all rows. ``auto``: blocks where one
    holds the whole site; else what the evidence prefers for a regression, and a graph for classes.
    """

    NONE = "none"
    BLOCKS = "blocks"
    GRAPH = "graph"
    AUTO = "auto"


class Likelihood(enum.StrEnum):
    """How a regression's targets lie around the function; ``auto``: residuals choose.

    Student's t has four degrees of freedom: what a target far from the others says, fades.
    """

    AUTO = "auto"
    GAUSSIAN = "gaussian"
    STUDENT_T = "student-t"


class Column(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input column.

    ``categories`` fixes a categorical column's list. Where it is empty, the list is found by sums;
    it has the categories of which some site has ``min_rows_per_category`` rows.

    ``bounds`` and ``missing`` are for a spec with ``[privacy]``, which finds nothing out by sums.
    A number beyond the bounds counts as the nearer bound. A column whose cells may be ``missing``
    has an input for that; in other columns an empty cell counts as the middle of the bounds, or as
    no category.
    """

    name: str
    kind: ColumnKind = ColumnKind.NUMERIC
    categories: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None
    missing: bool = False


class DataSpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The schema that every node's file must fit. ``classes`` are the target's labels, in order.

    The target of ``survival`` is a time, and ``event`` is the column that says whether it ended
    with the event (1), or the row was lost from sight before it (0).

    ``min_rows_per_category`` is the fewest of its own rows that a site gives to a sum over a group:
    rows of a category or of a class, rows without a value, values of a column. At most one column
    has ``kind = "site"``. ``time`` names a column of numbers, dates or times, an input or not, if
    what will be asked is later than all that is known: intervals are then those of later rows.
    """

    task: Task
    target: str
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    time: str = ""
    min_rows_per_category: int = 5
    event: str = ""  # survival: the column that is 1 where the event was seen, 0 where it wasn't

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The columns that say what is to be predicted: the target, and survival's event."""
        return (self.target, self.event) if self.task is Task.SURVIVAL else (self.target,)

    @property
    def site_column(self) -> str | None:
        """The name of the column that nodes fill with their names, if there is one."""
        return next((each.name for each in self.columns if each.kind is ColumnKind.SITE), None)


class ModelSpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is learnt; docs/model.md derives it.

    The evidence chooses from a grid of kernels and landmark kinds, together with noise and
    amplitude. Networks: kernels x activations x depths x biases; others: kernels x lengthscales.
    ``weight_variance`` and ``bias_variance`` are critical unless given (ReLU: 2 and 0). With
    ``image`` the columns, in their order, are pixels: row by row, channels side by side. ``public``
    landmarks are the rows of a file that all nodes have, known by its SHA-256.

    Then a metric on the inputs is learnt. For regression, each site refines the posterior with its
    own rows.
    """

    kernels: tuple[KernelKind, ...] = (KernelKind.NTK, KernelKind.NNGP)
    activations: tuple[Activation, ...] = (Activation.RELU,)
    depths: tuple[int, ...] = (1,)
    biases: tuple[float, ...] = (1.0, 2.0)  # beta, the constant input coordinate
    lengthscales: tuple[float, ...] = (1.0,)  # of matern32 and rbf, in units of sqrt(inputs)
    image: tuple[int, int, int] | None = None  # height, width, channels: columns are pixels
    weight_variance: float | None = None
    bias_variance: float | None = None
    likelihood: Likelihood = Likelihood.AUTO  # regression
    landmarks: int | Literal["auto"] = "auto"  # at most; auto: as many as the rows allow
    landmark_kinds: tuple[LandmarkKind, ...] = (LandmarkKind.AUTO,)
    public_landmarks_sha256: str = ""  # of the file's bytes, in hexadecimal digits
    min_rows_per_landmark: int = 5
    kmeans_iterations: int = 1  # each uses rows of its own, twice as many as the one before
    metric_repetitions: int = 3  # at most; 0 keeps the inputs as they are
    move_landmarks: int = 0  # sums of the bound's gradient that move landmarks and metric, at most
    newton_steps: int = 12  # at most; stops when converged. 0: label regression only
    distribution: Distribution = Distribution.AUTO  # survival: of the times
    site_refinement: SiteRefinement = SiteRefinement.AUTO  # regression and classes: with own rows
    site_neighbours: int = 60  # rows that a row is joined to in a site's graph
    site_block_rows: int = 2000  # rows of a block, within which a site models how rows depend
    site_rows: int = 8000  # rows that a site keeps in all blocks, on disk; 0: none, nor a graph
    seed: int = 0

    @property
    def tried_landmark_kinds(self) -> tuple[LandmarkKind, ...]:
        """The kinds that the evidence chooses from: for ``auto``, public ones if there are any."""
        if LandmarkKind.AUTO not in self.landmark_kinds:
            return self.landmark_kinds
        public = (LandmarkKind.PUBLIC,) if self.public_landmarks_sha256 else ()
        return (LandmarkKind.GAUSSIAN, LandmarkKind.KMEANS, *public)


class TimingSpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds. Short values find a dead node sooner; long ones forgive a slow network."""

    heartbeat: float = 2.0  # how often a node tells the aggregator that it lives
    liveness: float = 15.0  # silence after which a node is left out of the next epoch
    settle: float = 3.0  # quiet time after a join before the plan is drawn
    step: float = 600.0  # the longest one step (a sum over the tree) may take


class FederationSpec(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole spec. Its hash, ``digest()``, is bound into every plan."""

    name: str
    data: DataSpec
    model: ModelSpec = ModelSpec()
    timing: TimingSpec = TimingSpec()
    privacy: PrivacySpec | None = None
    minimum_nodes: int = SMALLEST_COHORT  # the first run starts when this many have registered
    minimum_rows: int = 20  # of the federation: a total over fewer rows says much about each
    most_told: float = SAFE_MOST_TOLD  # numbers per cell of others' rows, in the rows' life
    coalition: int = 1  # so many members might pool what they know, the largest ones

    @property
    def outputs(self) -> int:
        """How many functions are learnt: one, or one fewer than there are classes in no order."""
        return len(self.data.classes) - 1 if self.data.task is Task.CLASSIFICATION else 1

    @property
    def parameters(self) -> int:
        """How many numbers the likelihood learns besides: dispersion or scale, or thresholds."""
        if self.data.task is Task.ORDINAL:
            return len(self.data.classes) - 1
        return 2 if self.data.task in (Task.COUNT, Task.SURVIVAL) else 0

    @property
    def landmark_count(self) -> int:
        """The most landmarks; how many there are depends on the rows."""
        if self.model.landmarks == "auto":
            return _LANDMARKS if self.privacy is None else _PRIVATE_LANDMARKS
        return self.model.landmarks

    def digest(self) -> bytes:
        """SHA-256 of the canonical form (32 bytes)."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()
