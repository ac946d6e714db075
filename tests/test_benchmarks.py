"""Benchmarks run, and say what they measured against what. No time is asserted."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks import likelihoods
from benchmarks.accuracy import ALL_RUNS, SETS, Setting, measure_accuracy, read_results
from benchmarks.accuracy.cases import case_of
from benchmarks.commands import commands
from benchmarks.cpu import measure_cpu
from benchmarks.datasets import load
from benchmarks.disclosure.curve import measure_disclosure
from benchmarks.disclosure.figure import draw_disclosure
from benchmarks.figures import write_csv
from benchmarks.hospitals import measure_hospitals
from benchmarks.images import measure_images
from benchmarks.kernel import measure_kernel
from benchmarks.memory import measure_memory
from benchmarks.prediction import measure_prediction
from benchmarks.privacy import (
    QUESTIONS,
    draw_privacy,
    measure_privacy,
    summarise_privacy,
)
from benchmarks.propagation.measuring import measure_propagation, measured
from benchmarks.propagation.shown import draw_propagation, slopes, table
from benchmarks.propagation.system import field
from benchmarks.relevance import measure_relevance
from benchmarks.robust import CASES, measure_robustness
from benchmarks.run import PROBLEMS, Problem, measure_run, steps_of
from benchmarks.secure import measure_secure
from benchmarks.simulation import measure_simulation
from benchmarks.startup import measure_startup
from benchmarks.statistics import measure_statistics
from benchmarks.wire import measure_wire
from edge_node.config import KernelKind, LandmarkKind, ModelSpec
from edge_node.demo.data.datasets import diabetes
from edge_node.errors import ConfigurationError, DataError
from tests.support.libraries import needs_neural_tangents

pytestmark = pytest.mark.slow

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason=f"no data sets at {SHARED}")
QUICK = ModelSpec(landmarks=60, depths=(1,), biases=(2.0,), landmark_kinds=(LandmarkKind.KMEANS,))


@needs_data
@pytest.mark.parametrize("name", SETS)
def test_every_data_set_can_be_read(name: str) -> None:
    """Rows, inputs and targets fit; no test row is learnt from; there are three splits."""
    problem = SETS[name](SHARED)
    assert len(problem.splits) >= 3
    for split in problem.splits:
        assert not set(split.train) & set(split.test)
        assert len(split.train) > 0.9 * len(split.test) > 0
    assert problem.batch.target is not None
    assert problem.batch.numeric.shape[0] == len(problem.batch.target)
    kinds = [problem.batch.numeric.shape[1], problem.batch.categorical.shape[1]]
    assert sum(kinds) == len(problem.data.columns)


@needs_data
def test_accuracy_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """A run that the results have isn't made again, unless ours are asked for again."""
    file, told = tmp_path / "results.csv", list[str]()

    def measure(*runs: str, again: bool = False) -> list[str]:
        setting = Setting(nodes=4, model=QUICK)
        rows = measure_accuracy(
            ["concrete"],
            SHARED,
            setting=setting,
            splits=1,
            runs=runs,
            results=file,
            again=again,
            tell=told.append,
        )
        return [row["way"] for row in rows]

    assert measure("federated") == ["shared", "site"]
    shared, site = before = read_results(file)
    assert site["rmse"] < shared["rmse"] < 0.5
    assert min(shared["cpu_seconds"], shared["megabytes"]) > 0
    assert measure("federated", "boosting") == ["boosting"]
    assert [row["way"] for row in read_results(file)] == ["shared", "site", "boosting"]
    write_csv([{**row, "version": "another"} for row in read_results(file)], file, "a command")
    assert measure("federated", "boosting", again=True) == ["shared", "site"]
    assert [row["rmse"] for row in read_results(file)[1:]] == [row["rmse"] for row in before]
    assert told == ["concrete, split 0: " + run for run in ("federated", "boosting", "federated")]
    with pytest.raises(ConfigurationError, match=r"other settings.*expected default.*landmarks 60"):
        next(
            measure_accuracy(
                ["concrete"], SHARED, setting=Setting(), splits=1, runs=(), results=file
            )
        )


