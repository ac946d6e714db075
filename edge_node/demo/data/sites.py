"""Sites: a data set's rows spread over them, some of each held out for testing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from edge_node.config import SMALLEST_COHORT
from edge_node.demo.data.datasets import Dataset
from edge_node.demo.data.numbers import standardised_inputs
from edge_node.errors import ConfigurationError, DataError

__all__ = ["Site", "split", "write_sites"]

Labels: TypeAlias = NDArray[np.str_]

_FEWEST_ROWS = 8  # per site: enough to hold some out
_MOST_SITES = 50  # that a column may name: each is a process


@dataclass(frozen=True)
class Site:
    """One site's share: what it learns from, and what it is tested on."""

    name: str
    train: pa.Table
    test: pa.Table


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
        ConfigurationError: too few nodes, or no site column.
        DataError: too few rows, or too few or many sites in the file.
    """
    random = np.random.default_rng(seed)
    if how != "by-column":
        _check_nodes(dataset, nodes)
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
            raise DataError(
                "a site has one row: there is nothing to test on",
                where=f"{_where(dataset)}: site {str(label)!r}",
                expected="at least 2 rows a site",
                remedy="Add rows, leave this one out, or spread rows anew with `--split iid`",
            )
        sites.append(Site(str(label), table.take(rows[held_out:]), table.take(rows[:held_out])))
    return sites


def write_sites(sites: Sequence[Site], directory: Path) -> dict[str, Path]:
    """Write each site's training rows as the CSV file that its node will read."""
    files = {}
    for site in sites:
        files[site.name] = directory / f"{site.name}.csv"
        pyarrow.csv.write_csv(site.train, files[site.name])
    return files


def _where(dataset: Dataset) -> str:
    return dataset.where or dataset.name


def _check_nodes(dataset: Dataset, nodes: int) -> None:
    if nodes < SMALLEST_COHORT:
        raise ConfigurationError(
            "too few nodes: of two, each could subtract its own part from a sum",
            where="--nodes",
            expected=f"at least {SMALLEST_COHORT}",
            found=str(nodes),
            remedy=f"Give `--nodes {SMALLEST_COHORT}` or more",
        )
    rows, fewest = dataset.table.num_rows, nodes * _FEWEST_ROWS
    if rows < fewest:
        helps = nodes > SMALLEST_COHORT and rows >= SMALLEST_COHORT * _FEWEST_ROWS
        fewer = f", or fewer nodes: `--nodes {SMALLEST_COHORT}`" * helps
        raise DataError(
            f"too few rows for {nodes} nodes",
            where=_where(dataset),
            expected=f"at least {fewest}, {_FEWEST_ROWS} for each node",
            found=f"{rows} with a target",
            remedy=f"Give a file with more rows{fewer}",
        )


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

    inputs = standardised_inputs(dataset)
    found = KMeans(nodes, n_init=4, random_state=int(random.integers(2**31))).fit(inputs)
    distances = found.transform(inputs)
    clusters = distances.argmin(axis=1)
    for cluster in range(nodes):  # one with next to no rows takes the nearest of large ones
        while (clusters == cluster).sum() < _FEWEST_ROWS:
            rich = np.isin(
                clusters, np.flatnonzero(np.bincount(clusters, minlength=nodes) > _FEWEST_ROWS)
            )
            clusters[np.where(rich, distances[:, cluster], np.inf).argmin()] = cluster
    return np.array([_names(nodes)[cluster] for cluster in clusters])


def _by_column(dataset: Dataset, nodes: int, random: np.random.Generator) -> Labels:
    if not dataset.site_column:
        raise ConfigurationError(
            "no site column",
            expected="--site-column COLUMN",
            remedy="Name the column that says where a row is from",
        )
    labels = dataset.table[dataset.site_column].to_pylist()
    node = {label: _node_name(label) for label in dict.fromkeys(labels)}
    _check_twins(dataset, node)
    names = [node[label] for label in labels]
    if not SMALLEST_COHORT <= len(set(names)) <= _MOST_SITES:
        raise DataError(
            "too few sites" if len(set(names)) < SMALLEST_COHORT else "too many sites",
            where=f"{_where(dataset)}: column {dataset.site_column!r}",
            expected=f"{SMALLEST_COHORT} to {_MOST_SITES} sites: each is a node, a process",
            found=str(len(set(names))),
            remedy="Name another column with `--site-column`, or spread rows with `--split iid`",
        )
    return np.asarray(names)


def _check_twins(dataset: Dataset, node: Mapping[str | None, str]) -> None:
    """Raise DataError for two sites that would be one node."""
    for name in dict.fromkeys(node.values()):
        twins = [label or "" for label, own in node.items() if own == name]
        if len(twins) > 1:
            raise DataError(
                "sites can't be told apart by their names",
                where=f"{_where(dataset)}: column {dataset.site_column!r}",
                expected="names that differ in their letters a to z or digits, in any case",
                found=" and ".join(map(repr, twins)),
                remedy="Correct the file, or spread rows with `--split iid`",
            )


def _node_name(label: str | None) -> str:
    """A site's label as a node name: lower-case letters, digits and hyphens."""
    text = "".join(
        c if c.isascii() and c.isalnum() else "-" for c in str(label or "unknown").lower()
    )
    name = text.strip("-")[:63].strip("-") or "unknown"
    return f"site-{name}" if name == "aggregator" else name  # the other process has this name
