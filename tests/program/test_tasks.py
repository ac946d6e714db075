"""Counts, ordered classes and times to an event: over any nodes as on one machine, and as good as
the field's own regressions where those are right.
"""

import warnings
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from edge_node.config import Column, DataSpec, Distribution, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.errors import CohortRefusedError
from edge_node.inference.classification.expansion import numbers_told
from edge_node.inference.likelihoods.counts import Counts
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.likelihoods.survival import Times
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions, TimePredictions
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # where how much is told is not the question
TASKS = (Task.COUNT, Task.ORDINAL, Task.SURVIVAL)
CLASSES = ("none", "some", "more", "most")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their imports
    import statsmodels.api as sm
    from lifelines import LogNormalAFTFitter, WeibullAFTFitter
    from statsmodels.miscmodels.ordinal_model import OrderedModel


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and rows to predict.

    Attributes:
        spec: the federation's.
        X: inputs (n, 3).
        y: targets (n,) as batches have them.
        mu: the truth that counts are drawn around (n,).
    """

    spec: FederationSpec
    X: np.ndarray
    y: np.ndarray
    mu: np.ndarray

    def batch(self, rows: np.ndarray) -> Batch:
        """Some rows."""
        return Batch(self.X[rows], np.empty((len(rows), 0), dtype=object), self.y[rows])

    def sites(self, rows: int, nodes: int, seed: int = 0) -> dict[str, MemorySource]:
        """The first rows, spread over nodes at random."""
        owners = np.random.default_rng(seed).integers(0, nodes, rows)
        parts = [np.flatnonzero(owners == node) for node in range(nodes)]
        return {f"n{i:02d}": MemorySource((self.batch(p),)) for i, p in enumerate(parts) if len(p)}


def problem(
    task: Task, rows: int = 300, *, bent: bool = False, seed: int = 0, **model: object
) -> Problem:
    """A linear function of two inputs, or one that bends and has a product; the third is noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3))
    s = np.sin(2 * X[:, 0]) + 0.7 * X[:, 1] * X[:, 2] if bent else X[:, 0] - 0.5 * X[:, 1]
    mu = np.exp(0.5 + 0.6 * s)
    more: dict[str, object] = {}
    if task is Task.COUNT:
        y = random.poisson(mu).astype(float)
    elif task is Task.ORDINAL:
        y = np.digitize(s + 0.7 * random.normal(size=rows), [-1.0, 0.2, 1.3]).astype(float)
        more = {"classes": CLASSES}
    else:
        event = np.exp(1 + 0.6 * s + 0.5 * np.log(random.exponential(size=rows)))
        lost = random.exponential(6.0, rows)
        y = np.where(event <= lost, event, -lost)
        more = {"event": "died"}
    columns = tuple(Column(name=name) for name in "abc")
    data = DataSpec(task=task, target="y", columns=columns, **more)
    settings_ = ModelSpec(**({"landmarks": 20, "depths": (1,), "biases": (1.0,)} | model))
    return Problem(FederationSpec(name="f", data=data, model=settings_, minimum_rows=0), X, y, mu)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(nodes=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_any_partition_gives_the_pooled_posterior(task: Task, nodes: int, seed: int) -> None:
    """The latent function, the likelihood's parameters, and every prediction."""
    given_ = problem(task, 120)
    sources = given_.sites(120, nodes, seed)
    models = simulate(given_.spec, sources, allowance=ANY)
    pooled = simulate_pooled(given_.spec, sources, allowance=ANY)
    queries = given_.batch(np.arange(20))
    mean, sd = pooled.latent(queries)
    for model in models.values():
        theirs = model.latent(queries)
        np.testing.assert_allclose(theirs[0], mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)
        np.testing.assert_allclose(
            posterior(model).parameters, posterior(pooled).parameters, rtol=1e-7, atol=1e-8
        )


def posterior(model: Model) -> LatentPosterior:
    """The model's, which is one of these."""
    assert isinstance(model.posterior, LatentPosterior)
    return model.posterior


def learn(given_: Problem, rows: int, nodes: int = 4, allowance: Allowance | None = ANY) -> Model:
    """What the first rows teach some nodes."""
    models = simulate(given_.spec, given_.sites(rows, nodes), allowance=allowance)
    return next(iter(models.values()))


def log_score(model: Model, batch: Batch) -> float:
    """Mean log predictive probability of known targets; of times, the log density."""
    found = posterior(model)
    likelihood, theta, y = found.likelihood, found.parameters, batch.target
    mean, variance = found.latent(model.encoder.encode(batch))
    if isinstance(likelihood, Counts):
        cumulated = likelihood.cdf(np.column_stack([y - 1, y]), theta, mean, variance)
        return float(np.log(np.diff(cumulated, axis=1)).mean())
    if isinstance(likelihood, Times):
        width = 1e-4
        ends = np.abs(y)[:, None] * np.array([1.0, 1 + width])
        left = likelihood.survival(ends, theta, mean, variance)
        density = -np.diff(left, axis=1)[:, 0] / (width * np.abs(y))
        return float(np.log(np.where(y > 0, density, left[:, 0])).mean())
    p = likelihood.probabilities(theta, mean, variance)
    return float(np.log(p[np.arange(len(y)), y.astype(int)]).mean())


def rival(given_: Problem, rows: int) -> float:
    """The log score of the field's own regression, fitted to the same rows and asked of the rest:
    a Poisson GLM and a cumulative probit (statsmodels), a Weibull AFT (lifelines).
    """
    X, y, task = given_.X, given_.y, given_.spec.data.task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if task is Task.COUNT:
            wide = sm.add_constant(X)
            fitted = sm.GLM(y[:rows], wide[:rows], family=sm.families.Poisson()).fit()
            return float(poisson.logpmf(y[rows:], fitted.predict(wide[rows:])).mean())
        if task is Task.ORDINAL:
            found = OrderedModel(y[:rows], X[:rows], distr="probit").fit(method="bfgs", disp=0)
            p = found.model.predict(found.params, exog=X[rows:])
            return float(np.log(p[np.arange(len(p)), y[rows:].astype(int)]).mean())
        table = pd.DataFrame(X, columns=list("abc")).assign(t=np.abs(y), died=y > 0)
        aft = WeibullAFTFitter().fit(table[:rows], "t", "died")
        return float(aft.score(table[rows:], "log_likelihood"))


@pytest.mark.parametrize("task", TASKS)
def test_as_good_as_the_fields_regression_where_that_is_right(task: Task) -> None:
    """Linear data, four nodes: within .02 nats a row; where the function bends, .1 better."""
    linear = problem(task, 1000)
    ours = log_score(learn(linear, 500), linear.batch(np.arange(500, 1000)))
    assert ours > rival(linear, 500) - 0.02
    bent = problem(task, 1000, bent=True, landmarks=60)
    ours = log_score(learn(bent, 500), bent.batch(np.arange(500, 1000)))
    assert ours > rival(bent, 500) + 0.1


def test_log_normal_times_are_found_to_be() -> None:
    """The bound tells the two distributions apart, and the log score is lifelines'."""
    given_ = problem(Task.SURVIVAL, 1000)
    assert posterior(learn(given_, 500)).likelihood.distribution is Distribution.WEIBULL
    random = np.random.default_rng(4)
    s = given_.X[:, 0] - 0.5 * given_.X[:, 1]
    event, lost = np.exp(1 + 0.6 * s + 0.6 * random.normal(size=1000)), random.exponential(8, 1000)
    given_ = Problem(given_.spec, given_.X, np.where(event <= lost, event, -lost), given_.mu)
    model = learn(given_, 500)
    assert posterior(model).likelihood.distribution is Distribution.LOGNORMAL
    table = pd.DataFrame(given_.X, columns=list("abc"))
    table = table.assign(t=np.abs(given_.y), died=given_.y > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LogNormalAFTFitter().fit(table[:500], "t", "died")
    expected = theirs.score(table[500:], "log_likelihood")
    assert log_score(model, given_.batch(np.arange(500, 1000))) > expected - 0.02


def test_a_distribution_that_is_named_is_taken() -> None:
    """And costs one round of steps."""
    given_ = problem(Task.SURVIVAL, 300, distribution=Distribution.LOGNORMAL)
    model = learn(given_, 300)
    assert posterior(model).likelihood.distribution is Distribution.LOGNORMAL
    either = learn(problem(Task.SURVIVAL, 300), 300)
    assert model.provenance.sums < either.provenance.sums


def test_censoring_matters() -> None:
    """Taking the time until which a row was seen for that of the event is worse by far."""
    given_ = problem(Task.SURVIVAL, 1000)
    assert 0.25 < (given_.y < 0).mean() < 0.5
    queries = given_.batch(np.arange(500, 1000))
    blind = Problem(given_.spec, given_.X, np.abs(given_.y), given_.mu)
    assert log_score(learn(given_, 500), queries) > log_score(learn(blind, 500), queries) + 0.1


def test_intervals_cover() -> None:
    """Counts between 94 and 99.5 %: between whole numbers, more than they say."""
    given_ = problem(Task.COUNT, 1500, bent=True, landmarks=60)
    model = learn(given_, 500)
    answers = model.predict(given_.batch(np.arange(500, 1500)))
    assert isinstance(answers, IntervalPredictions)
    y = given_.y[500:]
    assert 0.94 < ((answers.lower <= y) & (y <= answers.upper)).mean() < 0.995
    assert (answers.lower == np.rint(answers.lower)).all()


def test_counts_that_vary_more_than_poissons_are_noticed() -> None:
    """Of a dispersion of .5: it is found, and intervals cover; Poisson's would cover 85 %."""
    given_ = problem(Task.COUNT, 1500)
    random = np.random.default_rng(3)
    y = random.poisson(3 * given_.mu * random.gamma(2.0, 0.5, 1500)).astype(float)
    given_ = Problem(given_.spec, given_.X, y, given_.mu)
    model = learn(given_, 500)
    dispersion = np.exp(posterior(model).parameters[1])
    assert 0.3 < dispersion < 0.8
    answers = model.predict(given_.batch(np.arange(500, 1500)))
    assert isinstance(answers, IntervalPredictions)
    assert ((answers.lower <= y[500:]) & (y[500:] <= answers.upper)).mean() > 0.93
    low, high = poisson.ppf([[0.025], [0.975]], 3 * given_.mu[500:])
    assert ((low <= y[500:]) & (y[500:] <= high)).mean() < 0.88


@pytest.mark.parametrize("task", TASKS)
def test_a_step_tells_a_gradient_and_few_numbers_more(task: Task) -> None:
    """Within the default allowance: r + 4 numbers, and those of the likelihood's parameters."""
    given_ = problem(task, 800)
    model = learn(given_, 800, allowance=None)
    provenance = model.provenance
    h = {Task.COUNT: 2, Task.SURVIVAL: 2, Task.ORDINAL: 3}[task]
    told = {
        step: numbers
        for step, numbers in provenance.bill.steps.items()
        if step.startswith("newton/")
    }
    r = provenance.landmarks
    assert len(told) >= 2
    assert set(told.values()) == {r + 4 + h + h * (h + 1) // 2} == {numbers_told(r, 1, h)}
    assert provenance.bill.per_cell <= given_.spec.most_told


@pytest.mark.parametrize("task", TASKS)
def test_without_a_step_the_start_answers(task: Task) -> None:
    """The Gaussian fit, read through the likelihood: better than knowing no inputs."""
    given_ = problem(task, 600, newton_steps=0)
    model = learn(given_, 300)
    assert not any(step.startswith("newton/") for step in model.provenance.cohorts)
    assert np.isfinite(model.provenance.log_evidence)
    queries = given_.batch(np.arange(300, 600))
    shuffled = Problem(given_.spec, np.roll(given_.X, 7, axis=0), given_.y, given_.mu)
    assert log_score(model, queries) > log_score(learn(shuffled, 300), queries)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_on_disk_answers_the_same(task: Task, tmp_path) -> None:
    """Every task's archive."""
    given_ = problem(task, 120)
    model, queries = learn(given_, 120), given_.batch(np.arange(10))
    model.save(tmp_path / "model.npz")
    read = Model.load(tmp_path / "model.npz")
    assert read.predict(queries).rows() == model.predict(queries).rows()


def test_an_enormous_count_is_no_sum() -> None:
    """A count a million times the others' counts as ten standard deviations more than they do."""
    given_ = problem(Task.COUNT, 300)
    y = given_.y.copy()
    y[7] = 1e9
    given_ = Problem(given_.spec, given_.X, y, given_.mu)
    model = learn(given_, 300)
    likelihood = posterior(model).likelihood
    counted = likelihood.counts(model.encoder.targets(given_.batch(np.arange(300))))
    np.testing.assert_array_equal(np.delete(counted, 7), np.delete(y, 7))
    assert counted[7] < 1000
    answers = model.predict(given_.batch(np.arange(300)))
    assert isinstance(answers, IntervalPredictions)
    assert np.delete(answers.mean, 7).max() < 100


def test_predictions_are_of_the_task() -> None:
    """Whole numbers, the median class, the time and survival at times that are asked for."""
    given_ = problem(Task.SURVIVAL, 200)
    model, queries = learn(given_, 200), given_.batch(np.arange(10))
    answers = model.predict(queries, times=(1.0, 4.0))
    assert isinstance(answers, TimePredictions)
    assert (answers.lower < answers.median).all()
    assert (answers.median < answers.upper).all()
    assert (answers.survival[:, 0] > answers.survival[:, 1]).all()
    at_median = model.predict(queries, times=(float(answers.median[0]),))
    assert isinstance(at_median, TimePredictions)
    assert at_median.survival[0, 0] == pytest.approx(0.5, abs=1e-6)
    assert set(answers.rows()[0]) == {"median", "lower", "upper", "survival_1", "survival_4"}
    given_ = problem(Task.ORDINAL, 200)
    ordered = learn(given_, 200).predict(given_.batch(np.arange(50)))
    assert isinstance(ordered, ClassPredictions)
    below = np.cumsum(ordered.probabilities, axis=1)
    labels = [CLASSES.index(row["label"]) for row in ordered.rows()]
    for row, label in zip(below, labels, strict=True):
        assert row[label] >= 0.5 - 1e-9
        assert label == 0 or row[label - 1] < 0.5


def test_few_events_at_a_site_stay_at_home() -> None:
    """As rows of a rare class do: of three, the sum of features would nearly be theirs. And with
    them the site's other rows: without the events, these would say that events come late.
    """
    given_ = problem(Task.SURVIVAL, 300)
    order = np.argsort(given_.y < 0, kind="stable")  # events first
    events = int((given_.y > 0).sum())
    cuts = [100, events - 3]  # the last site has three events, and all that were lost from sight
    parts = np.split(order, cuts)
    sources = {f"n{i}": MemorySource((given_.batch(part),)) for i, part in enumerate(parts)}
    model = next(iter(simulate(given_.spec, sources, allowance=ANY).values()))
    assert model.provenance.rows == events - 3
    more = msgspec.structs.replace(given_.spec.data, min_rows_per_category=3)
    spec = msgspec.structs.replace(given_.spec, data=more)
    model = next(iter(simulate(spec, sources, allowance=ANY).values()))
    assert model.provenance.rows == 300


def test_rows_without_any_event_are_refused() -> None:
    """They say how late events are at least, and nothing says how late at most."""
    given_ = problem(Task.SURVIVAL, 300)
    censored = np.split(np.flatnonzero(given_.y < 0), [30, 60])
    sources = {f"n{i}": MemorySource((given_.batch(part),)) for i, part in enumerate(censored)}
    with pytest.raises(CohortRefusedError, match="no site gives an event"):
        simulate(given_.spec, sources, allowance=ANY)
