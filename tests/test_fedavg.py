"""The benchmark beside Flower: what it trains, what it keeps, and that its tables hide no loss."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import Setting, read_results
from benchmarks.accuracy.answers import Intervals
from benchmarks.fedavg import measuring, mlp, trees
from benchmarks.fedavg.inputs import answers_of, job_of, spread_case
from benchmarks.fedavg.job import Arrays, Checkpoint, Job, Training
from benchmarks.fedavg.measuring import measure_fedavg
from benchmarks.fedavg.ours import learnt
from benchmarks.fedavg.peers import PYTHON, check_python, checkpoints
from benchmarks.fedavg.tables import tables
from edge_node.errors import ConfigurationError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/fedavg.csv"
PAGE = ROOT / "docs/fedavg.md"
SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason=f"no data sets at {SHARED}")
needs_flower = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"no Flower: there is no {PYTHON} (docs/results.md makes it)"
)


def small_job(method: str = "mlp", classes: int = 0, **how: Any) -> Job:
    """Three sites of a smooth function of three inputs."""
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(rows, 3)).astype(np.float32) for rows in (60, 40, 20, 30)]
    targets = [np.sin(2 * X[:, 0]) + X[:, 1] for X in inputs]
    if classes:
        targets = [(y > 0) * (classes - 1) for y in targets]
    training = Training(method, classes=classes, **{"checkpoints": (1, 3), **how})
    singles = tuple(y.astype(np.float32) for y in targets[:3])
    return Job(training, tuple(inputs[:3]), singles, inputs[3], np.arange(30) % 3)


def averaged(job: Job, rounds: int) -> Arrays:
    """What McMahan et al. (2017), algorithm 1, makes of a job: means weighted by rows."""
    shared = mlp.initial(job)
    weights = [len(job.targets[site]) for site in range(job.sites)]
    for after in range(rounds):
        own = [mlp.trained(job, shared, site, after) for site in range(job.sites)]
        shared = [np.average(each, axis=0, weights=weights) for each in zip(*own, strict=True)]
    return shared


@pytest.mark.parametrize("classes", [0, 3])
def test_gradients_are_those_of_finite_differences(classes: int) -> None:
    """Of the mean squared error, and of the cross-entropy of a softmax."""
    job = small_job(classes=classes, hidden=(5, 4))
    X, y = job.inputs[0].astype(np.float64), job.targets[0].astype(np.float64)
    parameters = [each.astype(np.float64) for each in mlp.initial(job)]

    def loss() -> float:
        found = mlp.outputs(job, parameters, X)
        if classes:
            return float(-np.log(found[np.arange(len(y)), y.astype(int)]).mean())
        return float(np.square(found - y).mean())

    slopes = [np.empty_like(each) for each in parameters]
    mlp.gradients(parameters, X, y, classes, out=slopes)
    for each, slope in zip(parameters, slopes, strict=True):
        place, step = (0,) * each.ndim, 1e-6
        each[place] += step
        above = loss()
        each[place] -= 2 * step
        below = loss()
        each[place] += step
        assert abs(slope[place]) > 0
        assert slope[place] == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-9)


def test_a_site_trains_a_copy_of_what_it_was_sent() -> None:
    """Its loss falls, and the model that it was sent is as it was."""
    job = small_job(epochs=30, rate=1e-2)
    sent = mlp.initial(job)
    before = [each.copy() for each in sent]
    X, y = job.inputs[0], job.targets[0]
    own = mlp.trained(job, sent, 0, 0)
    first, last = (np.square(mlp.outputs(job, model, X) - y).mean() for model in (sent, own))
    assert last < 0.2 * first
    assert all(np.array_equal(*pair) for pair in zip(sent, before, strict=True))


def test_a_sites_own_model_answers_its_rows() -> None:
    """It has been trained for another round; rows of no site are answered by the shared one."""
    job = small_job(epochs=20, rate=1e-2)
    job = replace(job, asked=np.where(job.asked == 2, -1, job.asked))
    shared = mlp.initial(job)
    found, residual = mlp.own_outputs(job, shared, 4)
    for site in (0, 1):
        own, rows = mlp.trained(job, shared, site, 4), job.asked == site
        assert found[rows] == pytest.approx(mlp.outputs(job, own, job.test[rows]), abs=1e-6)
    rest = job.asked < 0
    assert found[rest] == pytest.approx(mlp.outputs(job, shared, job.test)[rest], abs=1e-6)
    assert 0 < residual < 0.5 * np.square(np.concatenate(job.targets)).mean()


def test_sites_add_a_tree_to_those_that_they_were_sent() -> None:
    """It is fitted to what the others left. Classes are two at most."""
    job = small_job("xgboost", rate=0.9)
    model, errors = trees.initial(job), [np.square(job.targets[0]).mean()]
    for site in range(2):
        model = trees.trained(job, model, site, site)
        errors.append(np.square(trees.outputs(job, model, job.inputs[0]) - job.targets[0]).mean())
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] != errors[1]
    with pytest.raises(ValueError, match="two classes only"):
        trees.trained(small_job("xgboost", classes=3), trees.initial(job), 0, 0)


def test_jobs_and_checkpoints_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Numbers with their types, tuples as tuples."""
    job = small_job(hidden=(7,))
    job.write(tmp_path / "job.npz")
    read = Job.read(tmp_path / "job.npz")
    assert (read.training, read.sites) == (job.training, 3)
    pairs = [(job.test, read.test), *zip(job.inputs, read.inputs, strict=True)]
    assert all(np.array_equal(*pair) for pair in [*pairs, (job.targets[2], read.targets[2])])
    found = Checkpoint(3, np.arange(4.0), np.empty(0), 0.25, 0.5, 10, 20, 1.5, 2.5)
    found.write(tmp_path / "3.npz")
    again = Checkpoint.read(tmp_path / "3.npz")
    assert np.array_equal(again.outputs, found.outputs)
    assert replace(again, outputs=found.outputs, own=found.own) == found
    assert isinstance(again.rounds, int)


