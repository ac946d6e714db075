"""Which data the demonstration runs on, and how it is split over sites.

A data set is an Arrow table plus the schema a federation spec needs. Kinds are inferred from a
user's CSV file (numbers are numeric, text and booleans categorical); a real federation writes them
down.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from edge_node.config import Column, ColumnKind, DataSpec, Task
from edge_node.errors import ConfigurationError, DataError

__all__ = ["BUNDLED", "Dataset", "Site", "load_csv", "split"]

Labels: TypeAlias = NDArray[np.str_]

_MOST_CLASSES = 20  # an integer target with more distinct values than this is a quantity
_FEWEST_ROWS = 8  # per site of a clustered split: enough to hold some out


@dataclass(frozen=True)
class Dataset:
    """A table whose columns are the inputs, the target, and perhaps the site of each row."""

    name: str
    table: pa.Table
    data: DataSpec
    site_column: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """One site's share: what it learns from, and what it is tested on."""

    name: str
    train: pa.Table
    test: pa.Table


def breast_cancer() -> Dataset:
    """569 biopsies, 30 measurements of cell nuclei, malignant or benign (Wolberg et al. 1995)."""
    from sklearn.datasets import load_breast_cancer  # a second of import time

    bunch = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    labels = np.asarray(bunch.target_names)[bunch.target]
    table = pa.table({**dict(zip(names, bunch.data.T, strict=True)), "diagnosis": labels})
    data = DataSpec(
        task=Task.CLASSIFICATION,
        target="diagnosis",
        classes=("benign", "malignant"),
        columns=tuple(Column(name=name) for name in names),
    )
    return Dataset("breast-cancer", table, data)


def diabetes() -> Dataset:
    """442 diabetes patients, ten measurements, disease progression after a year (Efron 2004)."""
    from sklearn.datasets import load_diabetes  # a second of import time

    bunch = load_diabetes(scaled=False)
    names = [str(name) for name in bunch.feature_names]
    table = pa.table({**dict(zip(names, bunch.data.T, strict=True)), "progression": bunch.target})
    data = DataSpec(
        task=Task.REGRESSION,
        target="progression",
        columns=tuple(Column(name=name) for name in names),
    )
    return Dataset("diabetes", table, data)


BUNDLED: dict[str, Callable[[], Dataset]] = {"breast-cancer": breast_cancer, "diabetes": diabetes}


def load_csv(
    path: Path,
    target: str,
    *,
    site_column: str | None = None,
    task: Task | None = None,
    ignore: tuple[str, ...] = (),
) -> Dataset:
    """Read a user's CSV file (plain or gzip) and infer its schema; ``ignore`` names columns that
    are not used.

    Raises:
        DataError: unreadable, or a named column isn't in it.
    """
    try:
        table = pyarrow.csv.read_csv(
            path, convert_options=pyarrow.csv.ConvertOptions(strings_can_be_null=True)
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            "the file can't be read as CSV", where=str(path), found=str(error)
        ) from error
    for name in filter(None, (target, site_column, *ignore)):
        if name not in table.column_names:
            raise DataError(
                f"no column {name!r}", where=str(path), found=", ".join(table.column_names)
            )
    table = table.drop_columns(list(ignore))
    present = table.filter(pc.is_valid(table[target]))
    dropped = table.num_rows - present.num_rows
    notes = [f"{dropped} rows without a target were left out"] if dropped else []
    task = task or _infer_task(present[target])
    if task is Task.CLASSIFICATION:
        present = _replace(present, target, pc.cast(present[target], pa.string()))
    if site_column:
        present = _replace(present, site_column, pc.cast(present[site_column], pa.string()))
    present, columns, skipped = _infer_columns(present, {target, site_column or target})
    notes += [f"column {name!r} was left out: {why}" for name, why in skipped.items()]
    classes = (
        tuple(sorted(pc.unique(present[target]).to_pylist())) if task is Task.CLASSIFICATION else ()
    )
    data = DataSpec(task=task, target=target, columns=columns, classes=classes)
    return Dataset(path.name, present, data, site_column, tuple(notes))


def _infer_task(target: pa.ChunkedArray) -> Task:
    if pa.types.is_integer(target.type):
        many = pc.count_distinct(target).as_py() > _MOST_CLASSES
        return Task.REGRESSION if many else Task.CLASSIFICATION
    return Task.REGRESSION if pa.types.is_floating(target.type) else Task.CLASSIFICATION


