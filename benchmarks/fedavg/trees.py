"""XGBoost as Flower federates it: each round, each site adds a tree to the shared ones (bagging).

A round's trees, one for each site, are fitted to the same residuals and then added up. So the rate
is divided by the number of sites, as Flower's own comprehensive example does (``scaled_lr``).
"""

from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks.fedavg.job import Arrays, Job

__all__ = ["initial", "outputs", "own_outputs", "trained"]


def initial(_: Job) -> Arrays:
    """No tree."""
    return [np.empty(0, np.uint8)]


def trained(job: Job, model: Arrays, site: int, after: int) -> Arrays:
    """The tree that a site adds to those that it was sent; Flower would keep one of several."""
    rows = xgboost.DMatrix(job.inputs[site], job.targets[site], nthread=1)
    own = _booster(job, model, rows, seed=job.training.seed + after)
    before = own.num_boosted_rounds() if model[0].size else 0
    own.update(rows, before)
    return [np.frombuffer(own[before : before + 1].save_raw("json"), np.uint8)]


def outputs(job: Job, model: Arrays, X: NDArray[Any]) -> NDArray[Any]:
    """Means (n,), or probabilities (n, 2), of inputs X (n, d)."""
    rows = xgboost.DMatrix(X, nthread=1)
    found = _booster(job, model, rows).predict(rows)
    return np.column_stack([1 - found, found]) if job.training.classes else found


def own_outputs(job: Job, model: Arrays, after: int) -> tuple[NDArray[Any], float]:
    """None: trees are shared."""
    return np.empty(0), 0.0


def _booster(job: Job, model: Arrays, rows: Any, seed: int = 0) -> Any:
    how = job.training
    if how.classes not in (0, 2):
        raise ValueError("Flower's bagging of trees knows regressions and two classes only")
    parameters = {
        "objective": "binary:logistic" if how.classes else "reg:squarederror",
        "base_score": 0.5 if how.classes else 0.0,
        "eta": how.rate / job.sites,
        "nthread": 1,
        "seed": seed,
    }
    booster = xgboost.Booster(parameters, [rows])
    if model[0].size:
        booster.load_model(bytearray(model[0].tobytes()))
        booster.set_param(parameters)
    return booster
