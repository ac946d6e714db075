"""A root that chooses what can't be chosen: every node reads a choice before it uses it.

The root's program is honest; its bytes are changed on the way to the others, as it would itself,
or as any parent could.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Unpack

import msgspec
import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, Likelihood, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import NetworkError, TangentMeshError
from edge_node.network.base import Network, NetworkLayer, Terms
from edge_node.network.decision import chosen
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.step import Step

Lie = Callable[[bytes], bytes]

NAN = float("nan")


class LyingRoot(NetworkLayer):
    """A network over which one choice arrives as another."""

    def __init__(self, network: Network, step: str, lie: Lie) -> None:
        super().__init__(network)
        self._step = step
        self._lie = lie
        self.lied = False

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's, but for the lie."""
        if step.name == self._step:
            honest = terms["choose"]

            def choose(total: Vector) -> bytes:
                self.lied = True
                return self._lie(honest(total))

            terms["choose"] = choose
        return await super().sum(step, vector, **terms)


def spec_for(task: Task, names: str = "abc", **settings: object) -> FederationSpec:
    """A small model that takes every kind of choice, but for what ``settings`` add."""
    columns = tuple(Column(name=name) for name in names)
    classes = ("no", "yes") if task is Task.CLASSIFICATION else ()
    data = DataSpec(task=task, target="y", columns=columns, classes=classes)
    model = ModelSpec(landmarks=12, depths=(1,), min_rows_per_landmark=5, **settings)
    return FederationSpec(name="lies", data=data, model=model)


def learn(task: Task, step: str = "", lie: Lie = bytes, **settings: object) -> list[object]:
    """What becomes of each of three nodes; the first by name is the root."""
    spec, random, sources = spec_for(task, **settings), np.random.default_rng(1), {}
    for node in "abc":
        X = random.normal(size=(60, len(spec.data.columns)))
        y = np.sin(2 * X[:, 0]) + 0.2 * random.normal(size=60)
        y = y if task is Task.REGRESSION else (y > 0).astype(float)
        sources[node] = MemorySource((Batch(X, np.empty((60, 0), dtype=object), y),))
    federation = MemoryFederation(list(sources))
    views = {node: LyingRoot(federation.network(node), step, lie) for node in sources}

    async def everybody() -> list[object]:
        runs = (infer(view, sources[node], spec) for node, view in views.items())
        return await asyncio.gather(*runs, return_exceptions=True)

    outcomes = asyncio.run(everybody())
    assert views["a"].lied or not step
    return outcomes


def json_lie(change: Callable[[Any], Any]) -> Lie:
    """A lie told of the choice's JSON."""
    return lambda content: msgspec.json.encode(change(msgspec.json.decode(content)))


def numbers_lie(place: int, value: float) -> Lie:
    """A lie told of one of the choice's numbers."""

    def lie(content: bytes) -> bytes:
        numbers = np.frombuffer(content).copy()
        numbers[place] = value
        return numbers.tobytes()

    return lie


def metric_lie(lie: Lie = bytes, **changes: object) -> Lie:
    """A lie told of a metric, or of what comes with it."""

    def told(content: bytes) -> bytes:
        choice = msgspec.msgpack.decode(content)
        return msgspec.msgpack.encode(choice | {"metric": lie(choice["metric"])} | changes)

    return told


def first(**changes: float) -> Lie:
    """A lie told of the first evidence."""
    return json_lie(lambda evidences: [evidences[0] | changes, *evidences[1:]])


REGRESSION = {
    "landmarks-that-are-none": ("spread", json_lie(lambda each: [[0, 999], *each[1:]])),
    "landmarks-from-behind": ("spread", json_lie(lambda each: [[-1], *each[1:]])),
    "landmarks-twice": ("spread", json_lie(lambda each: [[1, 1, 2], *each[1:]])),
    "no-landmark": ("spread", json_lie(lambda each: [[], *each[1:]])),
    "a-candidate-less": ("spread", json_lie(lambda each: each[1:])),
    "no-json": ("statistics/0", lambda content: content[:-1]),
    "an-evidence-less": ("statistics/0", json_lie(lambda each: each[1:])),
    "negative-noise": ("statistics/0", first(noise=-1.0)),
    "noise-out-of-range": ("statistics/0", first(noise=1e30)),
    "nan-noise": ("statistics/0", first(noise=NAN)),
    "negative-amplitude": ("statistics/0", first(amplitude=-2.0)),
    "another-field": ("statistics/0", first(trust=1.0)),
    "a-metric-with-nan": ("gradients/1", metric_lie(numbers_lie(0, NAN))),
    "a-metric-without-bounds": ("gradients/1", metric_lie(numbers_lie(0, 1e9))),
    "a-skew-metric": ("gradients/1", metric_lie(numbers_lie(1, 0.25))),
    "a-short-metric": ("gradients/1", metric_lie(lambda content: content[:-8])),
    "no-landmark-under-a-metric": ("gradients/1", metric_lie(bases=[[], [0]])),
    "a-basis-less-under-a-metric": ("gradients/1", metric_lie(bases=[[0]])),
    "no-landmark-among-centroids": ("kmeans/0", json_lie(lambda _: [[]])),
    "half-a-message": ("gradients/1", lambda content: content[:9]),
    "a-noise-that-was-not-tried": ("posterior", first(noise=0.123)),
    "a-judgement-less": ("posterior", json_lie(lambda each: each[1:])),
}

CLASSIFICATION = {
    "nan-bound": ("newton/0", numbers_lie(2, NAN)),
    "no-bound": ("newton/1", numbers_lie(2, -np.inf)),
    "negative-amplitude": ("newton/1", numbers_lie(3, -1.0)),
    "endless-amplitude": ("newton/0", numbers_lie(3, np.inf)),
    "neither-yes-nor-no": ("newton/1", numbers_lie(0, 0.5)),
    "short": ("newton/0", lambda content: content[:-8]),
}


