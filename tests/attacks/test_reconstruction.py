"""Rows from statistics: it works on a site's own, which is why they never travel alone; and it
fails on everything that a parent, a root or a member is given in a run of the whole program.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    Task,
)
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.features.nystrom import Features
from edge_node.inference.messages.statistics import Statistics
from edge_node.model.model import Model
from edge_node.network.wire.fixed_point import decode_wide, from_bytes
from edge_node.network.wire.operation import parse_record
from edge_node.network.wire.segments import CHECK_LIMBS
from edge_node.program import infer
from edge_node.security.masks import PairwiseMasks
from edge_node.security.pki.authority import Authority
from tests.attacks.eavesdropping import Heard, listening
from tests.attacks.reconstruction import distances, invert_one_row, rows_in_span, targets_of
from tests.inference.problems import features_on, normal, statistics_of
from tests.support.mesh import Mesh, Sized

VICTIM = "c"
FEW = 4  # rows of the victim
CHAIN = {"a": "", "b": "a", "c": "b"}
STEP = "statistics/0"
ROWS = {"a": 200, "b": 200, VICTIM: FEW}

RECOVERED = 1e-3
"""Nearer than this, in standard deviations, a row counts as found. A guess at random is so near to
one of four rows in three dimensions once in ten million times."""


@pytest.fixture(scope="module")
def features() -> Features:
    """A public feature map of 25 landmarks in three dimensions."""
    return features_on(normal(0, 25, 3))


def test_one_rows_statistics_are_the_row(features: Features) -> None:
    """Kernel values give inner products, and these the row, to eight digits; and its target."""
    for seed in range(5):
        X, y = normal(seed, 1, 3), normal(100 + seed, 1)
        x, target = invert_one_row(statistics_of([(X, y)], features), features)
        np.testing.assert_allclose(x, X[0], rtol=1e-6, atol=1e-7)
        assert target == pytest.approx(float(y[0]), rel=1e-8)


@pytest.mark.parametrize("rows", [2, FEW, 8])
def test_a_few_rows_statistics_are_the_rows(features: Features, rows: int) -> None:
    """Their span gives them away, all of them, with their targets."""
    X, y = normal(1, rows, 3), normal(2, rows)
    statistics = statistics_of([(X, y)], features)
    found = rows_in_span(statistics, features, rows, normal(3, 40, 3))
    assert distances(X, found).max() < 1e-5
    nearest = np.linalg.norm(X[:, None] - found[None], axis=2).argmin(axis=1)
    np.testing.assert_allclose(targets_of(statistics, features, found)[nearest], y, atol=1e-3)


def test_many_rows_statistics_are_no_row(features: Features) -> None:
    """More rows than landmarks span everything: the same search finds nobody."""
    X, y = normal(1, 200, 3), normal(2, 200)
    found = rows_in_span(statistics_of([(X, y)], features), features, 24, normal(3, 24, 3))
    assert distances(X, found).min() > RECOVERED


@dataclass(frozen=True)
class Run:
    """A run of the whole program, and what it told a curious party.

    Attributes:
        heard: every message on every edge, as the parents read them.
        model: the model that all share.
        encoded: each node's rows (n, d) and targets (n,), as they were encoded.
    """

    heard: list[Heard]
    model: Model
    encoded: dict[str, tuple[Matrix, Vector]]

    @property
    def features(self) -> Features:
        """The public feature map."""
        return self.model.posterior.features

    @property
    def victim(self) -> Matrix:
        """The rows that are looked for."""
        return self.encoded[VICTIM][0]

    @property
    def total(self) -> Vector:
        """What all nodes know in the end."""
        (record,) = {h.answer for h in self.heard if h.operation.step == STEP}
        return numbers(parse_record(record, where="test").payload)

    def masked(self, child: str) -> Vector:
        """What the child's parent was handed, read as if it were not masked."""
        (payload,) = {h.payload for h in self.at(STEP) if h.child == child}
        return numbers(payload)

    def at(self, step: str) -> Iterator[Heard]:
        """The messages of a step."""
        return (each for each in self.heard if each.operation.step == step)

    def own(self, node: str) -> Vector:
        """What a node knows of itself: its contribution."""
        return statistics_of([self.encoded[node]], self.features).pack()

    def attack(self, vector: Vector) -> Matrix:
        """What both attacks make of a vector that is taken for the victim's statistics."""
        scaled = np.clip(np.nan_to_num(vector), -1e150, 1e150)
        statistics = Statistics.unpack(scaled, len(self.features.landmarks))
        starts = np.concatenate([normal(3, 30, 3), self.features.landmarks])
        found = rows_in_span(statistics, self.features, FEW, starts)
        exact, _ = invert_one_row(statistics, self.features)
        return np.vstack([found, exact])


