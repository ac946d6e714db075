"""The regressor, whose docstring explains the parameters of all estimators."""

from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from edge_node.arrays import Vector
from edge_node.config import Task
from edge_node.estimators.estimator import Estimator, posterior_of
from edge_node.estimators.sources import Target, latest_first
from edge_node.model.predictions import IntervalPredictions

__all__ = ["TangentMeshRegressor"]


class TangentMeshRegressor(RegressorMixin, Estimator):  # type: ignore[misc] # without type hints
    """Gaussian-process regression under an infinitely wide network's kernel, federated or not.

    Most parameters need no change: what suits the rows is found by evidence. Where a parameter is a
    sequence, each element is tried. Parameters are those of a federation's spec
    (`edge_node.config.ModelSpec`), with its defaults, and are checked by `fit`.

    Args:
        kernels: covariance functions to try: "ntk" (an infinitely wide network, trained), "nngp"
            (the same with random weights), "matern32", "rbf"; "conv-ntk" for images, which is slow
            (docs/model.md says when it is worth it).
        activations: nonlinearities of the network to try: "relu", "erf", "gelu".
        depths: numbers of hidden layers to try.
        biases: values to try of the constant that is added to the network's inputs; with a larger
            one the function varies less.
        lengthscales: of "matern32" and "rbf", to try; 1 suits standardised columns.
        image: (height, width, channels), if X's columns are an image's pixels: row by row, a
            pixel's channels side by side; for "conv-ntk".
        weight_variance: variance of the network's weights; None: the value at which signals neither
            grow nor vanish with depth.
        bias_variance: variance of its biases; None: as ``weight_variance``.
        likelihood: how targets lie around the function (regressor): "gaussian"; "student-t", which
            outliers hardly move; "auto": the latter where outliers are plain to see.
        landmarks: how many points span the model, at most: more are more accurate. Time grows with
            their square times the rows. "auto": as many as the rows allow, up to 500.
        landmark_kinds: where these points come from: "gaussian" (drawn like the rows), "kmeans"
            (centres of rows); "auto": k-means where rows are many.
        min_rows_per_landmark: fewest of its rows that a site gives to a k-means landmark.
        kmeans_iterations: steps that place k-means landmarks, each on rows of its own.
        metric_repetitions: how often it is learnt how much each column matters, at most; 0: all
            count alike.
        move_landmarks: how often landmarks are moved to where they explain more, at most. With few
            columns 20 to 40 times may be worth more than four times as many landmarks.
        newton_steps: iterations at most, of all but a regressor, which needs none.
        distribution: of times to an event, "lognormal", "weibull" or "auto".
        site_refinement: how each site refines the shared model with its own rows: "blocks" of rows
            that lie close together; a "graph" of all rows; "none"; "auto": blocks where one holds
            all rows, otherwise what explains the rows better (classifier: the graph).
        site_neighbours: rows that a row is joined to in the graph, 1000 at most.
        site_block_rows: rows of a block, within which a site models how rows depend.
        site_rows: rows that a site keeps in blocks.
        seed: of all random draws; the same seed gives the same model.
        min_rows_per_category: fewest rows of a category, or values of a column, that a site gives
            to a sum; with ``sites`` only.
        most_told: numbers that the sites may tell, per cell of others' rows; with ``sites`` only.
            More allow more landmarks. Above 0.5 members can solve for rows, so take more only to
            see what a federation without the bound would learn.
        threads: processor threads that linear algebra may take while fitting. None: one where
            rows are few (under 5,000), otherwise as many as the libraries are set to.
        verbose: show each step on standard error when it is complete.

    Attributes:
        model_: the `edge_node.model.model.Model`: what all sites share, or, of one node, its own.
        sites_: each site's own model by its name, which is the label's text; not of a loaded one.
        spec_: the `edge_node.config.FederationSpec` it was learnt under; not of a loaded one.
        n_features_in_: how many columns X has.
        feature_names_in_: their names, if X was a data frame, or a daemon's file.
        feature_importances_: each column's share of what the model looks at, (n_features_in_,).
    """

    _task = Task.REGRESSION

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sites: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        time: ArrayLike | None = None,
    ) -> Self:
        """Learn from rows, each at the node that its site names.

        Args:
            X: (n, d) numbers, or a data frame with numbers, text, booleans and categories; cells
                may be missing. Numbers may be sparse (SciPy), of 4,096 columns at most: an empty
                cell is zero, and a few thousand rows at a time become dense.
            y: (n,) finite numbers.
            sites: (n,) labels, one node in this process each; None: one node. Sites' rows tell no
                more than those of a federation; one node's may tell anything.
            sample_weight: (n,) how often each row counts: a row of weight 2 is as two equal rows,
                one of weight 0 is left out. Other weights are rounded up or down at random, so that
                a row of weight w counts w times on average. None: each counts once.
            time: (n,) numbers or NumPy's dates, if predictions will be asked for rows later than
                all of these. Intervals are then as wide as was right for each site's last rows,
                predicted from earlier ones. It is no input. None: rows come in no order.

        Raises:
            ValueError: X, y, ``sites``, ``sample_weight``, ``time`` or a parameter is not of this
                form; there is nothing to learn (the target, or every input, is constant); the
                sites' rows may tell too little for a model; or no model can be computed from these
                numbers. Each is also one of the program's errors: `InputError`, `ParameterError`,
                `RefusedRowsError` or `FitError` of `edge_node.estimators`.

        Warns:
            UserWarning: a column is not used, because it is constant or has too few values.
        """
        target = validate_data(self, y=y, y_numeric=True).astype(np.float64)
        rows = self._counted(sample_weight, len(target))
        if time is not None:
            rows = latest_first(rows, time, len(target))
        return self._learn(X, Target.named(y, target, rows, timed=time is not None), sites)

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
            ValueError: X is not of the form that was learnt from; no such site or posterior; the
                node that answers has no posterior of its own.

        Warns:
            UserWarning: rows have categories that were not learnt from.
        """
        check_is_fitted(self)
        answers = self._answers(X, self._at(site), posterior_of(which))
        if not isinstance(answers, IntervalPredictions):
            raise TypeError("a regressor's model predicts intervals")
        return (answers.mean, answers.sd) if return_std else answers.mean