@pytest.mark.skipif(find_spec("flwr") is not None, reason="this Python has Flower")
def test_a_python_without_flower_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """And so is one that isn't there."""
    for python, what in ((Path(sys.executable), "has no Flower"), (tmp_path / "no", "started")):
        with pytest.raises(ConfigurationError, match=what) as caught:
            check_python(python)
        assert "requirements-flower.txt" in str(caught.value)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_run_that_nobody_reads_is_ended(tmp_path: Path, stopped: bool) -> None:
    """A program in Flower's place writes a checkpoint and its number, and then waits for ever; or
    it ends too early, and its last words are shown.
    """
    empty = np.empty(0)
    Checkpoint(1, empty, empty, 0.25, 0.5, 10, 20, 1.5, 2.5).write(tmp_path / "1.npz")
    python = tmp_path / "python"
    then = "exec tail -f /dev/null" if stopped else "echo no rows >&2"
    python.write_text(
        "#!/bin/sh\n[ $1 = -c ] && exit 0\n"
        f"echo $$ > {tmp_path}/process\ncp {tmp_path}/1.npz $4/1.npz\necho $4/1.npz\n{then}\n"
    )
    python.chmod(0o755)
    reading = checkpoints(small_job(), python)
    assert next(reading).received == 10
    process = int((tmp_path / "process").read_text())
    if not stopped:
        with pytest.raises(ConfigurationError, match=r"before its last round.*no rows"):
            next(reading)
        return
    os.kill(process, 0)  # it is there
    reading.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.slow
