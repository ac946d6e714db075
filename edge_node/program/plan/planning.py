"""How a run's sums are planned from what its rows may tell.

Questions that a coarse answer settles are asked coarsely: which kernel, which metric.
What is left of the allowance goes to the sums that the posterior is made of. So with few rows a run
tries fewer kernels, repeats the metric less often, and has fewer landmarks.

The plan depends on the spec, the allowance and the numbers of rows and inputs only, so that all
nodes, and a reference with all rows, have the same one.
"""

from dataclasses import replace

from edge_node.config import (
    Distribution,
    FederationSpec,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    Task,
)
from edge_node.data.sources.schema import numeric_columns
from edge_node.errors import CohortRefusedError
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.screening import Screening
from edge_node.inference.kernels.kernel import kernel_grid
from edge_node.inference.regression.calibration import HeldOutScores
from edge_node.inference.regression.student import RESIDUAL_NUMBERS, SCALE_NUMBERS
from edge_node.program.plan.affordable import (
    FEWEST_LANDMARKS,
    largest_full,
    most_landmarks,
    spending,
)
from edge_node.program.plan.allowances import encoding_numbers
from edge_node.program.plan.schedule import Schedule, numbers_of
from edge_node.security.disclosure.allowance import ROWS_PER_FEATURE, Allowance

__all__ = ["FEWEST_SCREENED", "coarse_kinds", "schedule_for"]

_COARSE_SHARE = 0.45  # of what may be told: kernels and metric
_MOST_COARSE = 512  # landmarks: with more, the metric hardly changes
_ROWS_PER_NUMBER = 30  # of a full metric; with fewer, a diagonal one predicts better
_LOOK_SHARE = 0.08  # of what may be told: outliers among a regression's targets
_CELLS_SHARE = 0.2  # of what is left: with few rows, k-means costs more than it is worth
_SCORES_SHARE = 0.05  # of what may be told, at most; with fewer rows intervals are the model's
_FEW_LANDMARKS = 24  # coarse ones, below which only two candidates are compared
_FEW_CANDIDATES = 2
_LEAST = 6  # of a regression where there is nothing to compare, for a first guess of the noise
_TOO_FEW_LANDMARKS = 12
"""Coarse landmarks below which nothing is compared, and no metric learnt. A classifier needs
_FEW_LANDMARKS: its own are worth more (docs/model.md, "Under the default ceiling")."""

_FULL_METRIC_LANDMARKS = 64
"""Coarse landmarks that a full metric takes, and more than one repetition. The gradients of a
function of fewer hide directions in which it varies (airfoil: site RMSE .36, against .19)."""

FEWEST_SCREENED = 10
"""Inputs from which a metric may not start by itself, and they are looked at one by one first."""

_SCREEN_SHARE = 0.2  # of the numbers that are left, at most: for sums of single inputs
_PAIRS_SHARE = 0.1  # and with those of pairs


def schedule_for(
    spec: FederationSpec,
    allowance: Allowance,
    *,
    rows: int,
    inputs: int,
    starts: int = 1,
) -> Schedule:
    """A run's plan.

    Args:
        spec: the federation's; its numbers are ceilings.
        allowance: what the rows may tell.
        rows: n, of the federation.
        inputs: d, the numbers of an encoded row.
        starts: how many metrics are compared at first.

    Raises:
        CohortRefusedError: the rows may tell too little for any useful model.
    """
    left = allowance.numbers - encoding_numbers(spec.data, inputs, allowance)
    screening = None
    if _learns_metric(spec):
        screening = _screening(spec, left, allowance.features, inputs=inputs)
    left -= 0 if screening is None else screening.numbers
    most = min(spec.landmark_count, allowance.features, rows)
    draft = _draft(spec, rows=rows, inputs=inputs, screening=screening, starts=starts)
    cheap = left * _SCORES_SHARE >= HeldOutScores.NUMBERS
    draft = replace(
        draft,
        calibrated=cheap and spec.data.task is Task.REGRESSION,
        residuals=_residuals(spec, left),
    )
    plan = _coarse(draft, left, most, allowance.features)
    left -= numbers_of(plan.compared_sums)
    steps = _steps(spec)
    full = largest_full(plan, left, most, steps)
    asked = spec.model.landmark_kinds == (LandmarkKind.KMEANS,)
    if not asked and replace(plan, full=full).cell_numbers > _CELLS_SHARE * left:
        plan = replace(plan, iterations=0)
        full = largest_full(plan, left, most, steps)
    if full < min(FEWEST_LANDMARKS, rows, spec.landmark_count):
        raise _too_few(allowance, spec)
    return spending(replace(plan, full=full, left=left), left, steps)


