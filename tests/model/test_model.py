"""A model at a node: which posterior answers, and what is kept where."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import SiteRefinement, Task, Which
from edge_node.data.sources.source import Batch
from edge_node.errors import DataError
from edge_node.model.model import Model
from edge_node.model.predictions import ClassPredictions, IntervalPredictions
from tests.program.test_program import learn, part, rows_for, spec_for

SPEC = spec_for(Task.REGRESSION, landmarks=10, site_block_rows=30, site_rows=50)
ROWS = rows_for(SPEC, 120, 11)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """Two nodes' models of 120 rows: 40 and 80."""
    parts = [part(ROWS, rows) for rows in np.split(np.arange(120), [40])]
    return list(learn(SPEC, parts).values())


def answer(model: Model, batch: Batch, which: Which) -> IntervalPredictions:
    """A regression's."""
    found = model.predict(batch, which=which)
    assert isinstance(found, IntervalPredictions)
    return found


def test_nodes_share_the_global_posterior_and_refine_it_with_their_own_rows(
    models: list[Model],
) -> None:
    """Each node's blocks are its first rows; noise, amplitude and evidence are its own."""
    one, other = models
    assert one.refinement is not None
    assert other.refinement is not None
    sizes = [[len(b.targets) for b in m.refinement.blocks] for m in models]
    assert [sum(each) for each in sizes] == [40, 50]
    assert all(size <= 30 for each in sizes for size in each)
    np.testing.assert_array_equal(one.posterior.mean, other.posterior.mean)
    assert one.refinement.posterior.noise != other.refinement.posterior.noise
    queries = part(ROWS, np.arange(20))
    np.testing.assert_array_equal(
        answer(one, queries, Which.GLOBAL).mean, answer(other, queries, Which.GLOBAL).mean
    )
    assert (answer(one, queries, Which.SITE).mean != answer(other, queries, Which.SITE).mean).any()


@pytest.mark.parametrize("prefers", [False, True])
def test_auto_takes_the_posterior_that_the_site_prefers(
    models: list[Model], tmp_path: Path, prefers: bool
) -> None:
    """Also when the model was read back."""
    model, queries = models[0], part(ROWS, np.arange(20))
    which = Which.SITE if prefers else Which.GLOBAL
    changed = replace(model, prefers_site=prefers)
    changed.save(tmp_path / "model.npz")
    for each in (changed, Model.load(tmp_path / "model.npz")):
        np.testing.assert_array_equal(
            answer(each, queries, Which.AUTO).mean, answer(model, queries, which).mean
        )


def test_far_rows_are_answered_by_the_global_posterior(models: list[Model]) -> None:
    """Row by row: near ones by the site's."""
    model = models[0]
    queries = part(ROWS, np.arange(4))
    numeric = queries.numeric.copy()
    numeric[0] = [80.0, 1.7e9, 0.0]
    mixed = replace(queries, numeric=numeric)
    shared, site = (answer(model, mixed, which) for which in (Which.GLOBAL, Which.SITE))
    assert site.mean[0] == pytest.approx(shared.mean[0], rel=1e-12)
    assert site.sd[0] == pytest.approx(shared.sd[0], rel=1e-12)
    assert (np.abs(site.mean[1:] / shared.mean[1:] - 1) > 1e-9).all()


def test_intervals_are_those_of_a_new_observation(models: list[Model]) -> None:
    """Noise included, at any level, in the target's unit."""
    own = part(ROWS, np.arange(40, 120))
    for which in Which:
        found = answer(models[1], own, which)
        inside = (found.lower <= own.target) & (own.target <= found.upper)
        assert 0.85 < inside.mean() <= 1.0
        assert (found.sd > 0).all()


def test_a_model_survives_the_disk(models: list[Model], tmp_path: Path) -> None:
    """The same answers; what is the site's alone is in a private file of its own."""
    path = tmp_path / "model.npz"
    models[0].save(path)
    again = Model.load(path)
    assert again.provenance == models[0].provenance
    for which in Which:
        np.testing.assert_array_equal(
            answer(again, ROWS, which).sd, answer(models[0], ROWS, which).sd
        )
    site = tmp_path / "model.site.npz"
    assert site.stat().st_mode & 0o777 == 0o600
    with np.load(path) as archive:
        assert not {"inputs", "targets"} & set(archive.files)


def test_another_models_rows_are_not_taken_for_ones_own(
    models: list[Model], tmp_path: Path
) -> None:
    """A crash between the two files, or a copied one."""
    models[0].save(tmp_path / "model.npz")
    run = msgspec.structs.replace(models[1].provenance, run=7)
    replace(models[1], provenance=run).save(tmp_path / "other.npz")
    (tmp_path / "other.site.npz").replace(tmp_path / "model.site.npz")
    assert Model.load(tmp_path / "model.npz").refinement is None


def test_rows_of_an_earlier_model_do_not_stay(models: list[Model], tmp_path: Path) -> None:
    """A model without refinement leaves no site's file; the next one's is its own."""
    path, site = tmp_path / "model.npz", tmp_path / "model.site.npz"
    models[0].save(path)
    assert site.exists()
    replace(models[0], refinement=None).save(path)
    assert not site.exists()
    assert Model.load(path).refinement is None