def numbers(words: bytes) -> Vector:
    """The numbers that wide words stand for, without the check word."""
    limbs = from_bytes(words)[:-CHECK_LIMBS]
    vector = np.empty(len(limbs) // 2)
    decode_wide(limbs, vector)
    return vector


def run_program(directory: Path) -> Run:
    """Three nodes over mutual TLS, the victim with a few rows at the end of the chain."""
    spec = FederationSpec(
        name="curious",
        data=DataSpec(
            task=Task.REGRESSION, target="y", columns=tuple(Column(name=name) for name in "pqr")
        ),
        model=ModelSpec(
            kernels=(KernelKind.NTK,),
            landmarks=25,
            depths=(2,),
            biases=(1.0,),
            landmark_kinds=(LandmarkKind.GAUSSIAN,),
            metric_repetitions=0,
        ),
        most_told=1e6,
    )
    sources = {}
    for node, rows in ROWS.items():
        X = normal(ord(node), rows, 3)
        y = np.sin(2 * X[:, 0]) + 0.1 * normal(7, rows)
        sources[node] = MemorySource((Batch(X, np.empty((rows, 0), dtype=object), y),))
    heard: list[Heard] = []

    async def everybody() -> Model:
        async with Mesh(Authority.create(directory / "ca", "curious"), directory / "nodes") as mesh:
            await mesh.start(CHAIN, link_types=dict.fromkeys(CHAIN, listening(heard)))
            for node, peer in mesh.peers.items():
                peer.guard = Sized(ROWS[node])
            mesh.offer(mesh.plan(1, CHAIN))
            runs = (infer(peer.network(), sources[n], spec) for n, peer in mesh.peers.items())
            return (await asyncio.gather(*runs))[0]

    model = asyncio.run(everybody())
    encoded = {}
    for node, source in sources.items():
        ((X, y),) = EncodedRows(source, model.encoder)
        encoded[node] = X, y
    return Run(heard, model, encoded)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run, for all who are curious about it."""
    return run_program(tmp_path_factory.mktemp("run"))


VANTAGE: dict[str, Callable[[Run], Vector]] = {
    "the parent, from its child's words": lambda run: run.masked("c"),
    "the root, from its child's subtree": lambda run: run.masked("b"),
    "the root, less what its child sent up": lambda run: run.masked("b") - run.masked("c"),
    "anybody, from the total": lambda run: run.total,
    "a member, from the total without its own": lambda run: run.total - run.own("a"),
    "the parent, from the total without its own": lambda run: run.total - run.own("b"),
}


@pytest.mark.parametrize("vantage", VANTAGE.values(), ids=VANTAGE)
def test_nothing_that_one_party_knows_gives_a_row(
    run: Run, vantage: Callable[[Run], Vector]
) -> None:
    """Both attacks only guess: no guess is nearer to a row than by chance."""
    assert distances(run.victim, run.attack(vantage(run))).min() > RECOVERED


def test_a_member_learns_the_sum_of_the_others_and_no_more(run: Run) -> None:
    """The total less its own part is, to rounding, the sum of the two others' parts."""
    others = run.own("b") + run.own("c")
    np.testing.assert_allclose(run.total - run.own("a"), others, atol=1e-9 * np.abs(others).max())
    assert not np.allclose(run.total - run.own("a"), run.own("c"), rtol=0.1)


def test_all_members_but_one_learn_its_rows(run: Run) -> None:
    """The stated limit: together, the others have the last one's statistics, and so its rows."""
    alone = run.total - run.own("a") - run.own("b")
    assert distances(run.victim, run.attack(alone)).max() < RECOVERED


def test_without_masks_the_parent_learns_its_childs_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same attack, from the same place, and it is masks that stop it."""
    monkeypatch.setattr(PairwiseMasks, "mask", lambda _self, words, *_: words)
    bare = run_program(tmp_path)
    assert distances(bare.victim, bare.attack(bare.masked("c"))).max() < RECOVERED
