"""Counts, ordered classes and times at a node's commands: predict, score, explain."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_node.cli import cli
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.program.simulation import simulate

TASKS = {
    Task.COUNT: DataSpec(
        task=Task.COUNT, target="y", columns=tuple(Column(name=name) for name in "ab")
    ),
    Task.ORDINAL: DataSpec(
        task=Task.ORDINAL,
        target="y",
        columns=tuple(Column(name=name) for name in "ab"),
        classes=("none", "some", "much"),
    ),
    Task.SURVIVAL: DataSpec(
        task=Task.SURVIVAL,
        target="y",
        event="died",
        columns=tuple(Column(name=name) for name in "ab"),
    ),
}


def write(path: Path, data: DataSpec, rows: int, seed: int) -> Path:
    """Rows whose target hangs on ``b`` alone."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 2))
    targets: list[tuple[object, ...]]
    if data.task is Task.COUNT:
        targets = [(each,) for each in random.poisson(np.exp(1 + 0.7 * X[:, 1])).tolist()]
    elif data.task is Task.ORDINAL:
        graded = np.digitize(X[:, 1] + 0.4 * random.normal(size=rows), [-0.5, 0.7])
        targets = [(data.classes[each],) for each in graded.tolist()]
    else:
        event = np.exp(1 + 0.7 * X[:, 1] + 0.4 * random.normal(size=rows))
        lost = random.exponential(10.0, rows)
        seen = (event <= lost).astype(int)
        targets = list(zip(np.minimum(event, lost).tolist(), seen.tolist(), strict=True))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", *data.target_columns])
        writer.writerows([*x, *target] for x, target in zip(X.tolist(), targets, strict=True))
    return path


@pytest.fixture(scope="module", params=list(TASKS), ids=str)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's directory with a model, and rows that it hasn't seen; its name is the task."""
    data, root = TASKS[request.param], tmp_path_factory.mktemp("node") / request.param
    root.mkdir()
    model = ModelSpec(landmarks=15, depths=(1,), biases=(1.0,))
    spec = FederationSpec(name="f", data=data, model=model)
    rows = write(root / "rows.csv", data, 250, 0)
    write(root / "new.csv", data, 80, 1)
    paths = NodePaths(root)
    paths.model.parent.mkdir(parents=True, exist_ok=True)
    simulate(spec, {"one": open_source(rows, data)})["one"].save(paths.model)
    paths.config.write_text('name = "one"\ndata = "rows.csv"\n')
    return root


def ask(node: Path, *arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli, [*arguments, "--dir", str(node)], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.output


def test_predictions_are_printed(node: Path) -> None:
    """As CSV, a line for each row: the columns of the task."""
    arguments = ["--at", "2", "--at", "5"] if node.name == Task.SURVIVAL else []
    text = ask(node, "predict", "--csv", str(node / "new.csv"), *arguments)
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 80
    assert (
        list(rows[0])
        == {
            Task.COUNT: ["mean", "sd", "lower", "upper"],
            Task.ORDINAL: ["label", "p_none", "p_some", "p_much"],
            Task.SURVIVAL: ["median", "lower", "upper", "survival_2", "survival_5"],
        }[Task(node.name)]
    )


def test_scores_are_the_tasks(node: Path) -> None:
    """And good ones."""
    (scores,) = json.loads(ask(node, "score", "--json", "--csv", str(node / "new.csv")))["scores"]
    assert scores["rows"] == 80
    if node.name == Task.COUNT:
        assert 0.5 < scores["poisson_deviance"] < 1.6
        assert scores["coverage95"] > 0.9
    elif node.name == Task.ORDINAL:
        assert scores["rps"] < 0.12
        assert scores["accuracy"] > 0.6
    else:
        assert scores["concordance"] > 0.7
        assert scores["coverage95"] > 0.88
        assert scores["calibration_error"] < 0.15


def test_the_input_that_matters_comes_first(node: Path) -> None:
    """As for any model."""
    assert json.loads(ask(node, "explain", "--json"))["inputs"][0]["input"] == "b"


def test_what_is_for_other_tasks_says_so(node: Path) -> None:
    """Draws, training time, survival at a time; rows left out one by one."""
    refused = [("--samples", "2"), ("--time", "1")]
    refused += [("--at", "1")] if node.name != Task.SURVIVAL else []
    for option in refused:
        arguments = ["predict", "--csv", str(node / "new.csv"), *option, "--dir", str(node)]
        result = CliRunner().invoke(cli, arguments)
        assert "for" in str(result.exception)
    result = CliRunner().invoke(cli, ["score", "--dir", str(node)])
    assert "edge-node score --csv FILE" in str(result.exception)