def kept_lie(kept: object = (), bases: bytes | None = None) -> Lie:
    """A lie told of the inputs that matter, or of the landmarks that come with them."""

    def told(content: bytes) -> bytes:
        _, honest = msgspec.msgpack.decode(content)
        return msgspec.msgpack.encode((kept, honest if bases is None else bases))

    return told


SCREENED = {
    "an-input-that-is-none": kept_lie((0, 99)),
    "inputs-from-behind": kept_lie((-1, 3)),
    "inputs-twice": kept_lie((1, 1)),
    "half-an-input": kept_lie((0.5,)),
    "inputs-without-their-landmarks": kept_lie((1, 2), b"[[0]]"),
    "no-pair": lambda content: content[:-1],
}


@pytest.mark.parametrize("lie", SCREENED.values(), ids=SCREENED)
def test_inputs_that_can_not_be_kept_are_refused(lie: Lie) -> None:
    """At every node, in the step in which they were told."""
    assert_refused(learn(Task.REGRESSION, "screen", lie, names="abcdefghijkl"), "screen")


def cleaning_lie(**changes: object) -> Lie:
    """A lie told of what follows from cleaned targets."""
    return json_lie(lambda choice: choice | changes)


MEAN, LANDMARK, METRIC = 2, 2 + 12, -1  # of a move: after accepted and noise, in 12 features

MOVES = {
    "a-first-place-that-is-none": ("moves/0", numbers_lie(0, 0.0)),
    "a-noise-of-nothing": ("moves/0", numbers_lie(1, 1e-300)),
    "a-noise-of-other-sums": ("moves/1", numbers_lie(1, 123.0)),
    "a-mean-beyond-all-targets": ("moves/0", numbers_lie(MEAN, 1e8)),
    "a-landmark-far-away": ("moves/0", numbers_lie(LANDMARK, 40.0)),
    "a-metric-of-short-sight": ("moves/0", numbers_lie(METRIC, 100.0)),
    "an-endless-metric": ("moves/1", numbers_lie(METRIC, 1e300)),
    "half-a-place": ("moves/1", lambda content: content[:-8]),
    "a-scale-of-nothing": ("residuals", lambda _: b"1e-200"),
    "a-scale-beyond-all-residuals": ("residuals", lambda _: b"1e9"),
    "no-scale": ("residuals", lambda _: b'"none"'),
    "a-scale-of-few-rows": ("cleaned/1", cleaning_lie(scale=1e-9)),
    "another-field-of-cleaning": ("cleaned/2", cleaning_lie(trust=1.0)),
    "a-last-scale-of-nothing": ("residuals/posterior", lambda _: b"1e-200"),
}
ROBUST = {"move_landmarks": 3, "metric_repetitions": 1, "likelihood": Likelihood.STUDENT_T}


@pytest.mark.parametrize(("step", "lie"), MOVES.values(), ids=MOVES)
def test_a_regression_with_outliers_that_moves_landmarks_refuses_the_choice(
    step: str, lie: Lie
) -> None:
    """Each of them would single rows out, or overflow."""
    assert_refused(learn(Task.REGRESSION, step, lie, **ROBUST), step)


def test_the_same_moves_and_scales_untouched_are_used() -> None:
    """The control."""
    outcomes = learn(Task.REGRESSION, **ROBUST)
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


@pytest.mark.parametrize(("step", "lie"), REGRESSION.values(), ids=REGRESSION)
def test_a_regression_refuses_the_choice(step: str, lie: Lie) -> None:
    """At every node, in the step in which it was told, and without a value of anybody's row."""
    assert_refused(learn(Task.REGRESSION, step, lie), step)


@pytest.mark.parametrize(("step", "lie"), CLASSIFICATION.values(), ids=CLASSIFICATION)
def test_a_classification_refuses_the_choice(step: str, lie: Lie) -> None:
    """At every node, in the step in which it was told."""
    assert_refused(learn(Task.CLASSIFICATION, step, lie), step)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_the_same_choices_untouched_are_used(task: Task) -> None:
    """The control: what is refused above is refused because of the lie."""
    assert not [outcome for outcome in learn(task) if isinstance(outcome, BaseException)]


def test_a_bad_choice_that_is_possible_is_followed() -> None:
    """The limit of the defence: a root can take a worse candidate's evidence for the best."""
    outcomes = learn(Task.REGRESSION, "statistics/0", first(log_evidence=1e9))
    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


SHAPES: dict[str, tuple[object, str]] = {
    "no-message": (7, "the root's decision can't be read"),
    "no-such-error": ({"error": "__builtins__", "facts": {"problem": "boo"}}, "boo"),
    "an-error-of-python": ({"error": "SystemExit"}, "the root failed"),
    "facts-that-are-none": ({"error": "DataError", "facts": {"args": "x"}}, "the root failed"),
}


@pytest.mark.parametrize(("told", "reason"), SHAPES.values(), ids=SHAPES)
def test_a_choice_or_error_of_another_shape_is_refused(told: object, reason: str) -> None:
    """It ends the run of whoever reads it, and not its process."""
    with pytest.raises(TangentMeshError, match=reason):
        chosen(msgspec.msgpack.encode(told))


def assert_refused(outcomes: list[object], step: str) -> None:
    """By everybody, with the reason."""
    for outcome in outcomes:
        assert isinstance(outcome, NetworkError)
        assert f"step {step}: the root's choice can't be used" in str(outcome)