def _draft(
    spec: FederationSpec,
    *,
    rows: int,
    inputs: int,
    screening: Screening | None,
    starts: int,
) -> Schedule:
    """What the spec asks for, without landmarks."""
    model, kernels = spec.model, kernel_grid(spec.model)
    moved = LandmarkKind.KMEANS in model.tried_landmark_kinds
    return Schedule(
        inputs=inputs,
        outputs=spec.outputs,
        rows=rows,
        metric=MetricKind.FULL,
        screening=screening,
        starts=starts,
        candidates=len(kernels) * len(coarse_kinds(model)),
        first=0,
        coarse=0,
        repetitions=model.metric_repetitions if _learns_metric(spec) else 0,
        full=0,
        iterations=model.kmeans_iterations if moved else 0,
        messages=1,
        steps=_steps(spec),
        parameters=spec.parameters,
        likelihoods=_likelihoods(spec),
        moves=model.move_landmarks if any(each.differentiable for each in kernels) else 0,
    )


def _coarse(draft: Schedule, left: int, most: int, finest: int) -> Schedule:
    """The draft with the landmarks that decide on kernel and metric: a full metric where rows and
    landmarks are many, else a diagonal one.
    """
    many = draft.rows >= _ROWS_PER_NUMBER * MetricKind.FULL.parameters(draft.inputs)
    if many and draft.inputs <= finest:
        plan = _resolved(draft, left, most)
        if plan.coarse >= _FULL_METRIC_LANDMARKS:
            return plan
    return _resolved(replace(draft, metric=MetricKind.DIAGONAL), left, most)


def _resolved(draft: Schedule, left: int, most: int) -> Schedule:
    """The draft with as many coarse landmarks as their share of what is left allows."""
    share, most = int(_COARSE_SHARE * left), min(most, _MOST_COARSE)

    def numbers(coarse: int) -> int:
        return numbers_of(_with(draft, coarse, most).compared_sums)

    return _with(draft, most_landmarks(numbers, share, most), most)


