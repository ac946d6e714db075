"""What is configured: a federation spec that all nodes share, and a node file that its site owns.

Both are TOML, read into frozen values. Unknown keys are refused: a misspelt setting must never
be a silent default. The spec's hash is taken over its canonical form, so that comments and key
order don't matter and every value does; it is bound into each plan and each message.
"""

import enum
import hashlib
import math
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_node.budget import message_bytes, most_landmarks
from edge_node.errors import ConfigurationError

__all__ = [
    "Activation",
    "Column",
    "ColumnKind",
    "DataSpec",
    "FederationSpec",
    "KernelKind",
    "LandmarkKind",
    "ModelSpec",
    "NodeConfig",
    "Task",
    "TimingSpec",
    "Which",
    "check_spec",
    "load_node_config",
    "load_spec",
    "parse_spec",
]


class Task(enum.StrEnum):
    """What is predicted."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"


class ColumnKind(enum.StrEnum):
    """How a column is encoded: standardised, or one-hot over the federated category list. A site
    column is a categorical one that each node fills with its name, unless its rows have it.
    """

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    SITE = "site"


class KernelKind(enum.StrEnum):
    """Which kernel: an infinitely wide network's, trained (NTK) or at random (NNGP); a classical
    one of the distance; a trained convolutional network's, for images.
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
    """Which posterior answers: all sites' one, refined with this site's rows, or the better."""

    AUTO = "auto"
    GLOBAL = "global"
    SITE = "site"


class LandmarkKind(enum.StrEnum):
    """Where landmarks come from; none of them is anybody's row. ``auto``: every kind there is."""

    GAUSSIAN = "gaussian"
    KMEANS = "kmeans"
    PUBLIC = "public"
    AUTO = "auto"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table: frozen, and closed to unknown keys."""


class Column(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input column. ``categories`` fixes a categorical column's list; empty means: find it
    by federated counts, keeping categories with at least ``min_rows_per_category`` rows.
    """

    name: str
    kind: ColumnKind = ColumnKind.NUMERIC
    categories: tuple[str, ...] = ()


class DataSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The schema that every node's file must fit. ``classes`` are the target's labels, in order.

    At most one column is of ``kind = "site"``.
    """

    task: Task
    target: str
    columns: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    min_rows_per_category: int = 5

    @property
    def site_column(self) -> str | None:
        """The name of the column that nodes fill with their names, if there is one."""
        return next((each.name for each in self.columns if each.kind is ColumnKind.SITE), None)


class ModelSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A grid of kernels (networks: kernels x activations x depths x biases; others: kernels x
    lengthscales) and of landmark kinds, from which the evidence chooses, together with noise and
    amplitude. ``weight_variance`` and ``bias_variance`` default to criticality (ReLU: 2, 0).
    With ``image`` the columns, in their order, are pixels: row by row, channels side by side.
    ``public`` landmarks are the rows of a file that all nodes have, known by its SHA-256.

    Then a metric on the inputs is learnt, and for regression each site refines the posterior with
    its own rows (docs/model.md).
    """

    kernels: tuple[KernelKind, ...] = (KernelKind.NTK,)
    activations: tuple[Activation, ...] = (Activation.RELU,)
    depths: tuple[int, ...] = (1, 2)
    biases: tuple[float, ...] = (1.0, 2.0)  # beta, the constant input coordinate
    lengthscales: tuple[float, ...] = (1.0,)  # of matern32 and rbf, in units of sqrt(inputs)
    image: tuple[int, int, int] | None = None  # height, width, channels: columns are pixels
    weight_variance: float | None = None
    bias_variance: float | None = None
    landmarks: int = 300  # at most
    landmark_bytes: int | None = None  # at most, of a candidate's largest message: see budget.py
    landmark_kinds: tuple[LandmarkKind, ...] = (LandmarkKind.AUTO,)
    public_landmarks_sha256: str = ""  # of the file's bytes, in hexadecimal digits
    min_rows_per_landmark: int = 5
    kmeans_iterations: int = 3
    metric_sweeps: int = 3  # at most; 0 keeps the inputs as they are
    metric_shrinkages: tuple[float, ...] = (0.0, 0.5)  # towards the identity: 0 is the gradients'
    cross_validation_rows: int = 2000  # with fewer rows held-out scores choose the metric
    newton_steps: int = 12  # at most; classification stops earlier. 0: one sweep is all
    site_refinement: bool = True  # regression: sites' own rows on top of what all share
    site_block_rows: int = 2000  # rows whose dependence a site keeps, per block
    site_rows: int = 8000  # rows that a site keeps in blocks; it holds them beside the model
    seed: int = 0

    @property
    def tried_landmark_kinds(self) -> tuple[LandmarkKind, ...]:
        """The kinds that the evidence chooses from: for ``auto``, public ones if there are any."""
        if LandmarkKind.AUTO not in self.landmark_kinds:
            return self.landmark_kinds
        public = (LandmarkKind.PUBLIC,) if self.public_landmarks_sha256 else ()
        return (LandmarkKind.GAUSSIAN, LandmarkKind.KMEANS, *public)


class TimingSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds. Short values find a dead node sooner; long ones forgive a slow network."""

    heartbeat: float = 2.0  # how often a node tells the aggregator that it lives
    liveness: float = 15.0  # silence after which a node is left out of the next epoch
    settle: float = 3.0  # quiet time after a join before the plan is drawn
    step: float = 600.0  # the longest one step (a sum over the tree) may take


class FederationSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all nodes of a federation agree on."""

    name: str
    data: DataSpec
    model: ModelSpec = ModelSpec()
    timing: TimingSpec = TimingSpec()
    minimum_nodes: int = 3  # the first run starts when this many have registered

    @property
    def outputs(self) -> int:
        """How many functions are learnt: one, or one fewer than there are classes."""
        return max(1, len(self.data.classes) - 1)

    @property
    def landmark_count(self) -> int:
        """How many landmarks each candidate begins with: as many as both limits allow."""
        model = self.model
        if model.landmark_bytes is None:
            return model.landmarks
        return min(model.landmarks, most_landmarks(model.landmark_bytes, self.outputs))

    def digest(self) -> bytes:
        """SHA-256 of the canonical form (32 bytes)."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).digest()


class NodeConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node file (``node.toml``), owned by the site. Paths are relative to its directory."""

    name: str
    data: str  # CSV or Parquet file with this site's rows
    listen: str = "0.0.0.0:7710"  # empty: accepts no inbound connection, becomes a leaf
    advertise: str = ""  # host:port that peers dial; empty with an empty `listen`
    public_landmarks: str = ""  # the file that the spec's `public_landmarks_sha256` is of
    ignore: tuple[str, ...] = ()  # columns of the file that the federation does not use
    threads: int = 0  # 0: all cores


Config = TypeVar("Config", FederationSpec, NodeConfig)


def parse_spec(text: str, *, where: str = "federation spec") -> FederationSpec:
    """Parse and check a federation spec.

    Raises:
        ConfigurationError: not TOML, an unknown or missing key, a value of the wrong type or range.
    """
    spec = _parse(text, FederationSpec, where)
    check_spec(spec, where=where)
    return spec


def check_spec(spec: FederationSpec, *, where: str) -> None:
    """Check what types can't say. Raises ConfigurationError."""
    for complaint in _complaints(spec):
        raise ConfigurationError(complaint, where=where, remedy="Correct the spec")


def load_spec(path: Path) -> FederationSpec:
    """Read a federation spec from a TOML file. Raises ConfigurationError."""
    return parse_spec(_read(path), where=str(path))


def load_node_config(path: Path) -> NodeConfig:
    """Read a node file (TOML). Raises ConfigurationError."""
    return _parse(_read(path), NodeConfig, str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "the file can't be read", where=str(path), found=str(error), remedy="Check the path"
        ) from error


def _parse(text: str, kind: type[Config], where: str) -> Config:
    try:
        table: dict[str, Any] = tomllib.loads(text)
        return msgspec.convert(table, kind)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("not valid TOML", where=where, found=str(error)) from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            str(error), where=where, remedy="Compare with the examples in deploy/"
        ) from error


def _complaints(spec: FederationSpec) -> list[str]:
    """What a type can't say: ranges, duplicates, references between keys."""
    model, timing = spec.model, spec.timing
    checks = {
        **_data_complaints(spec.data),
        **_grid_complaints(model),
        **_landmark_complaints(spec),
        "`model.newton_steps` must not be negative": model.newton_steps < 0,
        **_metric_complaints(model),
        **_image_complaints(spec.data, model),
        "`model.site_block_rows` must be at least 1": model.site_block_rows < 1,
        "`model.site_rows` must not be negative": model.site_rows < 0,
        "`model.weight_variance` must be positive": (
            model.weight_variance is not None and not 0 < model.weight_variance < float("inf")
        ),
        "`model.bias_variance` must not be negative": (
            model.bias_variance is not None and not 0 <= model.bias_variance < float("inf")
        ),
        "`timing` values must be positive": not all(
            0 < seconds < float("inf") for seconds in msgspec.structs.astuple(timing)
        ),
        "`timing.liveness` must exceed `timing.heartbeat`": timing.liveness <= timing.heartbeat,
        "`minimum_nodes` must be at least 1": spec.minimum_nodes < 1,
    }
    return [complaint for complaint, wrong in checks.items() if wrong]


