"""A run's plan: the sums that it will take, and how many numbers each of them tells.

`planning` makes one from what the rows may tell, `affordable` cuts it where they may tell less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_node.inference.classification.expansion import numbers_told
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.screening import Screening
from edge_node.inference.messages.uncollapsed import sums_told
from edge_node.inference.regression.calibration import HeldOutScores
from edge_node.inference.regression.student import SCALE_NUMBERS

__all__ = ["PlannedSum", "Schedule", "numbers_of"]

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
        cells = self.cell_numbers
        centres = [PlannedSum(f"kmeans/{i}", cells) for i in range(self.iterations)]
        move = self.numbers_per_move if self.moves else 0
        step = self.numbers_per_step if self.steps else 0
        moves = [PlannedSum(f"moves/{i}", move, self.full) for i in range(self.moves)]
        message = self.messages * self.numbers_per_message
        steps = [PlannedSum(f"newton/{i}", step, self.full) for i in range(self.steps)]
        looks = [PlannedSum("residuals/posterior", SCALE_NUMBERS)] if self.residuals else []
        scores = [PlannedSum("calibration", HeldOutScores.NUMBERS)] if self.calibrated else []
        whole = PlannedSum("posterior", message, self.full)
        return (*centres, *moves, *looks, whole, *steps, *scores)

    @property
    def step_numbers(self) -> int:
        """The numbers that all of a classifier's steps may tell."""
        return self.steps * self.numbers_per_step

    @property
    def numbers_per_message(self) -> int:
        """The numbers of the posterior's message, for each noise that is tried."""
        return _message(self.full, self.outputs)

    @property
    def cell_numbers(self) -> int:
        """The numbers of one iteration of k-means."""
        return self.full * (self.inputs + 1)

    @property
    def numbers_per_move(self) -> int:
        """The numbers of the bound and its gradient in landmarks, mean and metric."""
        kind = self.metric if self.repetitions or self.starts > 1 else None
        return sums_told(self.full, self.inputs, self.outputs, kind).length

    @property
    def numbers_per_step(self) -> int:
        """The numbers of a classifier's step."""
        return numbers_told(self.full, self.outputs, self.parameters)


def numbers_of(sums: Sequence[PlannedSum]) -> int:
    """How many numbers all of them tell."""
    return sum(each.numbers for each in sums)


def _message(landmarks: int, outputs: int) -> int:
    """The numbers of a Gaussian message, and of those that travel with it."""
    return landmarks * (landmarks + 1) // 2 + landmarks * outputs + _HEAD