@needs_data
def test_accuracy_of_a_classification_and_of_all_peers() -> None:
    """Each way is far from chance; no peer is left out but for a reason."""
    told: list[str] = []
    rows = list(
        measure_accuracy(
            ["seeds"],
            SHARED,
            setting=Setting(nodes=3, spread="iid", model=QUICK),
            splits=1,
            runs=ALL_RUNS,
            tell=told.append,
        )
    )
    found = {row["way"]: row for row in rows}
    absent = {"xgboost"} if any("not installed" in line for line in told) else set()
    ours = {"shared", "site", "shared-raised", "site-raised", "alone"}
    assert set(found) == (ours | set(ALL_RUNS) - {"federated", "raised"}) - absent
    assert min(row["accuracy"] for row in rows) > 0.8
    assert min(row["auroc"] for row in rows) > 0.9
    assert all(0 < row["log_loss"] < 0.7 for row in rows)


@needs_data
def test_rows_are_capped_in_their_order() -> None:
    """A set with a time gives its latest rows first, with fewer rows, too."""
    case = case_of("parkinsons-patients", SHARED, 0, Setting(rows=500))
    column = [each.name for each in case.problem.data.columns].index("days_since_recruitment")
    days = case.train.numeric[:, column]
    assert len(days) == len(case.test) == 500
    assert (days[:-1] >= days[1:]).all()
    assert len(case.parts) == 42


@needs_data
def test_hospitals_by_flambys_protocol() -> None:
    """Its numbers of test rows, and better than each hospital alone, in few sums."""
    model = ModelSpec(
        kernels=(KernelKind.NNGP,),
        landmarks=200,
        landmark_kinds=(LandmarkKind.GAUSSIAN,),
        metric_repetitions=0,
    )
    found = {row["way"]: row for row in measure_hospitals(SHARED, model, indicator=True)}
    assert found["federated"]["sums"] <= 12
    assert found["federated"]["accuracy"] > 0.79
    assert found["federated"]["accuracy"] > found["alone"]["accuracy"]
    assert found["federated"]["ece"] < 0.08
    assert found["federated"]["log_loss"] == pytest.approx(found["pooled"]["log_loss"], rel=1e-6)


def test_relevance_of_few_inputs_among_many() -> None:
    """Four sites find them, and are ahead of boosting; without a look at the inputs they aren't."""
    ways = ("sites", "plain", "boosting")
    found = {row["way"]: row for row in measure_relevance(("products",), seeds=1, ways=ways)}
    assert found["sites"]["rmse"] < found["boosting"]["rmse"] < found["plain"]["rmse"]
    assert found["sites"]["kernel"].startswith(("ntk", "nngp"))


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    """By name, with those that are known."""
    with pytest.raises(DataError, match=r"no such data set.*kin40k.*found kin50k"):
        load("kin50k", tmp_path)


def test_every_module_of_commands_adds_some() -> None:
    """Each command has a name of its own, and is found where it is defined."""
    found = [(command.name, command.callback.__module__) for command in commands()]
    assert len(dict(found)) == len(found)
    folder = Path(commands.__code__.co_filename).parent
    modules = {f"benchmarks.commands.{path.stem}" for path in folder.glob("[a-z]*.py")}
    assert {module for _, module in found} == modules


def test_statistics() -> None:
    """A ratio of two measured times."""
    found = measure_statistics(2000, 50, repeats=3)
    assert 0 < found["ratios"][0] <= found["ratio"] <= found["ratios"][1]


