"""Which rows are learnt from, at which site, and which rows judge: a split of a set over sites.

Where rows have no sites of their own, they are spread over nodes that hold different regions of the
input space (``clustered``) or random shares (``iid``). A test row is asked of the site in whose
region it lies, or that it is from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import COLLECTIONS, Problem, Split, batch_of, take
from edge_node.config import FederationSpec, ModelSpec
from edge_node.data.sources.source import Batch
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import breast_cancer
from edge_node.errors import DataError

__all__ = ["SETS", "Case", "Setting", "case_of"]

_FEW, _MANY = 1000, 5000  # rows for up to 4 nodes, for up to 8; beyond, there are 16
_LONGEST = 125.0  # cycles: an engine's remaining life counts as this if it is longer

Labels = NDArray[np.object_]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a result depends on, besides its set, split and way."""

    rows: int = 0  # to learn from, at most, and as many to judge by; 0: all
    nodes: int = 0  # 0: by the number of rows
    spread: str = "clustered"
    model: ModelSpec = ModelSpec()
    most_told: float = 0.5  # numbers per cell

    @property
    def text(self) -> str:
        """What differs from the default, besides the number of rows."""
        usual, own = msgspec.to_builtins(Setting()), msgspec.to_builtins(self)
        for each in (usual, own):
            each.update(each.pop("model"), rows=0)
        differs = [f"{name} {own[name]}" for name in own if own[name] != usual[name]]
        return ", ".join(differs) or "default"


@dataclass(frozen=True)
class Case:
    """One split of one set over sites; ``owners`` (n,) are those of the training rows."""

    problem: Problem
    train: Batch
    test: Batch
    owners: Labels
    test_owners: Labels
    setting: Setting

    @property
    def spec(self) -> FederationSpec:
        """The federation's."""
        return FederationSpec(
            name=self.problem.name,
            data=self.problem.data,
            model=self.setting.model,
            minimum_rows=0,
            most_told=self.setting.most_told,
        )

    @property
    def parts(self) -> dict[str, Batch]:
        """Each site's training rows."""
        return {
            str(owner): take(self.train, np.flatnonzero(self.owners == owner))
            for owner in np.unique(self.owners)
        }


def case_of(name: str, data: Path, split: int, setting: Setting) -> Case:
    """A split of a set by its number. Raises DataError: no such set, or its file isn't there."""
    if name not in SETS:
        raise DataError("no such data set", expected=", ".join(SETS), found=name)
    problem = SETS[name](data)
    chosen = problem.splits[split]
    train, test = (_capped(rows, setting.rows) for rows in (chosen.train, chosen.test))
    owners, test_owners = _owners(problem, Split(chosen.name, train, test), setting)
    batches = take(problem.batch, train), take(problem.batch, test)
    return Case(problem, *batches, owners, test_owners, setting)


def _capped(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many of the rows, at random, in their order."""
    if not most or len(rows) <= most:
        return rows
    chosen = np.random.default_rng(0).choice(len(rows), most, replace=False)
    return rows[np.sort(chosen)]


def _owners(problem: Problem, split: Split, setting: Setting) -> tuple[Labels, Labels]:
    """The site of each training row, and of each test row."""
    if problem.sites is not None:
        return problem.sites[split.train], problem.sites[split.test]
    rows = len(split.train)
    nodes = setting.nodes or (4 if rows < _FEW else 8 if rows < _MANY else 16)
    if setting.spread == "iid":
        random = np.random.default_rng(0)
        labels = [random.integers(0, nodes, len(part)) for part in (split.train, split.test)]
    else:
        from sklearn.cluster import KMeans  # a second of import time

        X = np.nan_to_num(problem.batch.numeric)
        deviation = X[split.train].std(axis=0)
        X = (X - X[split.train].mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        means = KMeans(nodes, n_init=2, random_state=0).fit(X[split.train])
        labels = [means.labels_, means.predict(X[split.test])]
    train, test = (np.array([f"node-{i:02d}" for i in each], dtype=object) for each in labels)
    return train, test


def _hospitals(folder: Path) -> Problem:
    """Heart disease at four hospitals; the first split is FLamby's, others have the next seeds."""
    from benchmarks import hospitals  # which imports this package

    batch, sites, schema = hospitals.read_hospitals(folder, indicator=True)
    splits = tuple(
        _joined(
            f"seed {seed}",
            [
                hospitals.split_hospital(np.flatnonzero(sites == name), batch, seed)
                for name in dict.fromkeys(sites)
            ],
        )
        for seed in range(hospitals.SEED, hospitals.SEED + 3)
    )
    return Problem("hospitals", schema, batch, splits, sites)


def _joined(name: str, parts: list[tuple[NDArray[np.intp], NDArray[np.intp]]]) -> Split:
    train, test = zip(*parts, strict=True)
    return Split(name, np.concatenate(train), np.concatenate(test))


def _turbofan(folder: Path) -> Problem:
    """200 engines' remaining cycles, 125 at most; a fifth of the engines is never learnt from."""
    dataset = load_csv(
        folder / "turbofan_cmapss_fd001_engines.csv.gz",
        "remaining_cycles",
        site_column="site",
        ignore=("part",),
    )
    sites, batch = np.array(dataset.table["site"].to_pylist(), dtype=object), batch_of(dataset)
    engine = np.unique(sites, return_inverse=True)[1]
    splits = tuple(
        Split(f"engines {k}", np.flatnonzero(engine % 5 != k), np.flatnonzero(engine % 5 == k))
        for k in range(3)
    )
    assert batch.target is not None  # noqa: S101 - as read
    capped = replace(batch, target=np.minimum(batch.target, _LONGEST))
    return Problem("turbofan", dataset.data, capped, splits, sites)


def _breast_cancer(_: Path) -> Problem:
    """scikit-learn's 569 biopsies; three stratified splits, 75 to 25."""
    from sklearn.model_selection import train_test_split

    dataset = breast_cancer()
    batch = batch_of(dataset)
    y = batch.target
    rows = np.arange(len(batch))
    splits = tuple(
        Split(
            f"seed {seed}",
            *train_test_split(rows, test_size=0.25, random_state=seed, stratify=y),
        )
        for seed in range(3)
    )
    return Problem("breast-cancer", dataset.data, batch, splits)


SETS: Mapping[str, Callable[[Path], Problem]] = {
    **COLLECTIONS,
    "turbofan": _turbofan,
    "hospitals": _hospitals,
    "breast-cancer": _breast_cancer,
}
