"""The whole program over real connections, with all that is sent caught: no row is in it.

Distinctive numbers and a rare category stand in one node's file. Everything handed to gRPC is
searched for them, for every row's raw and standardised values, and for every vector that a node
contributed. The totals must be found there: that shows that the search finds what is sent.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Column, ColumnKind, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import FileSource, open_source
from edge_node.model.model import Model
from edge_node.network.wire.fixed_point import Limbs
from edge_node.program import infer
from edge_node.security.masks import PairwiseMasks
from edge_node.security.pki.authority import Authority
from tests.support.mesh import Mesh, Sized
from tests.support.networks import Recording
from tests.support.words import wide_words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NUMBERS = (31415.926535897, -27.1828182845904, 0.00141421356237)
RARE = "Quetzalcoatlus-7"
LOW_HALF = np.uint64(0xFFFFFFFF)
CHAIN = {"a": "", "b": "a", "c": "b"}
STAR = {"a": "", "b": "a", "c": "a"}
COLUMNS = ("systolic", "glucose", "creatinine")


def spec_for(task: Task) -> FederationSpec:
    """Three numbers and a category."""
    numeric = tuple(Column(name=name) for name in COLUMNS)
    data = DataSpec(
        task=task,
        target="outcome",
        columns=(*numeric, Column(name="ward", kind=ColumnKind.CATEGORICAL)),
        classes=("ill", "well") if task is Task.CLASSIFICATION else (),
    )
    model = ModelSpec(landmarks=20, depths=(1, 2))
    return FederationSpec(name="canaries", data=data, model=model, most_told=1e6)


def write_rows(path: Path, node: str, task: Task) -> Path:
    """Sixty rows; b's file has the canaries in its seventh."""
    random = np.random.default_rng(ord(node))
    lines = [",".join((*COLUMNS, "ward", "outcome"))]
    for i in range(60):
        values = tuple(random.normal(size=3) * (1000.0, 10.0, 0.001) + (9000.0, -5.0, 0.002))
        ward = str(random.choice(["north", "south"]))
        if node == "b" and i == 6:
            values, ward = NUMBERS, RARE
        score = values[0] / 1000 + values[1] + random.normal()
        outcome = repr(float(score)) if task is Task.REGRESSION else ("ill", "well")[int(score > 4)]
        lines.append(",".join((*(repr(float(value)) for value in values), ward, outcome)))
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass(frozen=True)
class Catch:
    """What a run of the program sent, and what it must not have sent."""

    sent: bytes
    secrets: np.ndarray
    totals: np.ndarray
    model: Model


async def run_program(
    task: Task, parents: Mapping[str, str], directory: Path, wire: list[bytes]
) -> Catch:
    """Three nodes, from their files to the posterior."""
    spec = spec_for(task)
    files = {node: write_rows(directory / f"{node}.csv", node, task) for node in parents}
    sources = {node: open_source(file, spec.data) for node, file in files.items()}
    authority = Authority.create(directory / "ca", "canaries")
    async with Mesh(authority, directory / "peers") as mesh:
        await mesh.start(parents)
        for peer in mesh.peers.values():
            peer.guard = Sized(60)
        mesh.offer(mesh.plan(1, parents))
        views = {node: Recording(peer.network()) for node, peer in mesh.peers.items()}
        models = await asyncio.gather(*(infer(views[n], sources[n], spec) for n in parents))
    first = next(iter(views.values()))
    summed = [
        reduce(segments.add, (view.words[step][1] for view in views.values()))
        for step, (segments, _) in first.words.items()
    ]
    totals = distinctive(np.concatenate(summed))
    words = [words for view in views.values() for _, words in view.words.values()]
    given = np.concatenate(
        [*(patterns(view.contributed) for view in views.values()), *map(distinctive, words)]
    )
    given = given[~are_in(given, np.sort(totals))]  # where one node has all rows of a landmark
    rows = [patterns(x) for source in sources.values() for x in rows_of(source, models[0])]
    return Catch(b"\n".join(wire), np.concatenate([given, *rows]), totals, models[0])


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
@pytest.mark.parametrize("parents", [CHAIN, STAR], ids=["chain", "star"])
async def test_no_row_is_in_anything_that_is_sent(
    tmp_path: Path, wire: list[bytes], task: Task, parents: Mapping[str, str]
) -> None:
    """Not as text, not as floats, not as fixed-point words; raw, standardised or summed up."""
    catch = await run_program(task, parents, tmp_path, wire)
    for text in (RARE, *map(repr, NUMBERS)):
        assert text.encode() not in catch.sent
    (ward,) = catch.model.encoder.categorical
    assert set(ward.labels) <= {"north", "south"}
    seen = windows(catch.sent)
    assert len(catch.totals) > 1000
    assert are_in(catch.totals, seen).all()  # they are sent: the search finds what is there
    assert len(catch.secrets) > 10_000
    assert not are_in(catch.secrets, seen).any()


async def test_without_masks_the_search_finds_what_a_leaf_contributed(
    tmp_path: Path, wire: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is the masks that hide it, and the search that would tell."""
    monkeypatch.setattr(PairwiseMasks, "mask", lambda _self, words, *_: words)
    catch = await run_program(Task.REGRESSION, CHAIN, tmp_path, wire)
    assert are_in(catch.secrets, windows(catch.sent)).sum() > 1000


def rows_of(source: FileSource, model: Model) -> Iterator[Vector]:
    """A file's numbers, raw and standardised."""
    for batch in source.batches():
        yield batch.numeric.ravel()
        yield model.encoder.encode(batch).ravel()


def patterns(values: Vector) -> np.ndarray:
    """Eight bytes each, as uint64: low limbs of words of both signs, and floats in both orders.

    Numbers with few significant bits (counts, zeros) are left out: they are everywhere.
    """
    found = values[(values.view(np.uint64) & LOW_HALF != 0) & (np.abs(values) > 2.0**-20)]
    signed = np.concatenate([found, -found])
    floats = [signed.astype(order).view("<u8") for order in ("<f8", ">f8")]
    return np.concatenate([distinctive(wide_words(signed)), *floats])


def distinctive(words: Limbs) -> np.ndarray:
    """The limbs of words, except those with few significant bits."""
    high = words >> np.uint64(32)
    return words[(words & LOW_HALF != 0) & (high != 0) & (high != LOW_HALF)]


def windows(content: bytes) -> np.ndarray:
    """All runs of eight bytes, as uint64, ascending."""
    size = len(content)
    runs = [
        np.frombuffer(content[start : start + (size - start) // 8 * 8], dtype="<u8")
        for start in range(8)
    ]
    return np.sort(np.concatenate(runs))


def are_in(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Which of some values are there: as `numpy.isin`, which takes ten times as long."""
    places = np.searchsorted(ascending, values)
    return ascending[np.minimum(places, len(ascending) - 1)] == values
