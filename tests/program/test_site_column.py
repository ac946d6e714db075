"""The site column: nodes fill it with their names, and learn what a pooled file says."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.config import (
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    ModelSpec,
    SiteRefinement,
    Task,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import batch_from_rows, open_source
from edge_node.errors import DataError
from edge_node.model.local import predict_file
from edge_node.model.report import score_file, score_own
from edge_node.program.simulation import simulate, simulate_pooled
from edge_node.security.disclosure.allowance import Allowance

ANY = Allowance.unlimited()  # how much is told is not the question here

COLUMNS = (
    Column(name="sex", kind=ColumnKind.CATEGORICAL, categories=("f", "m")),
    Column(name="clinic", kind=ColumnKind.SITE),
    Column(name="age"),
    Column(name="ward", kind=ColumnKind.CATEGORICAL, categories=("n", "s")),
)
LEVELS = {"bern": -3.0, "oslo": 0.0, "pisa": 4.0}  # what a site adds to each of its targets


def spec_of(task: Task) -> FederationSpec:
    """A federation that is told where rows are from."""
    classes = ("low", "high") if task is Task.CLASSIFICATION else ()
    data = DataSpec(task=task, target="y", columns=COLUMNS, classes=classes)
    model = ModelSpec(
        landmarks=25, depths=(1,), metric_repetitions=0, site_refinement=SiteRefinement.NONE
    )
    return FederationSpec(name="clinics", data=data, model=model)


def written(folder: Path, task: Task) -> dict[str, Path]:
    """A file per site without the site column, and one with all rows and the column."""
    random = np.random.default_rng(0)
    header, pooled, files = "sex,age,ward,y\n", ["sex,age,ward,y,clinic\n"], {}
    for site, level in LEVELS.items():
        rows = []
        for age in random.uniform(20, 80, 25):
            y = level + np.sin(age / 9) + 0.2 * random.normal()
            target = y if task is Task.REGRESSION else ("high" if y > 0 else "low")
            rows.append(f"{random.choice(['f', 'm'])},{age},{random.choice(['n', 's'])},{target}")
        files[site] = folder / f"{site}.csv"
        files[site].write_text(header + "".join(f"{row}\n" for row in rows))
        pooled += [f"{row},{site}\n" for row in rows]
    files["pooled"] = folder / "pooled.csv"
    files["pooled"].write_text("".join(pooled))
    return files


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
def test_the_sites_learn_what_a_pooled_file_says(tmp_path: Path, task: Task) -> None:
    """The list of sites is agreed on by sums; a file that has the column is taken as it is."""
    spec, files = spec_of(task), written(tmp_path, task)
    sources = {site: open_source(files[site], spec.data, site=site) for site in LEVELS}
    pooled = open_source(files["pooled"], spec.data, site="here")
    reference = simulate_pooled(spec, sources, allowance=ANY)
    assert reference.encoder.categorical[1].labels == tuple(LEVELS)
    (queries,) = pooled.batches()
    mean, sd = reference.latent(queries)
    for model in simulate(spec, sources, allowance=ANY).values():
        assert model.encoder == reference.encoder
        theirs = model.latent(queries)
        np.testing.assert_allclose(theirs[0], mean, atol=1e-8 * np.abs(mean).max())
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)


def test_a_node_answers_as_itself(tmp_path: Path) -> None:
    """Rows without the column are its own; rows with it are whose they say."""
    spec, files = spec_of(Task.REGRESSION), written(tmp_path, Task.REGRESSION)
    sources = {site: open_source(files[site], spec.data, site=site) for site in LEVELS}
    model = simulate(spec, sources, allowance=ANY)["pisa"]
    paths = NodePaths(tmp_path)
    paths.model.parent.mkdir()
    model.save(paths.model)
    paths.config.write_text('name = "pisa"\ndata = "pisa.csv"\n')
    (tmp_path / "mine.csv").write_text("sex,age,ward\nf,50,n\n")
    (tmp_path / "theirs.csv").write_text("sex,clinic,age,ward\nf,pisa,50,n\nf,bern,50,n\n")
    (mine,) = predict_file(paths, tmp_path / "mine.csv").rows()
    same, other = predict_file(paths, tmp_path / "theirs.csv").rows()
    assert mine == pytest.approx(same)
    assert mine["mean"] - other["mean"] > 5  # 7 but for the prior
    row = {"sex": "f", "age": 50.0, "ward": "n"}
    batch = batch_from_rows([row, row | {"clinic": "bern"}], spec.data, site="pisa")
    assert model.predict(batch).rows() == [pytest.approx(mine), pytest.approx(other)]
    assert score_own(paths)[0]["rmse"] < 1
    assert score_file(paths, files["pisa"])[0]["rmse"] < 1


def test_the_column_is_needed_where_nobody_says_whose_rows_they_are(tmp_path: Path) -> None:
    """As for a file of public landmarks, which must be the same at every node."""
    spec, files = spec_of(Task.REGRESSION), written(tmp_path, Task.REGRESSION)
    with pytest.raises(DataError, match="column 'clinic' is missing"):
        open_source(files["bern"], spec.data)
    with pytest.raises(DataError, match="column 'clinic' is missing"):
        batch_from_rows([{"sex": "f", "age": 50.0, "ward": "n"}], spec.data)
    without = msgspec.structs.replace(spec.data, columns=(COLUMNS[0], *COLUMNS[2:]))
    assert open_source(files["bern"], without, site="bern").rows == 25


def test_the_label_stands_in_the_columns_place(tmp_path: Path) -> None:
    """Among the categorical ones, in the schema's order."""
    files = written(tmp_path, Task.REGRESSION)
    (batch,) = open_source(files["bern"], spec_of(Task.REGRESSION).data, site="bern").batches()
    assert set(batch.categorical[:, 0]) == {"f", "m"}
    assert set(batch.categorical[:, 1]) == {"bern"}
    assert set(batch.categorical[:, 2]) == {"n", "s"}
