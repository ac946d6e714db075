"""scikit-learn estimators: the federation's program in this process, for notebooks and pipelines.

The nodes that ``fit(X, y, sites=...)`` makes run the program that daemons run, under the same kind
of spec, so what is found here holds there; and a model that a daemon has learnt loads into the same
objects.
"""

try:
    import sklearn  # noqa: F401 - optional, and nothing else imports it at the start
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the estimators need scikit-learn: pip install 'tangent-mesh[sklearn]'", name=error.name
    ) from error

from edge_node.estimators.classifier import TangentMeshClassifier
from edge_node.estimators.regressor import TangentMeshRegressor

__all__ = ["TangentMeshClassifier", "TangentMeshRegressor"]
