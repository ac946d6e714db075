"""scikit-learn estimators: the federation's program in this process, for notebooks and pipelines.

The nodes that ``fit(X, y, sites=...)`` makes run the same program as daemons, under the same kind
of spec, so results here hold there. A model that a daemon has learnt loads into the same objects.

Read `regressor`, which documents the parameters, and `classifier`, then `likelihoods` (counts,
ordered classes, times to an event); then `estimator` (what all share), `parameters` (as a spec),
`tables` (arrays and data frames as the program's rows), `sources` (which rows each site has, and
how often each counts) and `importances`. `errors` are what all of them raise.
"""

try:
    import sklearn  # noqa: F401 - optional, and nothing else imports it at the start
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the estimators need scikit-learn: pip install 'tangent-mesh[sklearn]'", name=error.name
    ) from error

from edge_node.estimators.classifier import TangentMeshClassifier
from edge_node.estimators.errors import FitError, InputError, ParameterError, RefusedRowsError
from edge_node.estimators.likelihoods import (
    TangentMeshCountRegressor,
    TangentMeshOrdinalClassifier,
    TangentMeshSurvival,
)
from edge_node.estimators.regressor import TangentMeshRegressor

__all__ = [
    "FitError",
    "InputError",
    "ParameterError",
    "RefusedRowsError",
    "TangentMeshClassifier",
    "TangentMeshCountRegressor",
    "TangentMeshOrdinalClassifier",
    "TangentMeshRegressor",
    "TangentMeshSurvival",
]
