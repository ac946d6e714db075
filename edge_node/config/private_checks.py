"""What a spec with differential privacy must state.

Without `[privacy]`, ranges, categories and the best kernel are found by sums. Each such sum would
cost privacy, so with `[privacy]` the spec has to name them.
"""

import math

from edge_node.config.privacy import Level, PrivacyPolicy, PrivacySpec
from edge_node.config.spec import (
    Column,
    ColumnKind,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    Task,
)

__all__ = ["LARGEST_EPSILON", "demand_complaints", "privacy_complaints"]

LARGEST_EPSILON = 100.0
"""A larger epsilon promises nothing, and accounting for it loses its digits."""

_PRIVATE_LANDMARKS = {(LandmarkKind.GAUSSIAN,), (LandmarkKind.PUBLIC,)}


def privacy_complaints(spec: FederationSpec) -> dict[str, bool]:
    """Complaints about ``[privacy]`` and the keys that go with it; each with whether it applies."""
    if spec.privacy is None:
        return {
            "`bounds` and `missing` of a column are for a spec with `[privacy]`": any(
                column.bounds is not None or column.missing for column in spec.data.columns
            )
        }
    return {
        **budget_complaints(spec.privacy, "privacy"),
        "`[privacy]` is for regression and classification: other tasks take several sums": (
            spec.data.task not in (Task.REGRESSION, Task.CLASSIFICATION)
        ),
        **_level_complaints(spec.privacy),
        **_target_complaints(spec.data.task, spec.privacy),
        **{
            complaint: wrong
            for column in spec.data.columns
            for complaint, wrong in _column_complaints(column).items()
        },
        **_model_complaints(spec.model),
    }


def demand_complaints(demand: PrivacyPolicy | None) -> dict[str, bool]:
    """Complaints about what a site demands, ``[policy.privacy]``."""
    if demand is None:
        return {}
    least = demand.least_honest
    return {
        **budget_complaints(demand, "policy.privacy"),
        "`policy.privacy.least_honest` must be at least 1: this site itself": (
            least is not None and least < 1
        ),
    }


def budget_complaints(budget: PrivacySpec | PrivacyPolicy, where: str) -> dict[str, bool]:
    """Complaints about an epsilon and a delta."""
    return {
        f"`{where}.epsilon` must be positive, and at most {LARGEST_EPSILON:g}": (
            not 0 < budget.epsilon <= LARGEST_EPSILON
        ),
        f"`{where}.delta` must be positive and at most 0.01, and should be far below 1 / rows": (
            not 0 < budget.delta <= 0.01
        ),
    }


def _level_complaints(privacy: PrivacySpec) -> dict[str, bool]:
    at_site, rows = privacy.level is Level.SITE, privacy.rows_per_site
    return {
        '`privacy.rows_per_site` is for level "site", which needs it': (at_site is (rows is None)),
        "`privacy.rows_per_site` must be at least 1": rows is not None and rows < 1,
        "`privacy.curious_members` must not be negative": privacy.curious_members < 0,
    }


def _target_complaints(task: Task, privacy: PrivacySpec) -> dict[str, bool]:
    regression, bounds = task is Task.REGRESSION, privacy.target_bounds
    return {
        "`privacy.target_bounds` is for regression, which needs it": (
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
        "with `[privacy]` the grid must hold one kernel (`model.kernels`, `.activations`, "
        "`.depths`, `.biases`, `.lengthscales`): choosing among several would cost privacy": (
            _kernel_count(model) != 1
        ),
        'with `[privacy]` `model.landmark_kinds` must be ["gaussian"] or ["public"]: other kinds, '
        "and a choice of kinds, depend on rows": model.landmark_kinds not in _PRIVATE_LANDMARKS,
        'with `[privacy]` `model.likelihood` must not be "student-t": targets have bounds': (
            model.likelihood is Likelihood.STUDENT_T
        ),
    }


def _kernel_count(model: ModelSpec) -> int:
    """How many kernels the grid holds."""
    networks = len(model.activations) * len(model.depths)
    counts = {
        KernelKind.MATERN32: len(model.lengthscales),
        KernelKind.RBF: len(model.lengthscales),
        KernelKind.CONV_NTK: networks,
    }
    return sum(counts.get(kind, networks * len(model.biases)) for kind in model.kernels)


def _improper(bounds: tuple[float, float] | None) -> bool:
    return bounds is not None and not (all(map(math.isfinite, bounds)) and bounds[0] < bounds[1])
