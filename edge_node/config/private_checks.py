"""What a spec with differential privacy must say, because no sum may find it out."""

import math

from edge_node.config.privacy import Level, PrivacyPolicy, PrivacySpec
from edge_node.config.spec import (
    Column,
    ColumnKind,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    Task,
)

__all__ = ["LARGEST_EPSILON", "budget_complaints", "privacy_complaints"]

LARGEST_EPSILON = 100.0
"""Beyond it a promise says nothing, and accounting loses its digits."""

_PRIVATE_LANDMARKS = {(LandmarkKind.GAUSSIAN,), (LandmarkKind.PUBLIC,)}


def privacy_complaints(spec: FederationSpec) -> dict[str, bool]:
    """Complaints about ``[privacy]``, and about what goes with it, and whether each is right."""
    if spec.privacy is None:
        return {
            "`bounds` and `missing` of a column are for a spec with `[privacy]`": any(
                column.bounds is not None or column.missing for column in spec.data.columns
            )
        }
    return {
        **budget_complaints(spec.privacy, "privacy"),
        **_level_complaints(spec.privacy),
        **_target_complaints(spec.data.task, spec.privacy),
        **{
            complaint: wrong
            for column in spec.data.columns
            for complaint, wrong in _column_complaints(column).items()
        },
        **_model_complaints(spec.model),
    }


def budget_complaints(budget: PrivacySpec | PrivacyPolicy, where: str) -> dict[str, bool]:
    """Complaints about an epsilon and a delta."""
    return {
        f"`{where}.epsilon` must be positive, and at most {LARGEST_EPSILON:g}": (
            not 0 < budget.epsilon <= LARGEST_EPSILON
        ),
        f"`{where}.delta` must be positive and at most 0.01, far below one row's share": (
            not 0 < budget.delta <= 0.01
        ),
    }


def _level_complaints(privacy: PrivacySpec) -> dict[str, bool]:
    at_site, rows = privacy.level is Level.SITE, privacy.rows_per_site
    return {
        '`privacy.rows_per_site` is needed for level "site", and for that only': (
            at_site is (rows is None)
        ),
        "`privacy.rows_per_site` must be at least 1": rows is not None and rows < 1,
        "`privacy.curious_members` must not be negative": privacy.curious_members < 0,
    }


def _target_complaints(task: Task, privacy: PrivacySpec) -> dict[str, bool]:
    regression, bounds = task is Task.REGRESSION, privacy.target_bounds
    return {
        "`privacy.target_bounds` is needed for regression, and for that only": (
            regression is (bounds is None)
        ),
        "`privacy.target_bounds` must be two numbers, the lower one first": _improper(bounds),
    }


def _column_complaints(column: Column) -> dict[str, bool]:
    numeric = column.kind is ColumnKind.NUMERIC
    return {
        f"column {column.name!r} needs `bounds`, because of `[privacy]`": (
            numeric and column.bounds is None
        ),
        f"column {column.name!r}: `bounds` must be two numbers, the lower one first": (
            _improper(column.bounds)
        ),
        f"column {column.name!r}: `bounds` are for numeric columns": (
            not numeric and column.bounds is not None
        ),
        f"column {column.name!r} needs its `categories` listed, because of `[privacy]`": (
            not numeric and not column.categories
        ),
    }


def _model_complaints(model: ModelSpec) -> dict[str, bool]:
    return {
        "with `[privacy]` one kernel is named (`model.kernels`, `.activations`, `.depths`, "
        "`.biases`, `.lengthscales`): choosing among several would cost privacy": (
            _kernels(model) != 1
        ),
        'with `[privacy]` `model.landmark_kinds` is ["gaussian"] or ["public"]: others, and a '
        "choice, come from rows": model.landmark_kinds not in _PRIVATE_LANDMARKS,
    }


def _kernels(model: ModelSpec) -> int:
    """How many candidates there are."""
    networks = len(model.activations) * len(model.depths)
    counts = {
        KernelKind.MATERN32: len(model.lengthscales),
        KernelKind.RBF: len(model.lengthscales),
        KernelKind.CONV_NTK: networks,
    }
    return sum(counts.get(kind, networks * len(model.biases)) for kind in model.kernels)


def _improper(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and not (all(map(math.isfinite, bounds)) and bounds[0] < bounds[1])
