"""Moves go uphill and stay near their best place; what is dropped only teaches."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import KernelKind
from edge_node.inference.features.metric import MetricKind, metric_from
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.evidence import best_evidence
from edge_node.inference.messages.moves import Ascent, Places
from edge_node.inference.messages.uncollapsed import Belief, BoundSums, local_bound
from tests.inference.problems import NTK, normal, regression, statistics_of

METRIC = metric_from(np.diag([3.0, 1.0, 1.0]))
KINDS = pytest.mark.parametrize("kind", [None, *MetricKind])


def started(kind: MetricKind | None, rows: int = 300) -> tuple[Places, Matrix, Vector]:
    """Twelve landmarks, and what eight others say of the rows."""
    X, y = regression(0, rows=rows)
    T = None if kind is None else METRIC
    coarse, features = (
        Features.build(NTK, Z if T is None else Z @ T.T, T)
        for Z in (normal(3, 8, 3), normal(4, 12, 3))
    )
    statistics = statistics_of([(X, y)], coarse)
    belief = Belief.foreseen(features, coarse, statistics, best_evidence(statistics))
    return Places(features, belief, kind, rows, 4.0), X, y


def at(places: Places, x: Vector, X: Matrix, y: Vector) -> BoundSums:
    """The rows' sums at a place."""
    return local_bound([(X, y)], places.features(x), places.belief, places.mean(x), places.kind)


def climbed(kind: MetricKind | None, moves: int, rows: int = 300) -> list[Ascent]:
    """What is known after each place."""
    places, X, y = started(kind, rows)
    found = [Ascent.begun(places, at(places, places.first, X, y))]
    for _ in range(moves):
        x = found[-1].proposed()
        sums = at(places, x, X, y)
        found.append(found[-1].after(x, sums, accepted=found[-1].rises(x, sums)))
    return found


@KINDS
def test_the_bound_rises_and_so_does_the_collapsed_one(kind: MetricKind | None) -> None:
    """The uncollapsed bound is held up by the collapsed one, which is what counts."""
    found = climbed(kind, 15)
    bounds = [each.bound for each in found]
    assert bounds == sorted(bounds)
    assert bounds[-1] > bounds[0] + 5
    places, X, y = started(kind)
    before, after = (
        best_evidence(statistics_of([(X, y)], places.features(x))).log_evidence
        for x in (places.first, found[-1].best)
    )
    assert after > before + 5
    assert after > bounds[-1]
    assert found[-1].noise < found[0].noise


def test_the_metric_moves_only_where_it_may() -> None:
    """All of it, its diagonal, or nothing."""
    for kind in (None, *MetricKind):
        places, *_ = started(kind)
        T = places.features(climbed(kind, 6)[-1].best).metric
        if kind is None:
            assert T is None
            continue
        assert T is not None
        assert np.abs(T - METRIC).max() > 1e-4
        off = np.abs(T - np.diag(np.diag(T))).max()
        assert (off > 1e-4) == (kind is MetricKind.FULL)


@KINDS
def test_the_gradient_is_that_of_the_bound_in_x(kind: MetricKind | None) -> None:
    """In a random direction, away from the start."""
    places, X, y = started(kind)
    way = normal(5, len(places.first)) * places.curvature**-0.5
    x = places.first + 0.3 * way

    def bound(t: float) -> float:
        return places.read(x + t * way, at(places, x + t * way, X, y))[0]

    _, gradient = places.read(x, at(places, x, X, y))
    rise = (bound(1e-4) - bound(-1e-4)) / 2e-4
    assert float(gradient @ way) == pytest.approx(rise, rel=1e-5, abs=1e-5)


def test_a_place_that_is_dropped_teaches_and_shortens_the_step() -> None:
    """The best stays; the next proposal is another one, and nearer."""
    places, X, y = started(MetricKind.FULL)
    begun = Ascent.begun(places, at(places, places.first, X, y))
    x = begun.best - 3 * (begun.proposed() - begun.best)
    sums = at(places, x, X, y)
    assert not begun.rises(x, sums)
    dropped = begun.after(x, sums, accepted=False)
    assert np.array_equal(dropped.best, begun.best)
    assert (dropped.bound, dropped.noise) == (begun.bound, begun.noise)
    assert dropped.share < begun.share
    assert not np.array_equal(dropped.proposed(), begun.proposed())


def test_no_landmark_goes_further_than_a_steps_reach() -> None:
    """Even where the gradient is steep; without the limit it would."""
    places, X, y = started(MetricKind.FULL)
    ascent = Ascent.begun(places, at(places, places.first, X, 30 * y))
    free = ascent.best + ascent.secants.solve(ascent.gradient, 1e-9)
    assert places.farthest(ascent.best, free) > 1.5
    assert places.farthest(ascent.best, ascent.proposed()) <= 1 + 1e-9


def test_landmarks_stay_independent() -> None:
    """A step that would put one on another is shortened."""
    kernel = StationaryKernel(KernelKind.RBF)
    Z = normal(6, 4, 2)
    features = Features.build(kernel, Z)
    belief = Belief(np.zeros((4, 1)), np.eye(4), 0.1, 1.0)
    places = Places(features, belief, None, 100, 4.0)
    onto = np.concatenate([np.zeros(4), np.vstack([Z[1], Z[1:]]).ravel()])
    assert not places.independent(onto)
    assert places.independent(places.first)


def test_bounds_of_fewer_rows_compare() -> None:
    """Where a node was lost in between, the same rows, half as many, are no worse."""
    places, X, y = started(MetricKind.FULL)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    doubled = Places(places.start, places.belief, places.kind, 2 * len(X), 4.0)
    one, _ = doubled.read(places.first, at(places, places.first, X, y))
    two, _ = doubled.read(places.first, at(places, places.first, *twice))
    assert one == pytest.approx(two, rel=0.1)