@needs_flower
@pytest.mark.parametrize("method", ["mlp", "xgboost"])
def test_flower_averages_as_the_algorithm_says(method: str) -> None:
    """What its simulation answers is FedAvg's; each site's bytes are those of its models."""
    job = small_job(method, rate=1e-3 if method == "mlp" else 0.9)
    first, last = checkpoints(job, PYTHON)
    assert (first.rounds, last.rounds) == (1, 3)
    assert last.residual < first.residual
    if method == "xgboost":  # a site sends a tree each round, and gets those of all: 3 + 6
        assert 1.5 * last.sent < last.received < 3 * last.sent
        return
    shared = averaged(job, 3)
    assert last.outputs == pytest.approx(mlp.outputs(job, shared, job.test), rel=1e-4, abs=1e-5)
    size = 4 * sum(each.size for each in shared)
    assert 3 * size < last.sent < 1.1 * 3 * size
    assert last.received == pytest.approx(last.sent, rel=0.01)


@needs_data
def test_rows_are_standardised_and_dealt_out() -> None:
    """Hospitals keep their patients, or get random ones; nothing is lost on the way."""
    own, dealt = (
        spread_case("hospitals", SHARED, 0, Setting(spread=spread))
        for spread in ("clustered", "iid")
    )
    assert not np.array_equal(own.owners, dealt.owners)
    assert set(own.owners) == set(dealt.owners)
    for case in (own, dealt):
        job = job_of(case, Training("mlp", checkpoints=(1,)))
        X = np.concatenate(job.inputs)
        assert (job.sites, job.training.classes, len(X)) == (4, 2, 486)
        assert np.abs(X[:, :5].mean(axis=0)).max() < 1e-5
        assert set(np.unique(X[:, -1])) == {0.0, 1.0}


@needs_data
@pytest.mark.slow
def test_ours_pays_for_what_it_tells() -> None:
    """Both answers, the traversals, and at least a word up and down for each number told."""
    answers, facts = learnt(spread_case("concrete", SHARED, 0, Setting(nodes=4)))
    assert set(answers) == {"shared", "site"}
    assert facts["rounds"] >= 5
    assert facts["bytes"] >= 2 * 8 * facts["told"] > 0


@needs_data
def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is whole isn't made again; one that was stopped is, and keeps what it had."""
    asked: list[str] = []

    def fake(job: Job, _: Path) -> Iterator[Checkpoint]:
        asked.append(job.training.method)
        for rounds in job.training.checkpoints:
            outputs = np.full(len(job.test), 0.1)
            yield Checkpoint(rounds, outputs, outputs[:0], 1.0, 0.0, rounds, rounds, 0.5, 1.0)

    monkeypatch.setattr(measuring, "checkpoints", fake)
    file = tmp_path / "results.csv"

    def measure() -> Iterator[dict[str, Any]]:
        return measure_fedavg(
            ["yacht"],
            SHARED,
            python=Path("python"),
            spreads=["iid"],
            runs=["mlp"],
            rounds=20,
            results=file,
        )

    stopped = measure()
    assert [next(stopped)["rounds"] for _ in range(2)] == [5, 10]
    stopped.close()
    assert [row["rounds"] for row in read_results(file)] == [5, 10]
    assert [row["rounds"] for row in measure()] == [5, 10, 20]
    assert [row["rounds"] for row in read_results(file)] == [5, 10, 20]
    assert list(measure()) == []
    assert asked == ["mlp", "mlp"]


@needs_data
def test_a_refusal_is_kept_with_its_reason() -> None:
    """A ceiling that rows can't meet ends the run of ours, not the benchmark."""
    rows = measure_fedavg(
        ["yacht"], SHARED, python=Path("python"), spreads=["iid"], runs=["ours"], most_rows=40
    )
    found = list(rows)
    assert [row["way"] for row in found] == ["shared", "site"]
    assert all("rows" in row["refused"] for row in found)