def _with(draft: Schedule, coarse: int, most: int) -> Schedule:
    """The draft with so many coarse landmarks, of ``most`` that there could be.

    For a full metric the first comparison can do with half of them: rows are many, and a metric
    is learnt anyway. For a diagonal one, its evidence is what the metric's must exceed.
    """
    if draft.metric is MetricKind.FULL:
        return replace(draft, coarse=coarse, first=coarse // 2)
    plan = replace(draft, coarse=coarse, first=coarse)
    if coarse < min(most, _FULL_METRIC_LANDMARKS):
        plan = replace(plan, repetitions=min(draft.repetitions, 1))
    if coarse < min(most, _FEW_LANDMARKS):
        plan = replace(plan, candidates=min(draft.candidates, _FEW_CANDIDATES))
    if coarse < min(most, _FEW_LANDMARKS if draft.steps else _TOO_FEW_LANDMARKS):
        plan = replace(plan, candidates=1, repetitions=0)
        if draft.starts == 1:  # there is nothing to compare
            least = min(most, 1 if draft.steps else _LEAST)
            plan = replace(plan, coarse=least, first=least)
    return plan


def _screening(spec: FederationSpec, left: int, finest: int, *, inputs: int) -> Screening | None:
    """The sums that look for inputs that matter, if those are many and the sums are cheap.

    Args:
        spec: the federation's.
        left: how many numbers may be told.
        finest: of how many features outer products may be summed.
        inputs: d. At most all numeric columns are looked at; which of them is known later.
    """
    columns, data = len(numeric_columns(spec.data)), spec.data
    if inputs < FEWEST_SCREENED or not columns:
        return None
    targets = 1 if len(data.classes) <= 2 else len(data.classes)
    both = Screening(columns, targets, squared=not data.task.has_classes, pairs=True)
    if both.numbers <= _PAIRS_SHARE * left and columns <= finest:
        return both
    single = replace(both, pairs=False)
    return single if single.numbers <= _SCREEN_SHARE * left else None


def coarse_kinds(model: ModelSpec) -> tuple[LandmarkKind, ...]:
    """Where coarse landmarks come from: k-means begins with Gaussian ones, and is for later."""
    tried = model.tried_landmark_kinds
    public = (LandmarkKind.PUBLIC,) if LandmarkKind.PUBLIC in tried else ()
    return public if tried == public else (LandmarkKind.GAUSSIAN, *public)


def _steps(spec: FederationSpec) -> int:
    """The most steps; a regression takes none, and a choice of two likelihoods twice as many."""
    return spec.model.newton_steps * _likelihoods(spec) if spec.data.task.takes_steps else 0


def _likelihoods(spec: FederationSpec) -> int:
    """How many likelihoods are tried: two where the distribution of times is left open."""
    either = spec.data.task is Task.SURVIVAL and spec.model.distribution is Distribution.AUTO
    return 2 if either else 1


def _residuals(spec: FederationSpec, left: int) -> int:
    """Numbers of the sum over residuals. None are looked for where they would be a large part of
    what may be told, unless the spec says that there are outliers.
    """
    likelihood = spec.model.likelihood
    if spec.data.task is not Task.REGRESSION or likelihood is Likelihood.GAUSSIAN:
        return 0
    if likelihood is Likelihood.STUDENT_T:
        return SCALE_NUMBERS
    return RESIDUAL_NUMBERS if _LOOK_SHARE * left >= RESIDUAL_NUMBERS + SCALE_NUMBERS else 0


def _learns_metric(spec: FederationSpec) -> bool:
    """Whether a metric may be learnt: of kernels that have gradients."""
    differentiable = any(kernel.differentiable for kernel in kernel_grid(spec.model))
    return differentiable and spec.model.metric_repetitions > 0


def _too_few(allowance: Allowance, spec: FederationSpec) -> CohortRefusedError:
    if allowance.features < FEWEST_LANDMARKS <= allowance.rows // ROWS_PER_FEATURE:
        return CohortRefusedError(
            "a class has too few rows for a model",
            where="the smallest class, without its largest sites",
            expected=f"rows that may tell of {FEWEST_LANDMARKS} features",
            found=f"{allowance.class_rows}, which tell of {allowance.features}",
            remedy="Leave the class out: a site gives no rows of a class of which it has fewer than"
            f" `min_rows_per_category`, so set that to more than {allowance.class_rows}; or wait"
            " for more of its rows",
        )
    return CohortRefusedError(
        "the federation's rows may tell too little for a model",
        where=f"{allowance.rows} distinct rows without those of the largest sites",
        expected=f"numbers for {FEWEST_LANDMARKS} landmarks,"
        f" and {FEWEST_LANDMARKS * ROWS_PER_FEATURE} rows",
        found=f"{allowance.numbers} numbers in all, {allowance.most_told:g} per cell",
        remedy="Wait for more rows or more sites of like size, leave columns out, or raise"
        " `most_told`, which lets members solve for rows",
    )
