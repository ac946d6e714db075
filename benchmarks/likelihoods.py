"""Counts, ordered classes and times to an event, against the field's own regressions.

The sets come with lifelines (`gbsg2`, `rossi`) and statsmodels (`randhie`, `fair`). Three quarters
of at most 2,000 rows are learnt from: by four sites, to which they are dealt at random, or by one.
Peers learn from the same rows, pooled: a Weibull and a log-normal AFT (lifelines), a Poisson and a
negative binomial regression, a cumulative probit (statsmodels).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.figures import Row
from edge_node.arrays import Matrix, Vector
from edge_node.estimators import (
    TangentMeshCountRegressor,
    TangentMeshOrdinalClassifier,
    TangentMeshSurvival,
)
from edge_node.inference.evaluation.task_scores import (
    concordance,
    count_scores,
    ordinal_scores,
    survival_scores,
)
from edge_node.model.predictions import median_classes

__all__ = ["PROBLEMS", "averaged", "measure_likelihoods"]

_SITES = 4
_MOST_ROWS = 2000
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Problem:
    """A set of rows, all numbers.

    Attributes:
        task: "count", "ordinal" or "survival".
        X: inputs (n, d).
        y: the target (n,): counts, class indices, or times.
        seen: whether a time ended with the event (n,).
    """

    task: str
    X: Matrix
    y: Vector
    seen: NDArray[np.bool_]


def measure_likelihoods(name: str, splits: int) -> Iterator[Row]:
    """The scores of each way to learn, for each of some splits of a set of `PROBLEMS`."""
    problem = PROBLEMS[name]()
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(problem.y))[:_MOST_ROWS]
        train, test = np.split(order, [3 * len(order) // 4])
        for way, scores in _ways(problem, train, test):
            yield {"set": name, "split": split, "way": way, "rows": len(train), **scores}


def averaged(rows: Sequence[Row]) -> list[Row]:
    """Mean and standard error over splits, per set and way."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["way"]), []).append(row)
    found = []
    for (name, way), group in groups.items():
        figures: Row = {"set": name, "way": way, "splits": len(group)}
        for key in group[0]:
            if key not in ("set", "way", "split"):
                values = np.array([row[key] for row in group], dtype=float)
                figures[key] = float(values.mean())
                if len(values) > 1 and key != "rows":
                    figures[f"{key}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
        found.append(figures)
    return found


def _ways(problem: Problem, train: Indices, test: Indices) -> Iterator[tuple[str, Row]]:
    learn, rival = _TASKS[problem.task]
    for way, sites in (("federated", np.arange(len(train)) % _SITES), ("one machine", None)):
        yield way, learn(problem, train, test, sites)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that stop near the optimum
        yield from rival(problem, train, test)


def _counts(problem: Problem, train: Indices, test: Indices, sites: Any) -> Row:
    model = TangentMeshCountRegressor(landmarks=300).fit(
        problem.X[train], problem.y[train], sites=sites
    )
    bounds = model.predict_interval(problem.X[test])
    return count_scores(problem.y[test], model.predict(problem.X[test]), *bounds)


def _rival_counts(problem: Problem, train: Indices, test: Indices) -> Iterator[tuple[str, Row]]:
    import statsmodels.api as sm
    from scipy.stats import nbinom, poisson

    X = (problem.X - problem.X[train].mean(axis=0)) / problem.X[train].std(axis=0)
    X, y = sm.add_constant(X, has_constant="add"), problem.y
    ends = np.array([[0.025], [0.975]])
    mean = sm.GLM(y[train], X[train], family=sm.families.Poisson()).fit().predict(X[test])
    yield "Poisson regression", count_scores(y[test], mean, *poisson.ppf(ends, mean))
    fitted = sm.NegativeBinomial(y[train], X[train]).fit(disp=0, maxiter=300)
    mean, alpha = fitted.predict(X[test]), fitted.params[-1]
    bounds = nbinom.ppf(ends, 1 / alpha, 1 / (1 + alpha * mean))
    yield "negative binomial regression", count_scores(y[test], mean, *bounds)


def _ordinal(problem: Problem, train: Indices, test: Indices, sites: Any) -> Row:
    model = TangentMeshOrdinalClassifier(landmarks=300).fit(
        problem.X[train], problem.y[train], sites=sites
    )
    return _ordinal_scores(problem.y[test], model.predict_proba(problem.X[test]))


def _ordinal_scores(y: Vector, probabilities: Matrix) -> Row:
    return ordinal_scores(y, probabilities, median_classes(probabilities).astype(np.float64))


def _rival_ordinal(problem: Problem, train: Indices, test: Indices) -> Iterator[tuple[str, Row]]:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    X = (problem.X - problem.X[train].mean(axis=0)) / problem.X[train].std(axis=0)
    fitted = OrderedModel(problem.y[train], X[train], distr="probit").fit(method="bfgs", disp=0)
    probabilities = fitted.model.predict(fitted.params, exog=X[test])
    yield "cumulative probit", _ordinal_scores(problem.y[test], probabilities)


def _survival(problem: Problem, train: Indices, test: Indices, sites: Any) -> Row:
    pairs = list(zip(problem.seen, problem.y, strict=True))
    y = np.array(pairs, dtype=[("event", bool), ("time", float)])
    model = TangentMeshSurvival(landmarks=300).fit(problem.X[train], y[train], sites=sites)
    lower, upper = model.predict_interval(problem.X[test])
    median = model.predict(problem.X[test])
    return survival_scores(problem.y[test], problem.seen[test], lower, median, upper)


def _rival_survival(problem: Problem, train: Indices, test: Indices) -> Iterator[tuple[str, Row]]:
    from lifelines import CoxPHFitter, LogNormalAFTFitter, WeibullAFTFitter

    table = pd.DataFrame(problem.X).add_prefix("x").assign(time=problem.y, event=problem.seen)
    time, seen = problem.y[test], problem.seen[test]
    for way, kind in (("Weibull AFT", WeibullAFTFitter), ("log-normal AFT", LogNormalAFTFitter)):
        aft = kind(penalizer=1e-4).fit(table.iloc[train], "time", "event")
        ends = [aft.predict_percentile(table.iloc[test], p=p) for p in (0.975, 0.5, 0.025)]
        yield way, survival_scores(time, seen, *(end.to_numpy() for end in ends))
    cox = CoxPHFitter(penalizer=1e-4).fit(table.iloc[train], "time", "event")
    risk = cox.predict_partial_hazard(table.iloc[test]).to_numpy()
    yield "Cox", {"concordance": concordance(time, seen, -risk)}


_TASKS: dict[str, tuple[Callable[..., Row], Callable[..., Iterator[tuple[str, Row]]]]] = {
    "count": (_counts, _rival_counts),
    "ordinal": (_ordinal, _rival_ordinal),
    "survival": (_survival, _rival_survival),
}


def _of_table(task: str, table: pd.DataFrame, target: str, event: str = "") -> Problem:
    table = pd.get_dummies(table.dropna(), drop_first=True).astype(float)
    seen = table[event].to_numpy() > 0 if event else np.ones(len(table), dtype=bool)
    inputs = table.drop(columns=[target, *([event] if event else [])])
    y = np.rint(table[target].to_numpy()) if task == "count" else table[target].to_numpy()
    return Problem(task, inputs.to_numpy(), y, seen)


def _of_lifelines(name: str, target: str, event: str) -> Problem:
    from lifelines import datasets

    return _of_table("survival", getattr(datasets, f"load_{name}")(), target, event)


def _tumour_grades() -> Problem:
    from lifelines import datasets

    table = datasets.load_gbsg2().drop(columns=["time", "cens"])
    table["tgrade"] = table["tgrade"].map({"I": 0.0, "II": 1.0, "III": 2.0})
    return _of_table("ordinal", table, "tgrade")


def _of_statsmodels(name: str, task: str, target: str) -> Problem:
    import statsmodels.api as sm

    return _of_table(task, getattr(sm.datasets, name).load_pandas().data, target)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "rossi": lambda: _of_lifelines("rossi", "week", "arrest"),
    "gbsg2": lambda: _of_lifelines("gbsg2", "time", "cens"),
    "randhie": lambda: _of_statsmodels("randhie", "count", "mdvis"),
    "fair": lambda: _of_statsmodels("fair", "count", "affairs"),
    "grade": _tumour_grades,
}
"""Sets by their names: prisoners' next arrest, breast cancer's return, visits to a doctor, affairs,
and a tumour's grade (of three)."""