def _infer_columns(
    table: pa.Table, others: set[str]
) -> tuple[pa.Table, tuple[Column, ...], dict[str, str]]:
    """Numbers stay, text and booleans become categories, the rest is left out with a reason."""
    columns, skipped = [], {}
    for field in table.schema:
        if field.name in others:
            continue
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            columns.append(Column(name=field.name))
        elif pa.types.is_string(field.type) or pa.types.is_boolean(field.type):
            table = _replace(table, field.name, pc.cast(table[field.name], pa.string()))
            columns.append(Column(name=field.name, kind=ColumnKind.CATEGORICAL))
        else:
            skipped[field.name] = f"{field.type} is neither a number nor a category"
    return table.drop_columns(list(skipped)), tuple(columns), skipped


def _replace(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def split(
    dataset: Dataset, how: str, nodes: int, *, test_share: float = 0.25, seed: int = 0
) -> list[Site]:
    """Distribute rows over sites, and hold out a share of each site's rows for testing.

    Args:
        dataset: what to split.
        how: ``iid`` (shuffled), ``clustered`` (k-means on the standardised inputs: each site sees
            its own kind of patient) or ``by-column`` (the data's own sites).
        nodes: how many sites; ignored by ``by-column``.
        test_share: of each site's rows, at least one.
        seed: of the shuffles and of k-means.

    Raises:
        ConfigurationError: too few rows, or no site column.
    """
    random = np.random.default_rng(seed)
    labels = {"iid": _iid, "clustered": _clustered, "by-column": _by_column}[how](
        dataset, nodes, random
    )
    table = dataset.table
    if dataset.site_column:
        table = table.drop_columns([dataset.site_column])
    sites = []
    for label in sorted(set(labels)):
        rows = random.permutation(np.flatnonzero(labels == label))
        held_out = max(1, round(test_share * len(rows)))
        if held_out == len(rows):
            raise ConfigurationError(
                "too few rows at a site",
                where=str(label),
                found=str(len(rows)),
                expected="at least 2",
            )
        sites.append(Site(str(label), table.take(rows[held_out:]), table.take(rows[:held_out])))
    return sites


def _names(nodes: int) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        f"hospital-{letters[i]}" if nodes <= len(letters) else f"site-{i + 1:03d}"
        for i in range(nodes)
    ]


def _iid(dataset: Dataset, nodes: int, random: np.random.Generator) -> Labels:
    labels = np.arange(dataset.table.num_rows) % nodes
    return np.array([_names(nodes)[label] for label in random.permutation(labels)])


def _clustered(dataset: Dataset, nodes: int, random: np.random.Generator) -> Labels:
    from sklearn.cluster import KMeans  # a second of import time

    inputs = np.column_stack([_as_numbers(dataset.table[c.name]) for c in dataset.data.columns])
    deviation = inputs.std(axis=0)
    inputs = (inputs - inputs.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    if len(inputs) < nodes * _FEWEST_ROWS:
        raise ConfigurationError(
            "too few rows to cluster", found=str(len(inputs)), expected=f"{nodes * _FEWEST_ROWS}"
        )
    found = KMeans(nodes, n_init=4, random_state=int(random.integers(2**31))).fit(inputs)
    distances = found.transform(inputs)
    clusters = distances.argmin(axis=1)
    for cluster in range(
        nodes
    ):  # a cluster with next to no rows takes the nearest ones of large clusters
        while (clusters == cluster).sum() < _FEWEST_ROWS:
            rich = np.isin(
                clusters, np.flatnonzero(np.bincount(clusters, minlength=nodes) > _FEWEST_ROWS)
            )
            clusters[np.where(rich, distances[:, cluster], np.inf).argmin()] = cluster
    return np.array([_names(nodes)[cluster] for cluster in clusters])


def _as_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_string(column.type):
        column = pc.dictionary_encode(column).combine_chunks().indices
    values = np.array(column.to_pylist(), dtype=float)  # None becomes NaN
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)


def _by_column(dataset: Dataset, nodes: int, random: np.random.Generator) -> Labels:
    if not dataset.site_column:
        raise ConfigurationError(
            "no site column",
            expected="--site-column COL",
            remedy="Name the column that says where a row is from",
        )
    values = dataset.table[dataset.site_column].to_pylist()
    return np.asarray([_node_name(value) for value in values])


def _node_name(value: str | None) -> str:
    """A site's label as a node name: lower-case letters, digits and hyphens."""
    text = "".join(
        c if c.isascii() and c.isalnum() else "-" for c in str(value or "unknown").lower()
    )
    return text.strip("-")[:63] or "unknown"
