"""Wild cells, heavy-tailed columns and outliers among targets, through the whole program."""

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    SiteRefinement,
    Task,
    Which,
)
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.model.predictions import IntervalPredictions
from edge_node.program.simulation import simulate, simulate_pooled

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(900, 3))
F = np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1]
Y = F[:400] + 0.1 * RANDOM.normal(size=400)
WRONG = RANDOM.choice(400, 20, replace=False)  # 5 % of the targets


def spec(likelihood: Likelihood = Likelihood.AUTO) -> FederationSpec:
    """A federation's, with a small model."""
    return FederationSpec(
        name="robust",
        data=DataSpec(
            task=Task.REGRESSION, target="y", columns=tuple(Column(name=c) for c in "abc")
        ),
        model=ModelSpec(
            kernels=(KernelKind.NTK,),
            depths=(1,),
            biases=(1.0,),
            landmarks=60,
            landmark_kinds=(LandmarkKind.GAUSSIAN,),
            metric_repetitions=1,
            site_refinement=SiteRefinement.NONE,
            likelihood=likelihood,
        ),
        minimum_rows=0,
    )


def rows(inputs: Matrix, targets: Vector | None) -> Batch:
    """A batch of numbers."""
    return Batch(inputs, np.empty((len(inputs), 0), dtype=object), targets)


def learnt(inputs: Matrix, targets: Vector, likelihood: Likelihood = Likelihood.AUTO) -> Model:
    """What one node with all rows learns."""
    return simulate(spec(likelihood), {"all": MemorySource((rows(inputs, targets),))})["all"]


def rmse(model: Model, inputs: Matrix) -> float:
    """On rows that weren't learnt from, against the function itself."""
    answers = model.predict(rows(inputs, None), which=Which.GLOBAL)
    assert isinstance(answers, IntervalPredictions)
    return float(np.sqrt(np.mean((answers.mean - F[400:]) ** 2)))


@pytest.fixture(name="clean", scope="module")
def clean() -> float:
    """The error that is left without any wild value."""
    return rmse(learnt(X[:400], Y), X[400:])


@pytest.mark.parametrize("wild", [1e9, -1e9, 1e100])
def test_one_wild_cell_changes_hardly_anything(wild: float, clean: float) -> None:
    """An input. Its column's deviation would be so large that all other cells were one number."""
    inputs = X.copy()
    inputs[5, 0] = wild
    assert np.ptp(inputs[400:, 0]) < 1e-6 * inputs[:400, 0].std()
    assert rmse(learnt(inputs[:400], Y), inputs[400:]) < 1.1 * clean


def test_one_wild_target_changes_hardly_anything(clean: float) -> None:
    """Nor does it set the scale of all others. A Gaussian takes it for ten deviations."""
    targets = Y.copy()
    targets[5] = 1e9
    model = learnt(X[:400], targets)
    assert model.encoder.target_scale == pytest.approx(Y.std(), rel=0.05)
    assert model.encoder.wild_targets
    assert rmse(model, X[400:]) < 1.1 * clean
    assert rmse(learnt(X[:400], targets, Likelihood.GAUSSIAN), X[400:]) > 1.2 * clean


@pytest.mark.parametrize("kind", ["lognormal", "Cauchy"])
def test_a_heavy_tailed_column_is_as_good_as_its_logarithm(kind: str, clean: float) -> None:
    """Whose distribution is normal here, or nearly."""
    from scipy.stats import cauchy, norm

    inputs = X.copy()
    heavy = {"lognormal": lambda g: np.exp(3.0 * g), "Cauchy": lambda g: cauchy.ppf(norm.cdf(g))}
    inputs[:, 0] = heavy[kind](X[:, 0])
    assert rmse(learnt(inputs[:400], Y), inputs[400:]) < 1.1 * clean


@pytest.mark.parametrize("sides", [(1.0, -1.0), (1.0, 1.0)])
def test_gross_errors_among_targets_hardly_matter(sides: tuple, clean: float) -> None:
    """One in twenty is nine off. On one side they might be a long tail: the spec has to say."""
    targets = Y.copy()
    targets[WRONG] += 9.0 * np.resize(sides, 20)
    found = learnt(X[:400], targets, Likelihood.STUDENT_T)
    gaussian = rmse(learnt(X[:400], targets, Likelihood.GAUSSIAN), X[400:])
    assert rmse(found, X[400:]) < 1.3 * clean
    assert gaussian > 1.4 * rmse(found, X[400:])
    chosen = learnt(X[:400], targets).posterior
    assert isinstance(chosen, Posterior)
    assert (chosen.precisions is not None) is (sides[1] < 0)


def test_ordinary_targets_keep_their_gaussian_posterior() -> None:
    """To the bit; only outliers were looked for."""
    chosen, gaussian = learnt(X[:400], Y), learnt(X[:400], Y, Likelihood.GAUSSIAN)
    mine, theirs = chosen.posterior.to_arrays(), gaussian.posterior.to_arrays()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, theirs[name])
    assert chosen.provenance.sums == gaussian.provenance.sums + 1


def test_nodes_learn_what_one_machine_would_from_targets_with_outliers() -> None:
    """Given the same parts, to rounding; also with a column that enters as a logarithm."""
    inputs, targets = X[:400].copy(), Y.copy()
    inputs[:, 0] = np.exp(3.0 * X[:400, 0])
    targets[WRONG] += 9.0 * np.resize([1.0, -1.0], 20)
    parts = np.array_split(np.arange(400), 4)
    sources = {
        f"n{i}": MemorySource((rows(inputs[own], targets[own]),)) for i, own in enumerate(parts)
    }
    nodes, pooled = simulate(spec(), sources), simulate_pooled(spec(), sources)
    assert nodes["n0"].encoder.numeric[0].log is not None
    assert isinstance(pooled.posterior, Posterior)
    assert pooled.posterior.precisions is not None
    for node in nodes.values():
        mean, variance = node.posterior.predict(X[400:])
        expected = pooled.posterior.predict(X[400:])
        np.testing.assert_allclose(mean, expected[0], atol=1e-8)
        np.testing.assert_allclose(variance, expected[1], atol=1e-8)


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_a_linear_function_is_found_as_by_hubers_regression(share: float) -> None:
    """scikit-learn's, which knows that the function is linear; and least squares don't find it."""
    from sklearn.linear_model import HuberRegressor, LinearRegression

    random = np.random.default_rng(1)
    slopes = np.array([1.0, -0.5, 0.2])
    targets = X[:400] @ slopes + 0.1 * random.normal(size=400)
    wrong = random.random(400) < share
    targets[wrong] += 9.0 * random.choice([-1.0, 1.0], wrong.sum())
    expected = X[400:] @ slopes

    def miss(answers: Vector) -> float:
        return float(np.sqrt(np.mean((answers - expected) ** 2)))

    answers = learnt(X[:400], targets).predict(rows(X[400:], None))
    assert isinstance(answers, IntervalPredictions)
    huber = miss(HuberRegressor().fit(X[:400], targets).predict(X[400:]))
    squares = miss(LinearRegression().fit(X[:400], targets).predict(X[400:]))
    assert huber < miss(answers.mean) < 0.12
    assert (squares > 0.12) is (share > 0)
