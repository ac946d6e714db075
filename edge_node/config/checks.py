"""What the types of a spec and a node file can't say: ranges, duplicates, keys that need others.

A check is a complaint and whether it applies. A complaint names the key and says what is right.
"""

import math
import re
from collections.abc import Mapping

import msgspec

from edge_node.config.names import check_node_name
from edge_node.config.node import NodeConfig
from edge_node.config.private_checks import demand_complaints, privacy_complaints
from edge_node.config.spec import (
    LARGEST_COHORT,
    SMALLEST_COHORT,
    SMALLEST_GROUP,
    ColumnKind,
    DataSpec,
    Distribution,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    Task,
)
from edge_node.errors import ConfigurationError

__all__ = ["check_node_config", "check_spec"]


def check_spec(spec: FederationSpec, *, where: str) -> None:
    """Check a spec beyond its types. Raises ConfigurationError with the first complaint."""
    for complaint in _complaints(spec):
        raise ConfigurationError(complaint, where=where, remedy="Correct the spec")


def check_node_config(config: NodeConfig, *, where: str) -> None:
    """Check a node file beyond its types. Raises ConfigurationError with the first complaint."""
    policy = config.policy
    for peer in policy.peers:
        check_node_name(peer, where=f"{where}, `policy.peers`")
    checks = {
        f"`policy.min_cohort` must be at least {SMALLEST_COHORT}, the hard floor": (
            policy.min_cohort < SMALLEST_COHORT
        ),
        "`policy.peers` and this node together are fewer than `policy.min_cohort`": (
            bool(policy.peers) and len({*policy.peers, config.name}) < policy.min_cohort
        ),
        "`policy.minimum_rows` must not be negative": policy.minimum_rows < 0,
        **_floor_complaints(
            {
                "policy.min_rows_per_category": policy.min_rows_per_category,
                "policy.min_rows_per_landmark": policy.min_rows_per_landmark,
            }
        ),
        "`policy.most_told` must be positive": not policy.most_told > 0,
        "`policy.coalition` must be at least 1": policy.coalition < 1,
        **demand_complaints(policy.privacy),
    }
    for complaint, wrong in checks.items():
        if wrong:
            raise ConfigurationError(complaint, where=where, remedy="Correct the node file")


def _complaints(spec: FederationSpec) -> list[str]:
    """All complaints that apply."""
    model, timing = spec.model, spec.timing
    checks = {
        **_data_complaints(spec.data),
        **_grid_complaints(model),
        **_landmark_complaints(spec),
        **_floor_complaints(
            {
                "data.min_rows_per_category": spec.data.min_rows_per_category,
                "model.min_rows_per_landmark": model.min_rows_per_landmark,
            }
        ),
        "`minimum_rows` must not be negative": spec.minimum_rows < 0,
        "`model.newton_steps` must not be negative": model.newton_steps < 0,
        **_metric_complaints(model),
        "`model.likelihood` is for regression": (
            model.likelihood is not Likelihood.AUTO and spec.data.task is not Task.REGRESSION
        ),
        "`model.distribution` is for survival": (
            model.distribution is not Distribution.AUTO and spec.data.task is not Task.SURVIVAL
        ),
        **_image_complaints(spec.data, model),
        **privacy_complaints(spec),
        "`data.time` has no use with `[privacy]`, whose one sum leaves no row out": (
            bool(spec.data.time) and spec.privacy is not None
        ),
        "`model.site_block_rows` must be at least 1": model.site_block_rows < 1,
        "`model.site_neighbours` must be from 1 to 1000": not 1 <= model.site_neighbours <= 1000,
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
        f"`minimum_nodes` must be at least {SMALLEST_COHORT}: of a sum over fewer nodes, one could"
        " subtract its own part and see another's": spec.minimum_nodes < SMALLEST_COHORT,
        f"`minimum_nodes` must be at most {LARGEST_COHORT}": spec.minimum_nodes > LARGEST_COHORT,
        "`most_told` must be a positive, finite number": not 0 < spec.most_told < math.inf,
        "`coalition` must be at least 1": spec.coalition < 1,
    }
    return [complaint for complaint, wrong in checks.items() if wrong]


