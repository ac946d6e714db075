"""The data sets of docs/model.md's tables, with the splits that their literature uses.

The files are not part of the project (``--data`` says where they are). Each is a gzip CSV.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.data.sources.source import Batch
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import Dataset
from edge_node.errors import DataError

__all__ = ["COLLECTIONS", "Problem", "Split", "batch_of", "load", "take"]

Indices = NDArray[np.intp]

_REGRESSION = [
    "airfoil",
    "bike",
    "concrete",
    "elevators",
    "energy",
    "keggdirected",
    "kin40k",
    "parkinsons",
    "pol",
    "protein",
    "wine",
    "yacht",
]
_CLASSIFICATION = [
    "balance-scale",
    "blood",
    "conn-bench-sonar-mines-rocks",
    "ecoli",
    "glass",
    "ionosphere",
    "parkinsons",
    "seeds",
]


@dataclass(frozen=True)
class Split:
    """The rows to learn from, and the rows to judge predictions by."""

    name: str
    train: Indices
    test: Indices


@dataclass(frozen=True)
class Problem:
    """Rows and splits; ``sites`` (n,), if the rows have natural ones."""

    name: str
    data: DataSpec
    batch: Batch
    splits: tuple[Split, ...]
    sites: NDArray[np.object_] | None = None


def load(name: str, folder: Path) -> Problem:
    """Read a data set by name. Raises DataError: not there, or no such set."""
    if name not in COLLECTIONS:
        raise DataError("no such data set", expected=", ".join(COLLECTIONS), found=name)
    return COLLECTIONS[name](folder)


def take(batch: Batch, rows: Indices) -> Batch:
    """Some of a batch's rows."""
    target = None if batch.target is None else batch.target[rows]
    return Batch(batch.numeric[rows], batch.categorical[rows], target)


def _regression(name: str, folder: Path) -> Problem:
    """Ten 90/10 splits: the test rows of split k are those with fold = k."""
    path = folder / "uci_regression" / f"{name}.csv.gz"
    raw = load_csv(path, "fold", task=Task.REGRESSION)
    target = raw.table.column_names[-2]  # fold is the last
    dataset = load_csv(path, target, task=Task.REGRESSION, ignore=("fold",))
    fold = raw.table["fold"].to_numpy()
    splits = tuple(
        Split(f"fold {k}", np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(10)
    )
    return Problem(name, dataset.data, batch_of(dataset), splits)


def _classification(name: str, folder: Path) -> Problem:
    """The four train/test splits of Fernandez-Delgado et al. (2014): columns cv1 to cv4."""
    path = folder / "uci_classification" / f"{name}.csv.gz"
    parts = ("tune", "cv1", "cv2", "cv3", "cv4")
    dataset = load_csv(path, "class", task=Task.CLASSIFICATION, ignore=parts)
    raw = load_csv(path, "class", task=Task.CLASSIFICATION)
    splits = tuple(
        Split(cv, _where(raw.table[cv], "train"), _where(raw.table[cv], "test")) for cv in parts[1:]
    )
    return Problem(name, dataset.data, batch_of(dataset), splits)


def _beijing(folder: Path) -> Problem:
    """Twelve stations' PM2.5 from weather and gases, without PM10; the last year is the test, or
    one of the two years before it, learnt from what is earlier.
    """
    dataset = load_csv(
        folder / "beijing_air_quality_12_stations.csv.gz",
        "pm25_ug_m3",
        site_column="site",
        ignore=("pm10_ug_m3",),
    )
    year, month, day, hour = (
        dataset.table[name].to_numpy() for name in ("year", "month", "day", "hour")
    )
    hours = 24 * (31 * (12 * year + month) + day) + hour
    begun = (12 * year + month - 3) // 12  # the year from March on
    years = {"last year": 2016, "year before": 2015, "second year": 2014}
    splits = [_later(name, hours, begun < first, begun == first) for name, first in years.items()]
    return _with_sites("beijing", dataset, splits)


def _patients(folder: Path) -> Problem:
    """42 patients' UPDRS from voice recordings at home; each one's last quarter is the test, or an
    earlier one, learnt from what is before it.
    """
    dataset = load_csv(
        folder / "parkinsons_telemonitoring_patients.csv.gz",
        "total_updrs",
        site_column="site",
        ignore=("motor_updrs",),
    )
    sites, days = _sites(dataset), dataset.table["days_since_recruitment"].to_numpy()
    quarter = np.zeros(len(days), dtype=int)
    for site in np.unique(sites):
        own = sites == site
        quarter[own] = np.searchsorted(np.quantile(days[own], (0.25, 0.5, 0.75)), days[own])
    quarters = {"last quarter": 3, "third quarter": 2, "second quarter": 1}
    splits = [_later(name, days, quarter < k, quarter == k) for name, k in quarters.items()]
    return _with_sites("parkinsons-patients", dataset, splits)


def _later(
    name: str, time: NDArray[Any], early: NDArray[np.bool_], late: NDArray[np.bool_]
) -> Split:
    """Later rows are predicted. Earlier ones come as a node reads them, the latest first."""
    rows = np.flatnonzero(early)
    return Split(name, rows[np.argsort(-time[rows], kind="stable")], np.flatnonzero(late))


def _with_sites(name: str, dataset: Dataset, splits: list[Split]) -> Problem:
    """Rows with sites, which are an input, too, like a site column; and a time."""
    sites, batch = _sites(dataset), batch_of(dataset)
    column = Column(name="site", kind=ColumnKind.CATEGORICAL)
    columns = (*dataset.data.columns, column)
    data = msgspec.structs.replace(dataset.data, columns=columns, time="time")
    labels = np.column_stack([batch.categorical, sites]).astype(object)
    return Problem(name, data, replace(batch, categorical=labels), tuple(splits), sites)


def batch_of(dataset: Dataset) -> Batch:
    """A table's columns as the program's arrays."""
    data, table = dataset.data, dataset.table
    names = {kind: [c.name for c in data.columns if c.kind is kind] for kind in ColumnKind}
    numeric = [pc.cast(table[name], pa.float64()) for name in names[ColumnKind.NUMERIC]]
    labels = [table[name].to_pylist() for name in names[ColumnKind.CATEGORICAL]]
    rows = table.num_rows
    target = table[data.target]
    if data.task is Task.CLASSIFICATION:
        classes = {label: i for i, label in enumerate(data.classes)}
        y = np.array([classes[label] for label in target.to_pylist()], dtype=np.float64)
    else:
        y = pc.cast(target, pa.float64()).to_numpy()
    return Batch(
        np.column_stack([np.empty((rows, 0)), *(column.to_numpy() for column in numeric)]),
        np.array(labels, dtype=object).reshape(len(labels), rows).T,
        y,
    )


def _sites(dataset: Dataset) -> NDArray[np.object_]:
    return np.array(dataset.table[dataset.site_column or ""].to_pylist(), dtype=object)


def _where(column: pa.ChunkedArray, value: str) -> Indices:
    return np.flatnonzero(np.array(column.to_pylist(), dtype=object) == value)


COLLECTIONS: Mapping[str, Callable[[Path], Problem]] = {
    **{name: partial(_regression, name) for name in _REGRESSION},
    **{
        f"{name}-classes" if name in _REGRESSION else name: partial(_classification, name)
        for name in _CLASSIFICATION
    },
    "beijing": _beijing,
    "parkinsons-patients": _patients,
}
