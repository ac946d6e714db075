"""What the demonstration learns from: a table with its schema; two of them are built in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from edge_node.config import Column, DataSpec, Task

__all__ = ["BUNDLED", "Dataset", "breast_cancer", "diabetes"]


@dataclass(frozen=True)
class Dataset:
    """A table whose columns are the inputs, the target, and perhaps the site of each row.

    Attributes:
        name: for people.
        table: the rows.
        data: the schema that a federation's spec needs.
        site_column: the column that says which site a row is from.
        notes: what a person should know about how the file was read.
        left_out: why, by the column's name in the file.
        where: the user's own file, for errors; empty for data that is built in.
    """

    name: str
    table: pa.Table
    data: DataSpec
    site_column: str | None = None
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    where: str = ""


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
