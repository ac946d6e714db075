"""What all estimators share: parameters, the way to a model, and files."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from edge_node import console
from edge_node.config import (
    SAFE_MOST_TOLD,
    SMALLEST_COHORT,
    Column,
    ColumnKind,
    FederationSpec,
    Task,
    Which,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import Batch
from edge_node.errors import DataError
from edge_node.estimators.errors import InputError, in_users_words, translated
from edge_node.estimators.importances import importances
from edge_node.estimators.parameters import check_switch, check_threads, checked_spec, warnings_of
from edge_node.estimators.sources import Target, check_width, counted_rows, dense_parts, sources_of
from edge_node.estimators.tables import columns_of, is_frame, rows_of, rows_of_numbers, table_of
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.numerics.streaming import blas_threads
from edge_node.inference.regression.graph_refinement import GraphRefinement
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.model import Model
from edge_node.model.predictions import Predictions
from edge_node.model.provenance import Notes
from edge_node.program.simulation import simulate

__all__ = ["Estimator", "posterior_of"]


class Estimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no type hints
    """Base of all estimators; `TangentMeshRegressor` documents the parameters."""

    _task: ClassVar[Task]

    def __init__(
        self,
        *,
        kernels: Sequence[str] = ("ntk", "nngp"),
        activations: Sequence[str] = ("relu",),
        depths: Sequence[int] = (1,),
        biases: Sequence[float] = (1.0, 2.0),
        lengthscales: Sequence[float] = (1.0,),
        image: tuple[int, int, int] | None = None,
        weight_variance: float | None = None,
        bias_variance: float | None = None,
        likelihood: str = "auto",
        landmarks: int | str = "auto",
        landmark_kinds: Sequence[str] = ("auto",),
        min_rows_per_landmark: int = 5,
        kmeans_iterations: int = 1,
        metric_repetitions: int = 3,
        move_landmarks: int = 0,
        newton_steps: int = 12,
        distribution: str = "auto",
        site_refinement: str = "auto",
        site_neighbours: int = 60,
        site_block_rows: int = 2000,
        site_rows: int = 8000,
        seed: int = 0,
        min_rows_per_category: int = 5,
        most_told: float = SAFE_MOST_TOLD,
        threads: int | None = None,
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
        self.likelihood = likelihood
        self.landmarks = landmarks
        self.landmark_kinds = landmark_kinds
        self.min_rows_per_landmark = min_rows_per_landmark
        self.kmeans_iterations = kmeans_iterations
        self.metric_repetitions = metric_repetitions
        self.move_landmarks = move_landmarks
        self.newton_steps = newton_steps
        self.distribution = distribution
        self.site_refinement = site_refinement
        self.site_neighbours = site_neighbours
        self.site_block_rows = site_block_rows
        self.site_rows = site_rows
        self.seed = seed
        self.min_rows_per_category = min_rows_per_category
        self.most_told = most_told
        self.threads = threads
        self.verbose = verbose

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A fitted estimator of a model on disk, with the parameters that it was learnt with.

        Columns have names if X was a data frame, or a daemon's file.

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
                remedy="Load it with the estimator of that task",
            )
        known = {**_fields(model.provenance.model), **_fields(model.data)}
        if model.provenance.bill is not None:
            known["most_told"] = model.provenance.bill.most_told
        names = cls._get_param_names()
        estimator = cls(**{name: value for name, value in known.items() if name in names})
        estimator._keep(model)
        estimator.n_features_in_ = len(model.data.columns)
        if model.notes is None or model.notes.named:
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

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the model's metric stretches each column of X: (d,), adding up to one.

        A column's share is that of its encoded inputs (`edge_node.inference.features.relevance`):
        how strongly the function varies along it, per standard deviation or change of label. It
        says what the model uses, not what causes the target. A column that is not used has zero.
        Where no metric was learnt, all inputs count alike, and the shares say nothing.

        Raises:
            NotFittedError: neither fitted nor loaded.
        """
        check_is_fitted(self)
        return importances(self.model_)

    def __sklearn_tags__(self) -> Any:
        """Missing values are allowed, and so are sparse matrices."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def _keep(self, model: Model) -> None:
        self.model_ = model

    def _learn(self, X: Any, target: Target, sites: ArrayLike | None) -> Self:
        """Fit to X and its targets."""
        name = type(self).__name__
        check_switch("verbose", self.verbose, of=name)
        check_threads("threads", self.threads, of=name)
        with translated():
            batch, columns = self._rows_to_learn(X)
            check_consistent_length(target.values, batch.numeric)
            batch = Batch(batch.numeric, batch.categorical, target.values)
            sources = sources_of(batch, sites, target.rows)
            spec = self._spec(columns, target, nodes=max(len(sources), SMALLEST_COHORT))
            self._warn(warnings_of(spec))
            with blas_threads(self.threads, len(target.rows)):
                models = simulate(spec, sources, report=self._report if self.verbose else None)
        notes = Notes(labels=target.kind, named=hasattr(self, "feature_names_in_"))
        models = {site: replace(model, notes=notes) for site, model in models.items()}
        first = next(iter(models.values()))
        self._warn(first.encoder.warnings)
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
        numbers = self._numbers(X, reset=True, ensure_min_samples=2)
        columns = tuple(Column(name=name) for name in self._names())
        return rows_of_numbers(numbers, columns), columns

    def _numbers(self, X: Any, **options: Any) -> Any:
        """X (n, d) as float64: an array, or sparse by rows."""
        numbers = validate_data(
            self,
            X,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            accept_sparse="csr",
            **options,
        )
        if sparse.issparse(numbers):
            check_width(numbers)
        return numbers

    def _at(self, site: object) -> Model:
        """The model that answers. Raises InputError: no such site."""
        if site is None:
            return self.model_
        sites: dict[str, Model] = getattr(self, "sites_", {})
        if str(site) not in sites:
            raise InputError(
                "no such site",
                where="site",
                expected=" or ".join(["None", *map(repr, sites)]),
                found=repr(site),
                remedy="Name one of the sites that `fit` was given",
            )
        return sites[str(site)]

    def _answers(
        self, X: Any, model: Model, which: Which = Which.AUTO, **asked: Any
    ) -> Predictions:
        """A model's answers at X; ``asked`` as for `Model.predict`. Raises NotFittedError or
        ValueError.
        """
        with translated():
            parts = dense_parts(self._rows_to_answer(X))
            answers = model.predict_all(parts, which=which, **asked)
        self._warn(answers.warnings)
        return answers

    def _rows_to_answer(self, X: Any) -> Batch:
        """Rows in the schema's columns."""
        columns = self.model_.data.columns
        if all(column.kind is ColumnKind.NUMERIC for column in columns) and not is_frame(X):
            return rows_of_numbers(self._numbers(X, reset=False), columns)
        X = validate_data(
            self, X, reset=False, skip_check_array=is_frame(X), dtype=None, ensure_all_finite=False
        )
        return rows_of(table_of(X, [column.name for column in columns]), columns)

    def _counted(self, weights: ArrayLike | None, rows: int) -> NDArray[np.intp]:
        """The positions of the rows that count, each as often as it does."""
        return counted_rows(weights, rows, seed=self.seed if isinstance(self.seed, int) else 0)

    def _names(self) -> list[str]:
        """The columns' names: those of a data frame, x0, x1, ... of an array."""
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else names.tolist()

    def _spec(self, columns: tuple[Column, ...], target: Target, *, nodes: int) -> FederationSpec:
        """What daemons would be given for the same model. Raises ParameterError."""
        name, taken = target.name, [column.name for column in columns]
        while name in taken:
            name += "_"
        data = {"task": self._task, "target": name, "columns": columns, "classes": target.classes}
        if target.timed:
            time = "time"
            while time in (name, *taken):
                time += "_"
            data["time"] = time
        if self._task is Task.SURVIVAL:
            event = "event"
            while event in (name, *taken):
                event += "_"
            data["event"] = event
        return checked_spec(
            self.get_params(),
            data,
            nodes=nodes,
            of=type(self).__name__,
        )

    def _report(self, step: str, seconds: float, done: int, planned: int | None) -> None:
        how_far = console.how_far(seconds, done, planned)
        console.explain(f"[{type(self).__name__}] {seconds:7.1f} s  {step} ({how_far})")

    @staticmethod
    def _warn(messages: Sequence[str]) -> None:
        """Warn the caller of the public method that called the method that calls this."""
        for message in messages:
            warnings.warn(in_users_words(message), UserWarning, stacklevel=4)


def _sharing(model: Model, first: Model) -> Model:
    """A site's model, which shares with ``first`` the posterior that all sites have."""
    own, shared = model.refinement, first.posterior
    if isinstance(own, Refinement | GraphRefinement):
        own = replace(own, posterior=replace(own.posterior, features=shared.features))
    elif own is not None and isinstance(shared, ClassPosterior):
        own = own.on(shared)
    return replace(model, posterior=shared, refinement=own)


def posterior_of(name: str) -> Which:
    """The posterior by its name. Raises InputError: no such posterior."""
    if name not in list(Which):
        raise InputError(
            "no such posterior", where="which", expected=" or ".join(Which), found=repr(name)
        )
    return Which(name)


def _fields(table: msgspec.Struct | None) -> dict[str, Any]:
    """A table's settings as an estimator takes them: texts, numbers and tuples."""
    return {} if table is None else msgspec.to_builtins(msgspec.structs.asdict(table))