@needs_neural_tangents
def test_kernel_keeps_its_digits() -> None:
    """Against neural-tangents where rows are apart, in extended precision where they are not."""
    found = measure_kernel(700, 800, repeats=1)  # large enough for JAX
    assert found["ratio"] == found["figure"] / found["limit"] > 0
    assert found["error"] < 1e-9
    assert found["error_near"] < 1e-9


def test_images_are_read_wherever_they_lie() -> None:
    """Accuracy and processor time of both kernels, far from chance already with few rows."""
    dense, pooled = measure_images((8,), rows=80, landmarks=20, splits=1)
    assert (dense["kernel"], pooled["kernel"]) == ("ntk", "conv-ntk")
    assert min(dense["accuracy"], pooled["accuracy"]) > 0.4
    assert pooled["fit_cpu_seconds"] > 0


def test_a_secure_sum_takes_the_bytes_of_a_plain_one() -> None:
    """And little more: keys are small beside a vector."""
    found = measure_secure(300, (3,), rows=500, repeats=1)
    assert 1 <= found["bytes_ratio"] <= 1.03
    assert found["results"][0]["secure_cpu_seconds_a_node"] > 0


def test_wire_is_close_to_the_least_possible() -> None:
    """Bytes are exact: hardly more than eight a number, already at four hundred landmarks."""
    found = measure_wire(4000, 400)
    assert 1.0 <= found["ratio"] <= 1.02


def test_cpu() -> None:
    """A ratio of two measured times."""
    found = measure_cpu(1000, 30, nodes=3)
    assert found["ratio"] == found["figure"] / found["limit"] > 0


def line(step: str, second: int, **facts: object) -> dict[str, object]:
    """A log's line of a traversal."""
    time = f"2026-01-01T00:00:{second:02d}+00:00"
    return {"message": "a step is complete", "kind": "sum", "epoch": 1, "time": time} | {
        "step": step, "peak_bytes": 1e6 * second, **facts
    }  # fmt: skip


def test_what_steps_cost_is_added_up_from_logs() -> None:
    """Bytes are means over edges, processor time is the step's own, memory the largest so far."""
    begins = {"message": "a run begins", "time": "2026-01-01T00:00:01+00:00"}
    root = [
        begins,
        line("means", 3, sent=0, received=0, processor_seconds=2.0),
        line("spread", 4, sent=0, received=0, processor_seconds=2.5),
    ]
    leaf = [
        line("means", 4, sent=70, received=80, processor_seconds=1.0),
        line("spread", 9, sent=700, received=800, processor_seconds=4.0),
    ]
    other = [line("means", 3, sent=90, received=80, processor_seconds=1.0), {**leaf[1]}]
    means, spread = steps_of({"a": root, "b": leaf, "c": other}, "a")
    assert means == {
        "step": "means", "kind": "sum", "up_bytes": 80, "down_bytes": 80, "seconds": 2,
        "processor_seconds": 4, "peak_megabytes": 4,
    }  # fmt: skip
    assert (spread["up_bytes"], spread["seconds"], spread["peak_megabytes"]) == (700, 1, 9)
    assert spread["processor_seconds"] == 0.5 + 3.0 + 3.0