@pytest.mark.parametrize("name", ["model.npz", "model.site.npz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive"])
def test_damage_is_refused_by_the_files_name(
    models: list[Model], tmp_path: Path, name: str, content: bytes
) -> None:
    """Of the file that is damaged, be it empty or no archive."""
    models[0].save(tmp_path / "model.npz")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"/{name}: .* damaged"):
        Model.load(tmp_path / "model.npz")


@pytest.mark.parametrize("name", ["model.npz", "model.site.npz"])
@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_arrays_that_answer_nothing_are_damage(tmp_path: Path, task: Task, name: str) -> None:
    """Each array, with an entry more or one that is no number. The control: as it was written."""
    spec = spec_for(task, landmarks=8, site_refinement=SiteRefinement.BLOCKS)
    rows = rows_for(spec, 90, 11)
    model = learn(spec, [part(rows, each) for each in np.split(np.arange(90), [40])])["node-00"]
    path = tmp_path / "model.npz"
    model.save(path)
    with np.load(tmp_path / name) as archive:
        arrays = {each: archive[each] for each in archive.files}
    numbers = [each for each, array in arrays.items() if array.dtype.kind == "f"]
    assert len(numbers) > 4
    for each in numbers:
        longer = np.append(arrays[each].ravel(), 1.0)
        for wrong in (longer, np.full_like(arrays[each], np.nan)):
            np.savez(tmp_path / name, **arrays | {each: wrong})
            with pytest.raises(DataError, match=rf"/{name}: .* damaged"):
                Model.load(path)
    np.savez(tmp_path / name, **arrays)
    Model.load(path)


def test_a_file_of_another_format_is_refused(models: list[Model], tmp_path: Path) -> None:
    """Its arrays may mean something else, as those of format 2 did."""
    path = tmp_path / "model.npz"
    models[0].save(path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = msgspec.json.decode(arrays["header"].tobytes())
    for number in (header["format"], 2):
        header["format"] = number
        arrays["header"] = np.frombuffer(msgspec.json.encode(header), dtype=np.uint8)
        np.savez(path, **arrays)
        if number == 2:
            with pytest.raises(DataError, match="expected a model of format 6, found format 2"):
                Model.load(path)
        else:
            Model.load(path)


def test_a_classifier_has_one_posterior_in_one_sweep_if_need_be(tmp_path: Path) -> None:
    """Label regression's sums are all it needs; probabilities still are some."""
    spec = spec_for(Task.CLASSIFICATION, 3, newton_steps=0, metric_repetitions=0)
    batch = rows_for(spec, 90, 5)
    models = list(
        learn(spec, [part(batch, rows) for rows in np.array_split(np.arange(90), 3)]).values()
    )
    provenance = models[0].provenance
    assert provenance.learnt_in == "posterior"
    assert provenance.sums == 7  # counts, labels, means, spread, statistics, k-means, posterior
    found = models[0].predict(batch)
    assert isinstance(found, ClassPredictions)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    assert (found.probabilities.argmax(axis=1) == batch.target).mean() > 0.6
    with pytest.raises(DataError, match="holds no posterior of its own"):
        models[0].predict(batch, which=Which.SITE)


def test_a_classifier_is_refined_as_a_regression_is(tmp_path: Path) -> None:
    """Sites share one posterior, answer by themselves if asked, and their rows stay in a file of
    their own.
    """
    spec = spec_for(Task.CLASSIFICATION, 3, site_refinement=SiteRefinement.BLOCKS)
    batch = rows_for(spec, 120, 5)
    one, other = learn(
        spec, [part(batch, rows) for rows in np.split(np.arange(120), [50])]
    ).values()
    answers = {
        (i, which): _probabilities(model, batch, which)
        for i, model in enumerate((one, other))
        for which in Which
    }
    np.testing.assert_array_equal(answers[0, Which.GLOBAL], answers[1, Which.GLOBAL])
    assert np.abs(answers[0, Which.SITE] - answers[1, Which.SITE]).max() > 1e-3
    for prefers, which in ((True, Which.SITE), (False, Which.GLOBAL)):
        changed = replace(one, prefers_site=prefers)
        changed.save(tmp_path / "model.npz")
        for each in (changed, Model.load(tmp_path / "model.npz")):
            np.testing.assert_array_equal(
                _probabilities(each, batch, Which.AUTO), answers[0, which]
            )
    assert (tmp_path / "model.site.npz").stat().st_mode & 0o777 == 0o600
    with np.load(tmp_path / "model.npz") as archive:
        assert not {"inputs", "targets", "shift"} & set(archive.files)


def test_refining_a_classifier_tells_nothing() -> None:
    """The same sums, and the same shared posterior, bit for bit."""
    found = []
    for refines in (SiteRefinement.BLOCKS, SiteRefinement.NONE):
        spec = spec_for(Task.CLASSIFICATION, 3, site_refinement=refines)
        batch = rows_for(spec, 120, 5)
        parts = [part(batch, rows) for rows in np.array_split(np.arange(120), 3)]
        found.append(next(iter(learn(spec, parts).values())))
    refined, plain = found
    assert refined.refinement is not None
    assert plain.refinement is None
    assert refined.provenance.sums == plain.provenance.sums
    assert refined.provenance.bill == plain.provenance.bill
    theirs = plain.posterior.to_arrays()
    for name, array in refined.posterior.to_arrays().items():
        np.testing.assert_array_equal(array, theirs[name])


def _probabilities(model: Model, batch: Batch, which: Which) -> Matrix:
    found = model.predict(batch, which=which)
    assert isinstance(found, ClassPredictions)
    return found.probabilities
