"""Moving the posterior's landmarks, and the metric with them, to where the bound is higher.

Each move is one sum: of the bound and its gradient at a place, over all rows that take part. The
root says with it whether the place is better than the best one so far, and which is tried next.
What is known before the first is the coarse look's, so none of it takes a Gram matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from edge_node.arrays import Matrix, Vector
from edge_node.inference.features.metric import MetricKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.moves import Ascent, Places
from edge_node.inference.messages.uncollapsed import (
    Belief,
    BoundSums,
    local_bound,
    sums_told,
)
from edge_node.network.base import Network, sum_and_decide
from edge_node.packing import Layout
from edge_node.program.features.candidates import AnyRows, Candidate, Fit, agree_features
from edge_node.program.root_decisions import MoveChoice, check_noise, read_move
from edge_node.step import Step

__all__ = ["Moved", "agree_known", "agree_moves"]


@dataclass(frozen=True)
class Moved:
    """Where landmarks were moved to: parts of a model.

    Attributes:
        landmarks: Z (r, k), where the metric puts them.
        metric: T (k, d), or None for the identity.
        noise: s2 that fits the bound best there.
    """

    landmarks: Matrix
    metric: Matrix | None
    noise: float

    def of(self, fit: Fit, candidate: Candidate) -> tuple[Fit, Candidate]:
        """A coarse fit with this noise, and a candidate with these landmarks and this metric."""
        evidence = replace(fit.evidence, noise=self.noise)
        moved = replace(candidate, landmarks=self.landmarks, metric=self.metric)
        return replace(fit, evidence=evidence), moved


async def agree_moves(
    network: Network,
    rows: AnyRows,
    fit: Fit,
    candidate: Candidate,
    features: Features,
    *,
    moves: int,
    kind: MetricKind,
    fewest: int,
    goes_on: Callable[[int], bool] = lambda _: True,
) -> tuple[Fit, Candidate, Features]:
    """The candidate whose landmarks and metric have the highest bound of some that were tried.

    Args:
        network: the network.
        rows: this node's.
        fit: the coarse one, under the candidate's metric.
        candidate: the candidate with the posterior's landmarks.
        features: its feature map, on those that are independent.
        moves: how many places are tried, the first included.
        kind: what of the metric is moved, where there is one that keeps all inputs.
        fewest: of how many of its rows alike this site gives a landmark's gradient, at least.
        goes_on: whether so many moves may still be told.

    Returns:
        The fit, with the noise that suits the new places; the candidate there; its features.
    """
    places = network.once(lambda: _places(fit, features, kind))
    x, ascent, tried = places.first, None, features
    for i in range(moves):
        if not goes_on(moves - i):  # a node was lost since: the others' rows may tell less
            break
        trial = _Trial(places, ascent, x, Step(f"moves/{i}"))
        local = trial.local(rows, tried, fewest)
        resolution = len(features.landmarks)
        total, chosen = await sum_and_decide(
            network, trial.step, local, trial.choose, features=resolution
        )
        ascent, x, tried = network.once(partial(trial.read, total, chosen))
    if ascent is None:
        return fit, candidate, features
    found = network.once(partial(places.features, ascent.best))
    return *Moved(found.landmarks, found.metric, ascent.noise).of(fit, candidate), found


async def agree_known(
    network: Network, moved: Moved, fit: Fit, candidate: Candidate
) -> tuple[Fit, Candidate, Features]:
    """As `agree_moves`, where it is known already where it leads."""
    fit, candidate = moved.of(fit, candidate)
    (features,) = await agree_features(network, "basis/moved", [candidate])
    return fit, candidate, features


def _places(fit: Fit, features: Features, kind: MetricKind) -> Places:
    """What is moved, and from where. A metric that leaves inputs out is no square matrix, and stays
    as it is.
    """
    belief = Belief.foreseen(features, fit.features, fit.statistics, fit.evidence)
    T, statistics = features.metric, fit.statistics
    moved = kind if T is not None and len(T) == T.shape[1] else None
    power = statistics.target_power / (statistics.count * statistics.outputs)
    return Places(features, belief, moved, statistics.count, power / fit.evidence.noise_variance)


@dataclass(frozen=True)
class _Trial:
    """A place, and what is known of others.

    Attributes:
        places: what is moved.
        ascent: what is known of other places; None: this is the first.
        x: the place.
        step: its sum.
    """

    places: Places
    ascent: Ascent | None
    x: Vector
    step: Step

    def local(self, rows: AnyRows, features: Features, fewest: int) -> Vector:
        """What a node's rows say of it; ``features`` is the map there."""
        mean, belief, kind = self.places.mean(self.x), self.places.belief, self.places.kind
        sums = local_bound(rows, features, belief, mean, kind, fewest=fewest)
        return self._layout.pack(**vars(sums))

    def choose(self, total: Vector) -> bytes:
        """The root's choice."""
        sums = BoundSums.unpack(total, self._layout)
        accepted = self.ascent is None or self.ascent.rises(self.x, sums)
        ascent = self._after(sums, accepted=accepted)
        return MoveChoice(accepted, ascent.noise, ascent.proposed()).pack()

    def read(self, total: Vector, chosen: bytes) -> tuple[Ascent, Vector, Features]:
        """What is known then, the next place, and the feature map there."""
        choice = read_move(chosen, self.places, self.ascent, self.x, step=str(self.step))
        sums = BoundSums.unpack(total, self._layout)
        ascent = self._after(sums, accepted=choice.accepted)
        check_noise(choice.noise, ascent.noise, step=str(self.step))
        ascent = replace(ascent, noise=choice.noise)
        return ascent, choice.place, self.places.features(choice.place)

    def _after(self, sums: BoundSums, *, accepted: bool) -> Ascent:
        if self.ascent is None:
            return Ascent.begun(self.places, sums)
        return self.ascent.after(self.x, sums, accepted=accepted)

    @property
    def _layout(self) -> Layout:
        size, outputs = self.places.belief.mean.shape
        inputs = self.places.start.landmarks.shape[1]
        return sums_told(size, inputs, outputs, self.places.kind)