def _floor_complaints(floors: Mapping[str, int]) -> dict[str, bool]:
    """Complaints about the fewest rows of a group: a sum over one or two rows would be rows."""
    return {
        f"`{key}` must be at least {SMALLEST_GROUP}, the hard floor": rows < SMALLEST_GROUP
        for key, rows in floors.items()
    }


def _data_complaints(data: DataSpec) -> dict[str, bool]:
    """Complaints about columns and classes. Cells are compared with labels without outer spaces."""
    names = [column.name for column in data.columns]
    sites = [column.name for column in data.columns if column.kind is ColumnKind.SITE]
    labelled = {"data.classes": data.classes} | {
        f"data.columns: {column.name}.categories": column.categories for column in data.columns
    }
    return {
        "`data.columns` is empty: name at least one input": not names,
        "`data.columns` needs an input beside the site column": bool(names) and names == sites,
        '`data.columns` has more than one of `kind = "site"`': len(sites) > 1,
        "`data.columns` names a column twice": len(set(names)) != len(names),
        f"target {data.target!r} is also an input column": data.target in names,
        f"`data.time` names the target, {data.target!r}": data.time == data.target,
        "`data.time` is for regression only: it decides how wide intervals are": (
            bool(data.time) and data.task is not Task.REGRESSION
        ),
        "classification needs at least two distinct `data.classes`": (
            data.task is Task.CLASSIFICATION and len(set(data.classes)) < 2
        ),
        "an ordinal target needs at least three `data.classes`, in their order": (
            data.task is Task.ORDINAL and len(set(data.classes)) < 3
        ),
        "`data.classes` is for classification and ordinal targets only": (
            not data.task.has_classes and bool(data.classes)
        ),
        "survival needs `data.event`: the column that is 1 where the event was seen, 0 where not": (
            data.task is Task.SURVIVAL and not data.event
        ),
        "`data.event` is for survival only": (data.task is not Task.SURVIVAL and bool(data.event)),
        f"event {data.event!r} is also an input column, or the target": (
            bool(data.event) and data.event in (*names, data.target)
        ),
        '`categories` are for columns of `kind = "categorical"` and "site" only': any(
            column.categories and column.kind is ColumnKind.NUMERIC for column in data.columns
        ),
        **{
            f"`{where}` names a label twice": len(set(labels)) != len(labels)
            for where, labels in labelled.items()
        },
        **{
            f"`{where}` has a label that is empty or has outer spaces: no cell can match it": any(
                label != label.strip() or not label for label in labels
            )
            for where, labels in labelled.items()
        },
    }


def _grid_complaints(model: ModelSpec) -> dict[str, bool]:
    """Complaints about the grid: each axis needs a value, and none twice, as candidates cost."""
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
    model = spec.model
    digest, tried = model.public_landmarks_sha256, model.tried_landmark_kinds
    return {
        "`model.landmarks` must be at least 2": spec.landmark_count < 2,
        "`model.landmark_kinds`: auto stands for every kind, so it stands alone": (
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
        "`model.kmeans_iterations` must be from 1 to 16": not 1 <= model.kmeans_iterations <= 16,
    }


def _metric_complaints(model: ModelSpec) -> dict[str, bool]:
    return {
        "`model.metric_repetitions` must not be negative": model.metric_repetitions < 0,
        "`model.move_landmarks` must be from 0 to 1000": not 0 <= model.move_landmarks <= 1000,
    }


def _image_complaints(data: DataSpec, model: ModelSpec) -> dict[str, bool]:
    kinds = {column.kind for column in data.columns}
    return {
        "`conv-ntk` needs `model.image`, for example [8, 8, 1]": (
            KernelKind.CONV_NTK in model.kernels and model.image is None
        ),
        "`model.image` must be height, width and channels, with a numeric column for each number": (
            model.image is not None
            and (
                min(model.image) < 1
                or math.prod(model.image) != len(data.columns)
                or kinds != {ColumnKind.NUMERIC}
            )
        ),
    }