def test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a real run hold all its bytes."""
    monkeypatch.setitem(PROBLEMS, "small", Problem(lambda _: diabetes(), nodes=3))
    found = measure_run("small", Path(), QUICK, most_told=100.0)
    assert found["traversals"] == len(found["steps"]) > found["sums"] > 3
    assert found["up_megabytes"] > found["landmarks"] ** 2 / 2 * 8 / 1e6
    assert found["rmse"] < 1.0
    assert found["processor_seconds"] > sum(s["processor_seconds"] for s in found["steps"]) / 2 > 0


def test_startup() -> None:
    """A process that answers imports at least what it needs."""
    found = measure_startup(30, repeats=1)
    assert found["ratio"] == found["figure"] / found["limit"] > 0
    assert found["figure"] > found["interpreter_seconds"] > 0


def test_prediction() -> None:
    """Each figure beside its limit, and their ratio."""
    found = measure_prediction(30, rows=300, repeats=1)
    assert found["ratio"] == found["figure"] / found["limit"] > 0
    for name in ("batch", "load"):
        assert found[f"{name}_ratio"] == found[f"{name}_seconds"] / found[f"{name}_limit"] > 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: Linux only")
def test_memory() -> None:
    """All rows are read, and the peak is that of a process that holds some matrices."""
    found = measure_memory(150_000, 300)
    assert found["rows"] == 150_000
    assert found["ratio"] == found["figure"] / found["limit"]
    assert 8 * 300**2 / 1e6 < found["figure"] < found["limit"]


@needs_data
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: Linux only")
def test_simulation() -> None:
    """One node with all rows is measured first; what is compared is the last."""
    measured = measure_simulation([3], rows=240, inputs=3, told=0.5)
    pooled, shared = measured["runs"]
    assert (pooled["nodes"], shared["nodes"]) == (1, 3)
    assert measured["ratio"] == shared["cpu_seconds"] / (1.5 * pooled["cpu_seconds"])
    assert min(each["megabytes"] for each in measured["runs"]) > 0


def test_privacy_costs_accuracy(tmp_path: Path) -> None:
    """Each question is answered better with more epsilon; figures are summarised and drawn."""
    rows = list(
        measure_privacy(
            ("kegg", "polluted"), SHARED, epsilons=(0.25, 100.0), repeats=1, landmarks=40
        )
    )
    summary = summarise_privacy(rows)
    found = {(row["question"], row["epsilon"]): row for row in summary}
    assert found["kegg", 0.25]["rmse"] > found["kegg", 100.0]["rmse"] > found["kegg", None]["rmse"]
    assert found["polluted", 0.25]["log_loss"] > found["polluted", 100.0]["log_loss"]
    assert all(0.9 < row["coverage95"] < 1.0 for row in summary if "coverage95" in row)
    write_csv(rows, tmp_path / "privacy.csv", "python -m benchmarks privacy")
    assert len((tmp_path / "privacy.csv").read_text().splitlines()) == 2 + len(rows)
    draw_privacy(summary, tmp_path / "privacy.png")
    assert (tmp_path / "privacy.png").stat().st_size > 1000
    assert set(QUESTIONS) == {"dust", "polluted", "kegg"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: Linux only")
def test_propagation(tmp_path: Path) -> None:
    """Every way solves the weak case; plain messages diverge on the strong one, and say so."""
    methods = ("synchronous", "20 % lost", "double loop", "conjugate gradients", "dense")
    rows = list(measure_propagation((200, 900), methods=methods))
    found = {(row["case"], row["variables"], row["method"]): row for row in rows}
    assert len(found) == 2 * (5 + 3)
    assert found["strong", 900, "synchronous"]["cause"] in ("diverged", "not converged")
    answers = [row for row in rows if "cause" not in row]
    assert 14 <= len(answers) <= 15  # with few variables plain messages may converge
    assert all(row["residual"] <= 2e-8 and row["seconds"] > 0 for row in answers)
    ours = found["weak", 900, "double loop"]
    assert ours["messages"] > 0
    assert 0.5 < ours["worst_ratio"] < 1.5
    assert abs(ours["median_ratio"] - 1) <= abs(ours["worst_ratio"] - 1) < 0.5
    assert found["weak", 900, "conjugate gradients"]["messages"] == 0
    assert {row["method"] for row in slopes(rows, least=1)} == set(methods)
    assert len(slopes(rows, least=1)) == 7
    draw_propagation(rows, tmp_path / "propagation.png")
    assert (tmp_path / "propagation.png").stat().st_size > 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc: Linux only")
def test_a_run_that_takes_too_much_ends() -> None:
    """By its cause: seconds of the processor, or memory. With enough of both it has an answer."""
    system = field(2500, "weak")
    assert measured(system, "dense", seconds=0)["cause"] == "too long"
    assert measured(system, "dense", size=10**7)["cause"] == "too large"
    assert "cause" not in measured(system, "dense")


def test_a_fields_variables_are_numbered_by_place() -> None:
    """So most of a factor's variables are close to its own in memory; shuffled, a third of n."""
    system = field(3000, "weak")
    apart = np.abs(system.scope - np.arange(3000)[:, None])[system.scope >= 0]
    assert np.median(apart) < 30
    shuffled = np.random.default_rng(0).permutation(3000)
    assert np.median(np.abs(shuffled[system.scope] - shuffled[:, None])) > 300


