"""A saved model is asked by its owner: what matters to it, how good it is, draws, training time."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_node.cli import cli
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.model.model import Model
from edge_node.program.simulation import simulate

INPUTS = ("a", "b", "c")


def write(path: Path, rows: int, seed: int, task: Task) -> Path:
    """Rows whose target hangs on ``b`` alone."""
    random = np.random.default_rng(seed)
    X = random.uniform(-2, 2, size=(rows, 3))
    y = 100 * np.sin(2 * X[:, 1]) + 5 * random.normal(size=rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*INPUTS, "y"])
        for row, target in zip(X, y, strict=True):
            writer.writerow([*row, target if task is Task.REGRESSION else str(target > 0)])
    return path


@pytest.fixture(scope="module", params=[Task.REGRESSION, Task.CLASSIFICATION], ids=str)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's directory with its rows, a model learnt from them, and rows it hasn't seen."""
    task, root = request.param, tmp_path_factory.mktemp("node")
    data = DataSpec(
        task=task,
        target="y",
        columns=tuple(Column(name=name) for name in INPUTS),
        classes=("False", "True") if task is Task.CLASSIFICATION else (),
    )
    spec = FederationSpec(name="f", data=data, model=ModelSpec(landmarks=60, depths=(1,)))
    rows = write(root / "rows.csv", 400, 0, task)
    write(root / "new.csv", 50, 1, task)
    model = simulate(spec, {"one": open_source(rows, data)})["one"]
    paths = NodePaths(root)
    paths.model.parent.mkdir(parents=True, exist_ok=True)
    model.save(paths.model)
    paths.config.write_text('name = "one"\ndata = "rows.csv"\n')
    return root


def ask(node: Path, *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli, [*arguments, "--dir", str(node)], standalone_mode=False)
    assert (result.exception is None) == (code == 0), result.output
    return result.output


def regression(node: Path) -> bool:
    """Whether the node's model is one."""
    return Model.load(NodePaths(node).model).data.task is Task.REGRESSION


def test_the_input_that_matters_comes_first(node: Path, tmp_path: Path) -> None:
    """By a table and by a picture."""
    inputs = json.loads(ask(node, "explain", "--json", "--plot", str(tmp_path / "r.png")))["inputs"]
    assert inputs[0]["input"] == "b"
    assert inputs[0]["share"] > 0.7
    assert sum(row["share"] for row in inputs) == pytest.approx(1.0)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_sites_own_rows_add_is_told(node: Path) -> None:
    """By which refinement, and whether it answers; a model without one says so."""
    found = json.loads(ask(node, "explain", "--json"))
    path = NodePaths(node).model
    model = Model.load(path)
    assert model.refinement is not None
    assert found["site_refinement"] == model.refinement.kind
    assert found["site_answers"] == model.prefers_site
    assert "own rows refine" in ask(node, "explain")
    replace(model, refinement=None, prefers_site=False).save(path)
    try:
        assert json.loads(ask(node, "explain", "--json"))["site_refinement"] == "none"
        assert "add nothing" in ask(node, "explain")
    finally:
        model.save(path)


def test_a_picture_that_cannot_be_drawn_is_refused(node: Path, tmp_path: Path) -> None:
    """By its name, or for want of a folder; nothing is left behind."""
    for name, message in (("r.jpeg", "png, svg, pdf"), ("no/r.png", "Create the directory")):
        result = CliRunner().invoke(
            cli, ["explain", "--plot", str(tmp_path / name), "--dir", str(node)]
        )
        assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_scores_of_rows_it_has_not_seen(node: Path) -> None:
    """In the target's unit: noise has an sd of 5."""
    scores = json.loads(ask(node, "score", "--json", "--csv", str(node / "new.csv")))["scores"]
    if regression(node):
        assert [row["posterior"] for row in scores] == ["global", "site"]
        for row in scores:
            assert row["rows"] == 50
            assert 3.0 < row["rmse"] < 25.0
            assert 0.8 <= row["coverage95"] <= 1.0
        assert scores[0]["best_time"] > 0
    else:
        assert scores[0]["accuracy"] > 0.85
        assert 0 < scores[0]["log_loss"] < 0.5


def test_a_node_scores_its_own_rows_without_each(node: Path) -> None:
    """Leave-one-out agrees with unseen rows; a classifier says what to do instead."""
    if not regression(node):
        result = CliRunner().invoke(cli, ["score", "--dir", str(node)])
        assert "edge-node score --csv FILE" in str(result.exception)
        return
    (own,) = json.loads(ask(node, "score", "--json"))["scores"]
    unseen = json.loads(ask(node, "score", "--json", "--csv", str(node / "new.csv")))["scores"][0]
    assert own["rows"] == 400
    assert own["rmse"] == pytest.approx(unseen["rmse"], rel=0.5)
    assert own["nll"] == pytest.approx(unseen["nll"], abs=0.5)


def test_posteriors_can_be_asked_for(node: Path) -> None:
    """Global and site differ; auto is one of them."""
    new = ["--csv", str(node / "new.csv")]
    answers = {
        which: ask(node, "predict", *new, "--posterior", which)
        for which in ("auto", "global", "site")
    }
    assert answers["global"] != answers["site"]
    assert answers["auto"] in (answers["global"], answers["site"])


def test_draws_and_training_time(node: Path) -> None:
    """Draws repeat by their seed and scatter around the mean; time zero predicts the mean of y."""
    new = ["--csv", str(node / "new.csv")]
    drawn = ask(node, "predict", *new, "--samples", "200")
    assert drawn == ask(node, "predict", *new, "--samples", "200")
    values = np.array([line.split(",") for line in drawn.splitlines()[1:]], dtype=float)
    if not regression(node):
        assert values.shape == (50, 400)
        np.testing.assert_allclose(values[:, :200] + values[:, 200:], 1.0)
        return
    assert values.shape == (50, 200)
    mean = [
        float(line.split(",")[0])
        for line in ask(node, "predict", *new, "--posterior", "global").splitlines()[1:]
    ]
    assert np.abs(values.mean(axis=1) - mean).max() < 0.4 * values.std(axis=1).max()
    result = CliRunner().invoke(
        cli, ["predict", *new, "--time", "1", "--posterior", "site", "--dir", str(node)]
    )
    assert result.exit_code == 2
    location = Model.load(NodePaths(node).model).encoder.target_location
    untrained = ask(node, "predict", *new, "--time", "0").split()[1:]
    np.testing.assert_allclose(np.array(untrained, dtype=float), location, rtol=1e-12)


def test_a_node_that_took_no_part_has_nothing_to_leave_out(node: Path) -> None:
    """It is told what to do instead."""
    if not regression(node):
        return
    config = NodePaths(node).config
    before = config.read_text()
    config.write_text(before.replace("one", "two"))
    try:
        result = CliRunner().invoke(cli, ["score", "--dir", str(node)])
    finally:
        config.write_text(before)
    assert "took no part" in str(result.exception)
