"""A run's intervals: of rows like the site's and, if the schema names a time, of later ones."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.arrays import Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task, Which
from edge_node.data.sources.source import Batch, MemorySource, open_source
from edge_node.errors import DataError, NumericalError
from edge_node.inference.regression.calibration import PRIOR_ROWS, HeldOutScores
from edge_node.inference.regression.posterior import Posterior
from edge_node.model.model import Model
from edge_node.model.predictions import IntervalPredictions
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

SITES, ROWS, LATER = 4, 150, 37
COLUMNS = tuple(Column(name=name) for name in ("day", "dose"))
SPEC = FederationSpec(
    name="ward",
    data=DataSpec(task=Task.REGRESSION, target="y", columns=COLUMNS),
    model=ModelSpec(landmarks=25, depths=(1,), biases=(1.0,), metric_repetitions=0),
)
TIMED = msgspec.structs.replace(SPEC, data=msgspec.structs.replace(SPEC.data, time="day"))
ANY = Allowance.unlimited()


def batch_of(day: Vector, dose: Vector, y: Vector) -> Batch:
    """Rows, the latest first."""
    order = np.argsort(-day)
    numeric = np.column_stack([day, dose])[order]
    return Batch(numeric, np.empty((len(day), 0), dtype=object), y[order])


def walk(seed: int) -> tuple[Batch, Batch]:
    """A site whose level rises or falls for a month at a time: what is known, and what comes."""
    random = np.random.default_rng(seed)
    day = np.arange(ROWS + LATER, dtype=float)
    dose = random.normal(size=len(day))
    months = np.arange(0, len(day) + 30, 30)
    level = np.interp(day, months, np.cumsum(random.normal(size=len(months))))
    y = 0.3 * np.sin(2 * dose) + level + 0.1 * random.normal(size=len(day))
    known = day < ROWS
    return batch_of(day[known], dose[known], y[known]), batch_of(
        day[~known], dose[~known], y[~known]
    )


def noisy(seed: int, spread: float = 1.0) -> tuple[Batch, Batch]:
    """A site whose errors have heavy tails: two draws of the same kind."""
    random = np.random.default_rng(seed)

    def draw() -> Batch:
        day, dose = random.normal(size=(2, ROWS))
        return batch_of(day, dose, np.sin(2 * dose) + spread * 0.3 * random.standard_t(3, ROWS))

    return draw(), draw()


def learn(spec: FederationSpec, parts: list[Batch]) -> list[Model]:
    """A node for each part; their rows may tell anything."""
    sources = {f"node-{i}": MemorySource((part,)) for i, part in enumerate(parts)}
    return list(simulate(spec, sources, allowance=ANY).values())


def covered(model: Model, rows: Batch, which: Which = Which.AUTO, level: float = 0.95) -> float:
    """The share of rows within their interval."""
    found = model.predict(rows, level=level, which=which)
    assert isinstance(found, IntervalPredictions)
    assert rows.target is not None
    return float(((found.lower <= rows.target) & (rows.target <= found.upper)).mean())


@pytest.mark.parametrize("which", Which)
def test_intervals_hold_new_rows_of_the_same_kind(which: Which) -> None:
    """Whichever posterior answers, although errors aren't Gaussian."""
    known, new = zip(*(noisy(seed) for seed in range(SITES)), strict=True)
    models = learn(SPEC, list(known))
    for level in (0.8, 0.95):
        shares = [covered(m, rows, which, level) for m, rows in zip(models, new, strict=True)]
        assert np.mean(shares) == pytest.approx(level, abs=0.03)


def test_a_sites_intervals_are_as_wide_as_its_own_errors() -> None:
    """A site with six times the noise doesn't widen the others' intervals, nor they narrow its."""
    parts = [noisy(seed, 6.0 if seed == 0 else 1.0) for seed in range(SITES)]
    models = learn(SPEC, [known for known, _ in parts])
    for model, (_, new) in zip(models, parts, strict=True):
        assert covered(model, new, Which.SITE) == pytest.approx(0.95, abs=0.05)
    new = [each for _, each in parts]
    shared = [covered(m, rows, Which.GLOBAL) for m, rows in zip(models, new, strict=True)]
    assert shared[0] < 0.9, "one width for all can't fit this site"
    assert np.mean(shared) == pytest.approx(0.95, abs=0.04)


def test_later_rows_have_wider_intervals_than_rows_in_between() -> None:
    """Rows in between know their neighbours on both sides; so do scores that ignore time."""
    known, later = zip(*(walk(seed) for seed in range(8)), strict=True)
    plain, timed = (learn(spec, list(known)) for spec in (SPEC, TIMED))
    assert max(factor(model) for model in plain) < 1.1 < min(factor(model) for model in timed)
    shares = [
        np.mean([covered(model, rows) for model, rows in zip(models, later, strict=True)])
        for models in (plain, timed)
    ]
    assert shares[0] < 0.87
    assert shares[1] > 0.9


def factor(model: Model) -> float:
    """Of a site's own variance."""
    assert model.refinement is not None
    return model.refinement.posterior.calibration.factor


@pytest.mark.parametrize("spec", [SPEC, TIMED], ids=["exchangeable", "timed"])
def test_scores_are_those_of_the_pooled_rows(spec: FederationSpec) -> None:
    """Also those of later rows, as long as each site's are its own."""
    parts = [walk(seed)[0] for seed in range(3)]
    sources = {f"node-{i}": MemorySource((part,)) for i, part in enumerate(parts)}
    models = simulate(spec, sources, allowance=ANY)
    pooled = simulate_pooled(spec, sources, allowance=ANY)
    for model in models.values():
        np.testing.assert_allclose(scores(model), scores(pooled), rtol=1e-7)