@needs_data
def test_a_networks_errors_have_one_deviation() -> None:
    """That of its residuals, in the target's own unit."""
    case = spread_case("yacht", SHARED, 0, Setting(nodes=4))
    y = case.train.target
    assert y is not None
    zeros = np.zeros(len(case.test))
    answers = answers_of(case, Checkpoint(1, zeros, zeros + 1, 0.25, 0.01, 1, 1, 1.0, 1.0))
    for way, mean, sd in (("", y.mean(), 0.5), ("-own", y.mean() + y.std(), 0.1)):
        found = answers[way]
        assert isinstance(found, Intervals)
        assert found.mean == pytest.approx(mean)
        assert found.sd == pytest.approx(sd * y.std())


def figures(way: str, rmse: float, rounds: int = 9, **others: Any) -> dict[str, Any]:
    """A row of figures of a way."""
    about = {"set": "pol", "spread": "iid", "task": "regression", "way": way, "rounds": rounds}
    costs = {"bytes": 1000, "cpu_seconds": 2.0}
    return {**about, "rmse": rmse, "nll": 0.1, "coverage95": 0.95, **costs, **others}


def lost(page: str, way: str, peer: str) -> list[str]:
    """The cells of the table of losses."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {way} | {peer} | "))
    return line.strip("| ").split(" | ")[3:]


def test_losses_are_named_against_the_best_round() -> None:
    """Also where the last round was worse than ours, and where only a cost was lost."""
    peer = [figures("mlp", 0.2, 20), figures("mlp", 0.4, 40, bytes=2000)]
    page = tables([figures("shared", 0.3, version="g1"), *peer])
    assert lost(page, "shared", "FedAvg") == ["IID pol", "-", "-", "-", "-"]
    assert "| pol | IID | FedAvg, best round | .200 | .100 | .950 | 20 | 0.001 | 2 |" in page
    assert "| pol | IID | FedAvg, last round | .400 | .100 | .950 | 40 | 0.002 | 2 |" in page
    dear = tables([figures("shared", 0.1, version="g1", bytes=1001), *peer])
    assert lost(dear, "shared", "FedAvg") == ["-", "-", "IID pol", "-", "-"]


def test_all_that_was_compared_and_lost_is_all() -> None:
    """A single set is named, and several are named by their sites."""
    rows = [figures("site", 0.3), figures("mlp-own", 0.2)]
    both = [*rows, *({**row, "spread": "clustered"} for row in rows)]
    assert lost(tables(both), "site", "FedAvg, own")[0] == "all"
    won = [figures(way, rmse, set="bike") for way, rmse in (("site", 0.1), ("mlp-own", 0.2))]
    assert lost(tables([*both, *won]), "site", "FedAvg, own")[0] == "clustered pol; IID pol"
    assert lost(tables(rows), "site", "FedAvg, own")[0] == "IID pol"


def test_a_refusal_is_lost() -> None:
    """In every measure of the answers, and it has no figures."""
    refused = {"set": "pol", "spread": "iid", "task": "regression", "way": "site", "refused": "few"}
    page = tables([{**refused, "version": "g1"}, figures("mlp", 0.2)])
    assert "| pol | IID | site | refused | refused | refused | - | - | - |" in page
    assert lost(page, "site", "FedAvg") == ["IID pol", "IID pol", "-", "-", "-"]


def test_a_figure_that_is_better_when_higher_is_lost_when_lower() -> None:
    """Accuracies are compared the other way round."""
    classes = {"task": "classification", "log_loss": 0.4, "ece": 0.1, "auroc": 0.9}
    rows = [figures("site", 0, **classes, accuracy=0.8), figures("xgboost", 0, **classes)]
    for accuracy, cell in ((0.9, "IID pol"), (0.7, "-")):
        rows[1]["accuracy"] = accuracy
        assert lost(tables(rows), "site", "bagged XGBoost")[0] == cell


@pytest.mark.skipif(not RESULTS.exists(), reason="nothing was measured yet")
def test_the_page_shows_what_was_measured() -> None:
    """docs/fedavg.md is what the results' file makes of it, to the letter."""
    assert PAGE.read_text() == tables(read_results(RESULTS))
