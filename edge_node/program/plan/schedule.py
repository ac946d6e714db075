"""What a run will sum, planned from what its rows may tell.

Questions that a coarse answer settles are asked coarsely: which kernel, which metric.
What is left of the allowance goes to the sums that the posterior is made of. So with few rows a run
tries fewer kernels, repeats the metric less often, and has fewer landmarks.

The plan depends on the spec, the allowance and the numbers of rows and inputs only, so that all
nodes, and a reference with all rows, have the same one.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from edge_node.config import (
    Distribution,
    FederationSpec,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    Task,
)
from edge_node.errors import CohortRefusedError
from edge_node.inference.classification.expansion import numbers_told
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.screening import Screening
from edge_node.inference.kernels.kernel import kernel_grid
from edge_node.inference.messages.uncollapsed import sums_told
from edge_node.inference.regression.calibration import HeldOutScores
from edge_node.inference.regression.student import (
    CLEANING_ROUNDS,
    RESIDUAL_NUMBERS,
    SCALE_NUMBERS,
)
from edge_node.program.features.screening import planned_screening
from edge_node.program.plan.allowances import encoding_numbers
from edge_node.security.disclosure.allowance import ROWS_PER_FEATURE, Allowance

__all__ = ["PlannedSum", "Schedule", "coarse_kinds"]


_COARSE_SHARE = 0.45  # of what may be told: kernels and metric
_STEPS_SHARE = 0.3  # of what the coarse look leaves: a classifier's steps, of r numbers each
_FEWEST_STEPS = 5  # where a likelihood learns parameters: with fewer, they stay near their start
_ENOUGH = 10  # landmarks, beyond which steps are worth more
_MOVES_SHARE = 0.5  # the same, if the spec asks for it: of gradients that move landmarks
_MOST_COARSE = 512  # landmarks: with more, the metric hardly changes
_FEWEST = 4  # landmarks of any use
_ROWS_PER_NUMBER = 30  # of a full metric; with fewer, a diagonal one predicts better
_LOOK_SHARE = 0.08  # of what may be told: outliers among a regression's targets
_CELLS_SHARE = 0.2  # of what is left: with few rows, k-means costs more than it is worth
_SCORES_SHARE = 0.05  # of what may be told, at most; with fewer rows intervals are the model's
_MOST_MESSAGES = 4  # of full size: noises of a regression
_FEW_LANDMARKS = 24  # coarse ones, below which only two candidates are compared
_FEW_CANDIDATES = 2
_LEAST = 6  # of a regression where there is nothing to compare, for a first guess of the noise
_TOO_FEW_LANDMARKS = 12
"""Coarse landmarks below which nothing is compared, and no metric learnt. A classifier needs
_FEW_LANDMARKS: its own are worth more (docs/model.md, "Under the default ceiling")."""

_FULL_METRIC_LANDMARKS = 64
"""Coarse landmarks that a full metric takes, and more than one repetition. The gradients of a
function of fewer hide directions in which it varies (airfoil: site RMSE .36, against .19)."""

_HEAD = 4  # numbers that travel with a message


@dataclass(frozen=True)
class PlannedSum:
    """A sum as it is foreseen; a run may need less.

    Attributes:
        step: its name.
        numbers: how many real numbers it tells.
        features: of how many features it sums outer products; 0: of none.
    """

    step: str
    numbers: int
    features: int = 0


@dataclass(frozen=True)
class Schedule:
    """How a run spends what its rows may tell.

    Attributes:
        inputs: d, the numbers of an encoded row.
        outputs: q, the functions that are learnt.
        rows: n, of the federation.
        metric: what of the gradients' sum a metric is made of.
        screening: the sums that look for inputs that matter; None: there are none.
        starts: how many metrics are compared at first: none, and one of the inputs that matter.
        candidates: kernels, with landmarks of some kind, that are compared under each.
        first: landmarks in that comparison.
        coarse: landmarks of the metric's repetitions.
        repetitions: how often the metric is improved; 0: it stays the identity.
        full: landmarks of the posterior.
        iterations: of k-means, each on rows of its own; 0: landmarks are not moved.
        messages: of full size: one for each noise that a regression tries.
        steps: of a posterior that is found step by step.
        parameters: h, of its likelihood.
        likelihoods: how many are tried.
        calibrated: whether a regression sums the scores of held-out rows.
        moves: places of the landmarks at which the bound's gradient is summed.
        residuals: numbers of the sum that looks for outliers among a regression's targets.
        left: numbers that may be told after the coarse look, if no outliers are found.
    """

    inputs: int
    outputs: int
    rows: int
    metric: MetricKind
    screening: Screening | None
    starts: int
    candidates: int
    first: int
    coarse: int
    repetitions: int
    full: int
    iterations: int
    messages: int
    steps: int
    parameters: int = 0
    likelihoods: int = 1
    calibrated: bool = False
    moves: int = 0
    residuals: int = 0
    left: int = 0

    @classmethod
    def plan(
        cls,
        spec: FederationSpec,
        allowance: Allowance,
        *,
        rows: int,
        inputs: int,
        starts: int = 1,
    ) -> Self:
        """Plan a run.

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
            screening = planned_screening(spec, left, allowance.features, inputs=inputs)
        left -= 0 if screening is None else screening.numbers
        most = min(spec.landmark_count, allowance.features, rows)
        draft = cls._draft(spec, rows=rows, inputs=inputs, screening=screening, starts=starts)
        cheap = left * _SCORES_SHARE >= HeldOutScores.NUMBERS
        draft = replace(
            draft,
            calibrated=cheap and spec.data.task is Task.REGRESSION,
            residuals=_residuals(spec, left),
        )
        plan = draft._coarse(left, most, allowance.features)
        left -= _numbers(plan.compared_sums)
        steps = _steps(spec)
        full = plan._largest_full(left, most, steps)
        asked = spec.model.landmark_kinds == (LandmarkKind.KMEANS,)
        if not asked and plan._cells(full) > _CELLS_SHARE * left:
            plan = replace(plan, iterations=0)
            full = plan._largest_full(left, most, steps)
        if full < min(_FEWEST, rows, spec.landmark_count):
            raise _too_few(allowance, spec)
        return replace(plan, full=full, left=left)._spending(left, steps)

    @classmethod
    def _draft(
        cls,
        spec: FederationSpec,
        *,
        rows: int,
        inputs: int,
        screening: Screening | None,
        starts: int,
    ) -> Self:
        """What the spec asks for, without landmarks."""
        model, kernels = spec.model, kernel_grid(spec.model)
        moved = LandmarkKind.KMEANS in model.tried_landmark_kinds
        return cls(
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

    def _coarse(self, left: int, most: int, finest: int) -> Self:
        """With the landmarks that decide on kernel and metric: a full metric where rows and
        landmarks are many, else a diagonal one.
        """
        many = self.rows >= _ROWS_PER_NUMBER * MetricKind.FULL.parameters(self.inputs)
        if many and self.inputs <= finest:
            plan = self._resolved(left, most)
            if plan.coarse >= _FULL_METRIC_LANDMARKS:
                return plan
        return replace(self, metric=MetricKind.DIAGONAL)._resolved(left, most)

    def _resolved(self, left: int, most: int) -> Self:
        """With as many coarse landmarks as their share of what is left allows."""
        share, most = int(_COARSE_SHARE * left), min(most, _MOST_COARSE)

        def numbers(coarse: int) -> int:
            return _numbers(self._with(coarse, most).compared_sums)

        return self._with(_largest(numbers, share, most), most)

    def _with(self, coarse: int, most: int) -> Self:
        """With so many coarse landmarks, of ``most`` that there could be.

        For a full metric the first comparison can do with half of them: rows are many, and a metric
        is learnt anyway. For a diagonal one, its evidence is what the metric's must exceed.
        """
        if self.metric is MetricKind.FULL:
            return replace(self, coarse=coarse, first=coarse // 2)
        plan = replace(self, coarse=coarse, first=coarse)
        if coarse < min(most, _FULL_METRIC_LANDMARKS):
            plan = replace(plan, repetitions=min(self.repetitions, 1))
        if coarse < min(most, _FEW_LANDMARKS):
            plan = replace(plan, candidates=min(self.candidates, _FEW_CANDIDATES))
        if coarse < min(most, _FEW_LANDMARKS if self.steps else _TOO_FEW_LANDMARKS):
            plan = replace(plan, candidates=1, repetitions=0)
            if self.starts == 1:  # there is nothing to compare
                least = min(most, 1 if self.steps else _LEAST)
                plan = replace(plan, coarse=least, first=least)
        return plan

    def _spending(self, left: int, steps: int) -> Self:
        """With what the posterior's sum leaves: ``steps`` of a classifier, moves, noises to try."""
        spare = left - _numbers(replace(self, steps=0, moves=0).full_sums)
        if steps:
            steps = min(steps, spare // self._step)
        spare -= steps * self._step
        moves = min(self.moves, spare // self._move)
        plan = replace(self, steps=steps, moves=moves)
        if self.steps:
            return plan
        spare -= moves * self._move
        return replace(plan, messages=min(_MOST_MESSAGES, 1 + spare // _message(self.full)))

    @property
    def with_cleaning(self) -> Self:
        """With no more of what follows than is left after outliers were found, and cleaned of."""
        round_ = SCALE_NUMBERS + 1 + self.first
        return self.within(self.left - CLEANING_ROUNDS * round_, self.full)

    def within(self, left: int, features: int) -> Self:
        """With no more of what follows the coarse look than may still be told.

        A node may have been lost since the plan was made: the others' rows may tell less. A plan
        never grows, so that whoever is given a model's parts follows the same.

        Args:
            left: how many numbers may still be told.
            features: the resolution at which outer products may still be summed.

        Returns:
            The same plan where it fits; the same, to be refused by the meter, if nothing does.
        """
        if self.full <= features and _numbers(self.full_sums) <= left:
            return self
        draft = replace(self, messages=1)
        full = draft._largest_full(left, min(self.full, features), self.steps)
        if full < min(_FEWEST, self.full):
            return self
        found = replace(draft, full=full)._spending(left, self.steps)
        return replace(found, messages=min(found.messages, self.messages))

    def _largest_full(self, left: int, most: int, steps: int) -> int:
        """The most landmarks of a posterior for which ``left`` numbers are enough.

        They leave enough for all ``steps`` and moves, or for as many as `_STEPS_SHARE` and
        `_MOVES_SHARE` of the numbers allow; where a likelihood learns parameters, for
        `_FEWEST_STEPS` of each, if that is possible.
        """

        def largest(share: int, plan: Self) -> int:
            return _largest(lambda size: _numbers(replace(plan, full=size).full_sums), share, most)

        kept = (1 - _STEPS_SHARE * (steps > 0)) * (1 - _MOVES_SHARE * (self.moves > 0))
        without = replace(self, steps=0, moves=0)
        if steps and self.parameters:
            for few in (_FEWEST_STEPS * self.likelihoods, _FEWEST_STEPS, 3):
                found = largest(int(kept * left), replace(without, steps=min(steps, few)))
                if found >= _ENOUGH:
                    return found
        return max(largest(left, replace(self, steps=steps)), largest(int(kept * left), without))

    @property
    def sums(self) -> tuple[PlannedSum, ...]:
        """All sums of statistics after the encoding's, in their order."""
        return (*self.coarse_sums, *self.full_sums)

    @property
    def coarse_sums(self) -> tuple[PlannedSum, ...]:
        """Those that decide on a kernel and a metric."""
        return (*self._screen, *self.compared_sums)

    @property
    def _screen(self) -> tuple[PlannedSum, ...]:
        """That of single inputs, and pairs."""
        if self.screening is None:
            return ()
        outer = self.screening.inputs if self.screening.pairs else 0
        return (PlannedSum("screen", self.screening.numbers, outer),)

    @property
    def compared_sums(self) -> tuple[PlannedSum, ...]:
        """Those of coarse landmarks."""
        compared = self.starts * self.candidates * _message(self.first, self.outputs)
        gradients = self.metric.parameters(self.inputs)
        outer = self.inputs if self.metric is MetricKind.FULL else 0
        message = _message(self.coarse, self.outputs)
        found = [PlannedSum("statistics/0", compared, self.first)]
        if self.residuals:
            found.append(PlannedSum("residuals", self.residuals))
        for i in range(1, self.repetitions + 1):
            found.append(PlannedSum(f"gradients/{i}", gradients, outer))
            found.append(PlannedSum(f"statistics/{i}", message, self.coarse))
        return tuple(found)

    @property
    def full_sums(self) -> tuple[PlannedSum, ...]:
        """Those that move the landmarks, and that the posterior is made of, or begins with."""
        cells = self._cells(self.full)
        centres = [PlannedSum(f"kmeans/{i}", cells) for i in range(self.iterations)]
        move = self._move if self.moves else 0
        moves = [PlannedSum(f"moves/{i}", move, self.full) for i in range(self.moves)]
        message = self.messages * _message(self.full, self.outputs)
        steps = [PlannedSum(f"newton/{i}", self._step, self.full) for i in range(self.steps)]
        looks = [PlannedSum("residuals/posterior", SCALE_NUMBERS)] if self.residuals else []
        scores = [PlannedSum("calibration", HeldOutScores.NUMBERS)] if self.calibrated else []
        whole = PlannedSum("posterior", message, self.full)
        return (*centres, *moves, *looks, whole, *steps, *scores)

    @property
    def step_numbers(self) -> int:
        """The numbers that all of a classifier's steps may tell."""
        return self.steps * self._step

    def _cells(self, full: int) -> int:
        """The numbers of one iteration of k-means."""
        return full * (self.inputs + 1)

    @property
    def _move(self) -> int:
        """The numbers of the bound and its gradient in landmarks, mean and metric."""
        kind = self.metric if self.repetitions or self.starts > 1 else None
        return sums_told(self.full, self.inputs, self.outputs, kind).length

    @property
    def _step(self) -> int:
        """The numbers of a classifier's step."""
        return numbers_told(self.full, self.outputs, self.parameters)


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


def _message(landmarks: int, outputs: int = 1) -> int:
    """The numbers of a Gaussian message, and of those that travel with it."""
    return landmarks * (landmarks + 1) // 2 + landmarks * outputs + _HEAD


def _learns_metric(spec: FederationSpec) -> bool:
    """Whether a metric may be learnt: of kernels that have gradients."""
    differentiable = any(kernel.differentiable for kernel in kernel_grid(spec.model))
    return differentiable and spec.model.metric_repetitions > 0


def _numbers(sums: Sequence[PlannedSum]) -> int:
    return sum(each.numbers for each in sums)


def _largest(numbers: Callable[[int], int], left: int, most: int) -> int:
    """The most landmarks whose sums tell no more numbers than are left; 0 if there is none."""
    return bisect_right(range(most + 1), left, key=numbers) - 1 if most > 0 else 0


def _too_few(allowance: Allowance, spec: FederationSpec) -> CohortRefusedError:
    if allowance.features < _FEWEST <= allowance.rows // ROWS_PER_FEATURE:
        return CohortRefusedError(
            "a class has too few rows for a model",
            where="the smallest class, without its largest sites",
            expected=f"rows that may tell of {_FEWEST} features",
            found=f"{allowance.class_rows}, which tell of {allowance.features}",
            remedy="Leave the class out: a site gives no rows of a class of which it has fewer than"
            f" `min_rows_per_category`, so set that to more than {allowance.class_rows}; or wait"
            " for more of its rows",
        )
    return CohortRefusedError(
        "the federation's rows may tell too little for a model",
        where=f"{allowance.rows} distinct rows without those of the largest sites",
        expected=f"numbers for {_FEWEST} landmarks, and {_FEWEST * ROWS_PER_FEATURE} rows",
        found=f"{allowance.numbers} numbers in all, {allowance.most_told:g} per cell",
        remedy="Wait for more rows or more sites of like size, leave columns out, or raise"
        " `most_told`, which lets members solve for rows",
    )
