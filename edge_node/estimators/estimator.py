"""What both estimators share: parameters, the way to a model, and files."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from edge_node import console
from edge_node.arrays import Vector
from edge_node.config import (
    SMALLEST_COHORT,
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    ModelSpec,
    Task,
    check_spec,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import Batch
from edge_node.errors import ConfigurationError, DataError
from edge_node.estimators.tables import (
    InputError,
    columns_of,
    is_frame,
    rows_of,
    rows_of_numbers,
    sources_of,
    table_of,
)
from edge_node.model.model import Model
from edge_node.program.simulation import simulate

__all__ = ["Estimator", "warn"]


class Estimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no type hints
    """Base of `TangentMeshRegressor` and `TangentMeshClassifier`, which document the parameters."""

    _task: ClassVar[Task]

    def __init__(
        self,
        *,
        kernels: Sequence[str] = ("ntk",),
        activations: Sequence[str] = ("relu",),
        depths: Sequence[int] = (1, 2),
        biases: Sequence[float] = (1.0, 2.0),
        lengthscales: Sequence[float] = (1.0,),
        image: tuple[int, int, int] | None = None,
        weight_variance: float | None = None,
        bias_variance: float | None = None,
        landmarks: int | str = "auto",
        landmark_kinds: Sequence[str] = ("auto",),
        min_rows_per_landmark: int = 5,
        kmeans_iterations: int = 1,
        metric_repetitions: int = 3,
        newton_steps: int = 12,
        site_refinement: bool = True,
        site_block_rows: int = 2000,
        site_rows: int = 8000,
        seed: int = 0,
        min_rows_per_category: int = 5,
        verbose: bool = False,
    ) -> None:
        self.kernels = kernels
        self.activations = activations
        self.depths = depths
        self.biases = biases
        self.lengthscales = lengthscales
        self.image = image
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.landmarks = landmarks
        self.landmark_kinds = landmark_kinds
        self.min_rows_per_landmark = min_rows_per_landmark
        self.kmeans_iterations = kmeans_iterations
        self.metric_repetitions = metric_repetitions
        self.newton_steps = newton_steps
        self.site_refinement = site_refinement
        self.site_block_rows = site_block_rows
        self.site_rows = site_rows
        self.seed = seed
        self.min_rows_per_category = min_rows_per_category
        self.verbose = verbose

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A fitted estimator of a model on disk.

        Args:
            path: a file that `save` wrote, a node's ``state/model.npz``, or the node's directory.

        Raises:
            DataError: there is no such model, or it has another task.
        """
        file = Path(path)
        model = Model.load(NodePaths(file).model if file.is_dir() else file)
        if model.data.task is not cls._task:
            raise DataError(
                "the model is for another task",
                where=str(path),
                expected=cls._task,
                found=model.data.task,
                remedy="Load it with the other estimator",
            )
        estimator = cls()
        estimator._keep(model)
        estimator.n_features_in_ = len(model.data.columns)
        names = [column.name for column in model.data.columns]
        estimator.feature_names_in_ = np.array(names, dtype=object)
        return estimator

    def save(self, path: str | Path) -> None:
        """Write the model, as daemons do: a single node's own rows go to a second file beside it.

        Raises:
            NotFittedError: there is no model yet.
            MachineError: it can't be written.
        """
        check_is_fitted(self)
        self.model_.save(Path(path))

    def __sklearn_tags__(self) -> Any:
        """Missing values are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _keep(self, model: Model) -> None:
        self.model_ = model

    def _learn(
        self, X: Any, y: Any, target: Vector, sites: ArrayLike | None, classes: tuple[str, ...] = ()
    ) -> Self:
        """Fit to X and ``target`` (n,): numbers, or indices of ``classes``; y has the name."""
        batch, columns = self._rows_to_learn(X)
        check_consistent_length(target, batch.numeric)
        sources = sources_of(Batch(batch.numeric, batch.categorical, target), sites)
        spec = self._spec(columns, str(getattr(y, "name", None) or "y"), classes, len(sources))
        check_spec(spec, where=type(self).__name__)
        models = simulate(spec, sources, report=self._report if self.verbose else None)
        first = next(iter(models.values()))
        self._keep(first if sites is None else replace(first, refinement=None))
        self.sites_ = {name: _sharing(model, first) for name, model in models.items()}
        self.spec_ = spec
        return self

    def _rows_to_learn(self, X: Any) -> tuple[Batch, tuple[Column, ...]]:
        """Rows without targets, and the schema's columns."""
        if is_frame(X):
            validate_data(self, X, skip_check_array=True)
            table = table_of(X, self._names())
            columns = columns_of(table)
            batch = rows_of(table, columns)
            if len(batch) < 2:
                raise InputError(
                    "too few rows", where="X", expected="at least 2", found=f"{len(batch)}"
                )
            return batch, columns
        numbers = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
        )
        columns = tuple(Column(name=name) for name in self._names())
        return rows_of_numbers(numbers, columns), columns

    def _rows_to_answer(self, X: Any) -> Batch:
        """Rows in the schema's columns. Raises NotFittedError, InputError or ValueError."""
        check_is_fitted(self)
        columns = self.model_.data.columns
        if all(column.kind is ColumnKind.NUMERIC for column in columns) and not is_frame(X):
            numbers = validate_data(
                self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan"
            )
            return rows_of_numbers(numbers, columns)
        X = validate_data(
            self, X, reset=False, skip_check_array=is_frame(X), dtype=None, ensure_all_finite=False
        )
        return rows_of(table_of(X, [column.name for column in columns]), columns)

    def _names(self) -> list[str]:
        """The columns' names: those of a data frame, x0, x1, ... of an array."""
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else names.tolist()

    def _spec(
        self, columns: tuple[Column, ...], target: str, classes: tuple[str, ...], nodes: int
    ) -> FederationSpec:
        """What daemons would be given for the same model. Raises ConfigurationError."""
        while any(column.name == target for column in columns):
            target += "_"
        parameters = self.get_params().items()
        settings = {k: v for k, v in parameters if k in ModelSpec.__struct_fields__}
        try:
            model = msgspec.convert(_plain(settings), ModelSpec)
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                str(error), where=type(self).__name__, remedy="Correct the parameter"
            ) from error
        data = DataSpec(
            task=self._task,
            target=target,
            columns=columns,
            classes=classes,
            min_rows_per_category=self.min_rows_per_category,
        )
        return FederationSpec(
            name="in-process",
            data=data,
            model=model,
            minimum_nodes=max(nodes, SMALLEST_COHORT),
            minimum_rows=0,
        )

    def _report(self, step: str, seconds: float, done: int, planned: int | None) -> None:
        count = f"{done}" if planned is None else f"{done} of {planned}"
        console.explain(f"[{type(self).__name__}] {seconds:7.1f} s  {step} ({count})")


def _sharing(model: Model, first: Model) -> Model:
    """A site's model, which shares with ``first`` the posterior that all sites have."""
    own = model.refinement
    if own is not None:
        refined = replace(own.posterior, features=first.posterior.features)
        own = replace(own, posterior=refined)
    return replace(model, posterior=first.posterior, refinement=own)


def _plain(value: Any) -> Any:
    """NumPy's numbers, which a parameter grid is often made of, as Python's."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def warn(messages: Sequence[str]) -> None:
    """Warn the caller of an estimator's method about the rows that were answered."""
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=3)