def scores(model: Model) -> Vector:
    """Of the global posterior's held-out rows."""
    assert isinstance(model.posterior, Posterior)
    return model.posterior.calibration.scores.pack()


def test_few_rows_tell_no_scores() -> None:
    """Fifteen numbers would be too much of what they may tell: the model is believed."""
    parts = [noisy(seed)[0] for seed in range(3)]
    few = Allowance(rows=60, columns=3, most_told=0.5)
    sources = {f"node-{i}": MemorySource((part,)) for i, part in enumerate(parts)}
    for allowance, told in ((few, False), (ANY, True)):
        model = next(iter(simulate(SPEC, sources, allowance=allowance).values()))
        assert ("calibration" in model.provenance.cohorts) is told
        assert isinstance(model.posterior, Posterior)
        scores = model.posterior.calibration.scores
        assert (scores.mean_square == pytest.approx(1.0)) is not told
        assert factor(model) != pytest.approx(1.0)


def test_a_site_whose_past_misleads_prefers_what_all_share() -> None:
    """At one site the last half's response is turned around; elsewhere nothing changes."""

    def site(seed: int, turned: bool) -> Batch:
        random = np.random.default_rng(seed)
        day, dose = np.arange(ROWS, dtype=float), random.normal(size=ROWS)
        local = np.where(day < ROWS // 2, 3.0, 0.0) * turned * np.sign(dose)
        return batch_of(day, dose, np.sin(dose) + local + 0.2 * random.normal(size=ROWS))

    columns = tuple(Column(name=name) for name in ("dose",))
    data = msgspec.structs.replace(TIMED.data, columns=columns)
    spec = msgspec.structs.replace(TIMED, data=data)
    parts = [site(seed, seed == 0) for seed in range(SITES)]
    models = learn(
        spec, [Batch(each.numeric[:, 1:], each.categorical, each.target) for each in parts]
    )
    assert [model.prefers_site for model in models] == [False, True, True, True]


def test_a_files_rows_are_taken_by_their_times(tmp_path: Path) -> None:
    """In whatever order they were written."""
    sources, files = {}, {}
    for seed in range(3):
        known, _ = walk(seed)
        sources[f"node-{seed}"] = MemorySource((known,))
        path = tmp_path / f"{seed}.csv"
        assert known.target is not None
        rows = np.column_stack([known.numeric, known.target])
        np.random.default_rng(1).shuffle(rows)
        lines = [",".join(map(repr, row)) for row in rows.tolist()]
        path.write_text("\n".join(["day,dose,y", *lines]) + "\n")
        files[f"node-{seed}"] = open_source(path, TIMED.data)
    found, expected = (simulate(TIMED, each, allowance=ANY)["node-0"] for each in (files, sources))
    np.testing.assert_allclose(scores(found), scores(expected), rtol=1e-9)
    assert factor(found) == pytest.approx(factor(expected), rel=1e-9)


def few(rows: int, seed: int) -> MemorySource:
    """Rows of a small site."""
    part = walk(seed)[0]
    assert part.target is not None
    return MemorySource((Batch(part.numeric[:rows], part.categorical[:rows], part.target[:rows]),))


@pytest.mark.parametrize("spec", [SPEC, TIMED], ids=["exchangeable", "timed"])
def test_a_site_that_holds_out_few_rows_gives_no_scores(spec: FederationSpec) -> None:
    """Of nine rows four are later ones; of four, all are left out in turn. Pooled rows, too."""
    small, held = (9, 75 + 40) if spec is TIMED else (4, 150 + 80)
    sources = {"a": few(150, 0), "b": few(80, 1), "c": few(small, 2)}
    nodes = simulate(spec, sources, allowance=ANY)["a"]
    for model in (nodes, simulate_pooled(spec, sources, allowance=ANY)):
        assert scores(model)[:-1].sum() == pytest.approx(held + PRIOR_ROWS)
    enough = simulate(spec, {**sources, "c": few(small + 1, 2)}, allowance=ANY)["a"]
    assert scores(enough)[:-1].sum() == pytest.approx(held + 5 + PRIOR_ROWS)


def test_scores_below_zero_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member's that take back others' would make variances negative."""
    sources = {"a": few(150, 0), "b": few(80, 1)}
    pack = HeldOutScores.pack
    monkeypatch.setattr(HeldOutScores, "pack", lambda scores: pack(scores) - 30.0)
    with pytest.raises(NumericalError, match="no scores"):
        simulate(SPEC, sources, allowance=ANY)


@pytest.mark.parametrize("scores", [np.zeros(15), np.full(15, np.nan), -np.ones(15), np.ones(14)])
def test_a_file_with_other_scores_is_damaged(scores: Vector, tmp_path: Path) -> None:
    """It is refused when it is read, not when it is asked. Untouched, it is read."""
    path = tmp_path / "model.npz"
    simulate(SPEC, {"a": few(150, 0)}, allowance=ANY)["a"].save(path)
    assert Model.load(path).provenance.rows == 150
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **(arrays | {"scores": scores}))
    with pytest.raises(DataError, match="damaged"):
        Model.load(path)