def test_slopes_are_of_logarithms() -> None:
    """Of sizes from a least one, where there was an answer."""
    run = {"case": "weak", "method": "made", "megabytes": 9.0}
    rows = [{**run, "variables": n, "seconds": 1e-7 * n**1.5} for n in (100, 10_000, 1_000_000)]
    rows[0]["seconds"] = 1e9
    (found,) = slopes([*rows, {**run, "variables": 10**5, "cause": "diverged"}])
    assert found["seconds"] == pytest.approx(1.5)
    assert found["megabytes"] == pytest.approx(0, abs=1e-9)


def test_the_page_has_the_table_of_propagations_figures() -> None:
    """Every line of it."""
    root = Path(__file__).parents[1]
    with (root / "benchmarks/results/propagation.csv").open(encoding="utf-8") as file:
        command = next(file).removeprefix("# ").strip()
        rows = list(csv.DictReader(file))
    page = (root / "docs/results.md").read_text(encoding="utf-8")
    assert f"`{command}`" in page
    assert "\n".join(table(rows)) in page


@needs_data
def test_disclosure_finds_rows_where_much_is_told(tmp_path: Path) -> None:
    """By the null space of a fine sum, and by a census; guesses find fewer. It is drawn."""
    rows = list(
        measure_disclosure(
            SHARED, sets=("concrete",), per_cell=(0.5,), per_feature=(0.5, 3.0), starts=1
        )
    )
    found = {(row["attack"], row.get("rows_per_feature")): row for row in rows}
    fine, coarse = found["null space", 0.5], found["null space", 3.0]
    assert fine["found"] > fine["rows"] / 2
    assert coarse["found"] == 0
    (census,) = [row for row in rows if row["attack"] == "census"]
    assert census["found"] > 2 * census["guessed"]
    (nearby,) = [row for row in rows if row["attack"] == "right neighbourhood"]
    assert nearby["found"] <= nearby["guessed"]
    draw_disclosure(rows, tmp_path / "disclosure.png")
    assert (tmp_path / "disclosure.png").stat().st_size > 1000


def test_likelihoods_compares_with_the_fields_regressions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each way has the same scores, and the federation's are not far from one machine's."""
    random = np.random.default_rng(0)
    X = random.normal(size=(240, 2))
    y = random.poisson(np.exp(1 + 0.5 * X[:, 0])).astype(float)
    problem = likelihoods.Problem("count", X, y, np.ones(240, dtype=bool))
    monkeypatch.setitem(likelihoods.PROBLEMS, "made", lambda: problem)
    rows = {row["way"]: row for row in likelihoods.measure_likelihoods("made", 1)}
    assert len(rows) == 4
    assert len({tuple(row) for row in rows.values()}) == 1
    deviances = [row["poisson_deviance"] for row in rows.values()]
    assert max(deviances) < 1.5 * min(deviances)
    summary = likelihoods.averaged(list(rows.values()))
    assert [row["splits"] for row in summary] == [1, 1, 1, 1]


def test_robustness() -> None:
    """Each case, with both likelihoods."""
    rows = list(measure_robustness(200, 1))
    assert [row["case"] for row in rows[::2]] == list(CASES)
    assert all(0 < row["shared_rmse"] < 3 for row in rows)