def _data_complaints(data: DataSpec) -> dict[str, bool]:
    """Columns and classes; labels are compared as text without surrounding space."""
    names = [column.name for column in data.columns]
    sites = [column.name for column in data.columns if column.kind is ColumnKind.SITE]
    labelled = {"data.classes": data.classes} | {
        f"data.columns: {column.name}.categories": column.categories for column in data.columns
    }
    return {
        "`data.columns` is empty: name at least one input": not names,
        "`data.columns` needs an input beside the site's": bool(names) and names == sites,
        '`data.columns` has more than one of `kind = "site"`': len(sites) > 1,
        "`data.columns` names a column twice": len(set(names)) != len(names),
        f"target {data.target!r} is also an input column": data.target in names,
        "classification needs at least two distinct `data.classes`": (
            data.task is Task.CLASSIFICATION and len(set(data.classes)) < 2
        ),
        "`data.classes` is for classification only": (
            data.task is Task.REGRESSION and bool(data.classes)
        ),
        '`categories` are for columns of `kind = "categorical"` and "site" only': any(
            column.categories and column.kind is ColumnKind.NUMERIC for column in data.columns
        ),
        "`data.min_rows_per_category` must be at least 1": data.min_rows_per_category < 1,
        **{
            f"`{where}` names a label twice": len(set(labels)) != len(labels)
            for where, labels in labelled.items()
        },
        **{
            f"`{where}` has a label that is empty or begins or ends with space: no cell is it": any(
                label != label.strip() or not label for label in labels
            )
            for where, labels in labelled.items()
        },
    }


def _grid_complaints(model: ModelSpec) -> dict[str, bool]:
    """Each axis of the grid has a value, and none twice: a candidate costs a sweep its share."""
    axes = {
        "kernels": model.kernels,
        "activations": model.activations,
        "depths": model.depths,
        "biases": model.biases,
        "lengthscales": model.lengthscales,
        "landmark_kinds": model.landmark_kinds,
    }
    return {
        **{f"`model.{name}` is empty": not values for name, values in axes.items()},
        **{
            f"`model.{name}` names a value twice": len(set(values)) != len(values)
            for name, values in axes.items()
        },
        "`model.depths` must be positive integers": min(model.depths, default=1) < 1,
        "`model.biases` must be finite": not all(map(math.isfinite, model.biases)),
        "`model.lengthscales` must be positive": not all(
            0 < length < math.inf for length in model.lengthscales
        ),
    }


def _landmark_complaints(spec: FederationSpec) -> dict[str, bool]:
    model, fewest = spec.model, message_bytes(2, spec.outputs)
    digest, tried = model.public_landmarks_sha256, model.tried_landmark_kinds
    return {
        "`model.landmarks` must be at least 2": model.landmarks < 2,
        f"`model.landmark_bytes` must be at least {fewest}, for 2 landmarks": (
            model.landmark_bytes is not None and model.landmark_bytes < fewest
        ),
        "`model.landmark_kinds`: auto is every kind there is, and stands alone": (
            LandmarkKind.AUTO in model.landmark_kinds and len(model.landmark_kinds) > 1
        ),
        "`model.public_landmarks_sha256` must be 64 digits 0-9, a-f: `sha256sum FILE`": (
            bool(digest) and not re.fullmatch("[0-9a-f]{64}", digest)
        ),
        "`public` landmarks need `model.public_landmarks_sha256`: `sha256sum FILE`": (
            LandmarkKind.PUBLIC in tried and not digest
        ),
        "`model.public_landmarks_sha256` is for `public` or `auto` landmarks": (
            bool(digest) and LandmarkKind.PUBLIC not in tried
        ),
        "`model.kmeans_iterations` must be at least 1": model.kmeans_iterations < 1,
    }


def _metric_complaints(model: ModelSpec) -> dict[str, bool]:
    shrinkages = model.metric_shrinkages
    return {
        "`model.metric_sweeps` must not be negative": model.metric_sweeps < 0,
        "`model.metric_shrinkages` must be distinct numbers from 0 up to, but not, 1": (
            not shrinkages
            or len(set(shrinkages)) != len(shrinkages)
            or not all(0 <= value < 1 for value in shrinkages)
        ),
        "`model.cross_validation_rows` must not be negative": model.cross_validation_rows < 0,
    }


def _image_complaints(data: DataSpec, model: ModelSpec) -> dict[str, bool]:
    kinds = {column.kind for column in data.columns}
    return {
        "`conv-ntk` needs `model.image`, for example [8, 8, 1]": (
            KernelKind.CONV_NTK in model.kernels and model.image is None
        ),
        "`model.image` must be height, width and channels, and each column one pixel's number": (
            model.image is not None
            and (
                min(model.image) < 1
                or math.prod(model.image) != len(data.columns)
                or kinds != {ColumnKind.NUMERIC}
            )
        ),
    }
