"""The regressor, whose docstring explains the parameters of both estimators."""

from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from edge_node.arrays import Vector
from edge_node.config import Task, Which
from edge_node.estimators.estimator import Estimator, warn
from edge_node.estimators.tables import InputError
from edge_node.model.model import IntervalPredictions, Model

__all__ = ["TangentMeshRegressor"]


class TangentMeshRegressor(RegressorMixin, Estimator):  # type: ignore[misc] # without type hints
    """Gaussian-process regression under an infinitely wide network's kernel, federated or not.

    Parameters are the federation spec's (`edge_node.config.ModelSpec`), with its defaults; where
    one is a sequence, the evidence chooses.

    Args:
        kernels: of "ntk", "nngp", "conv-ntk" (of images), "matern32", "rbf".
        activations: of "relu", "erf", "gelu".
        depths: numbers of hidden layers.
        biases: the constant input coordinate.
        lengthscales: of "matern32" and "rbf", in units of sqrt(inputs).
        image: height, width and channels, if the columns are pixels: row by row, channels side by
            side; it takes neural-tangents.
        weight_variance: of the infinite network; None: critical.
        bias_variance: as ``weight_variance``.
        landmarks: how many points span the model, at most; time grows with their square times the
            rows.
        landmark_kinds: of "gaussian", "kmeans"; or "auto": k-means where rows are many.
        min_rows_per_landmark: fewest of its rows that a site gives to a k-means landmark.
        kmeans_iterations: steps that place k-means landmarks, each on rows of its own.
        metric_repetitions: how often the metric is improved, at most; 0: the inputs as they are.
        newton_steps: passes at most for a classifier; a regressor needs none.
        site_refinement: whether each site refines the posterior with its own rows (regressor).
        site_block_rows: rows whose dependence a site keeps, per block.
        site_rows: rows that a site keeps in blocks.
        seed: of the Gaussian landmarks; the same seed gives the same model.
        min_rows_per_category: fewest rows of a category, or values of a column, that a site gives.
        verbose: show each step on standard error when it is complete.

    Attributes:
        model_: the `edge_node.model.model.Model`: what all sites share, or, of one node, its own.
        sites_: each site's own model by its name, which is the label's text; not of a loaded one.
        spec_: the `edge_node.config.FederationSpec` it was learnt under; not of a loaded one.
        n_features_in_: how many columns X has.
        feature_names_in_: their names, if X was a data frame.
    """

    _task = Task.REGRESSION

    def fit(self, X: Any, y: ArrayLike, sites: ArrayLike | None = None) -> Self:
        """Learn from rows, each at the node that its site names.

        Args:
            X: (n, d) numbers, or a data frame with numbers, text, booleans and categories; cells
                may be missing.
            y: (n,) finite numbers.
            sites: (n,) labels, one node in this process each; None: one node. Sites' rows tell no
                more than those of a federation; one node's may tell anything.

        Raises:
            ValueError: X or y is not of this form.
            DataError: there is nothing to learn: the target, or every input, is constant.
            CohortRefusedError: the sites' rows may tell too little for a model.
            ConfigurationError: a parameter is wrong.
            NumericalError: the model can't be computed from these numbers.
        """
        target = validate_data(self, y=y, y_numeric=True).astype(np.float64)
        return self._learn(X, y, target, sites)

    @overload
    def predict(
        self, X: Any, return_std: Literal[False] = ..., *, site: object = ..., which: str = ...
    ) -> Vector: ...
    @overload
    def predict(
        self, X: Any, return_std: Literal[True], *, site: object = ..., which: str = ...
    ) -> tuple[Vector, Vector]: ...
    def predict(
        self, X: Any, return_std: bool = False, *, site: object = None, which: str = "auto"
    ) -> Vector | tuple[Vector, Vector]:
        """The target's mean (n,) at X (n, d), in its own unit.

        Args:
            X: rows as in `fit`.
            return_std: also the standard deviation (n,) of a new observation, noise included.
            site: answer as this site's node would. None: as the only node, or the loaded one; with
                several sites, by the posterior that they share.
            which: the posterior: "global", which all nodes share; "site", refined with the rows of
                the node that answers; or "auto", the one that the site prefers.

        Raises:
            NotFittedError: neither fitted nor loaded.
            ValueError: X is not of the form that was learnt from; no such site or posterior.
            DataError: the node that answers has no posterior of its own.
        """
        rows = self._rows_to_answer(X)
        answers = self._at(site).predict(rows, which=_which(which))
        if not isinstance(answers, IntervalPredictions):
            raise TypeError("a regressor's model predicts intervals")
        warn(answers.warnings)
        return (answers.mean, answers.sd) if return_std else answers.mean

    def _at(self, site: object) -> Model:
        """The model that answers."""
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


def _which(name: str) -> Which:
    if name not in list(Which):
        raise InputError(
            "no such posterior", where="which", expected=" or ".join(Which), found=repr(name)
        )
    return Which(name)
