"""Measures Flower's runs and ours on the same rows, and keeps what was measured.

A run of Flower's leaves a row of figures at each checkpoint, as soon as it is reached. Processor
seconds are those of all sites' training; ours are those of the whole run. Wall seconds depend on
what else the machine does.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.accuracy import Setting, read_results
from benchmarks.accuracy.answers import Answers, scores
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.measuring import program_version
from benchmarks.accuracy.ours import RAISED
from benchmarks.fedavg.inputs import answers_of, job_of, spread_case
from benchmarks.fedavg.job import Training
from benchmarks.fedavg.ours import learnt
from benchmarks.fedavg.peers import checkpoints
from benchmarks.figures import Row, write_csv
from edge_node.config import ModelSpec
from edge_node.errors import TangentMeshError

__all__ = ["FLOWER", "OURS", "RUNS", "SETS", "SPREADS", "measure_fedavg"]

SETS = ("hospitals", "pol", "protein", "kin40k")
SPREADS = ("clustered", "iid")

OURS: Mapping[str, Setting] = {
    "ours": Setting(),
    "ours-raised": Setting(most_told=RAISED, model=ModelSpec(landmarks=1000, site_block_rows=1000)),
}
"""The daemons' program as it comes, and where a run may tell all that it can use."""

FLOWER: Mapping[str, Training] = {
    "mlp": Training("mlp", checkpoints=(5, 10, 20, 40, 60, 100)),
    "xgboost": Training("xgboost", checkpoints=(5, 10, 20, 40), rate=0.3),
}
"""FedAvg of a network, and bagged trees."""

RUNS = (*FLOWER, *OURS)


def measure_fedavg(
    names: Sequence[str],
    data: Path,
    *,
    python: Path,
    spreads: Sequence[str] = SPREADS,
    runs: Sequence[str] = RUNS,
    rounds: int = 100,
    most_rows: int = 0,
    results: Path | None = None,
    command: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row of figures per set, spread, way and checkpoint, that ``results`` doesn't have yet.

    Args:
        names: of the sets.
        data: the folder of data sets.
        python: that has Flower.
        spreads: of the rows over sites.
        runs: of `RUNS`.
        rounds: of Flower's at most.
        most_rows: to learn from and to judge by; 0: all.
        results: a CSV file that has what was measured before, and is written after each row.
        command: for the file's first line.
        tell: is told of what comes next.

    Raises:
        ConfigurationError: the Python can't be started, or has no Flower.
        DataError: a set's file isn't there.
    """
    rows = read_results(results) if results is not None and results.exists() else []
    for name, spread, run in product(names, spreads, runs):
        key = {"set": name, "most_rows": most_rows, "spread": spread, "run": run}
        due = _checkpoints(run, rounds)
        before = [row for row in rows if row.items() >= key.items()]
        if {row.get("checkpoint") for row in before} >= set(due):
            continue
        rows = [row for row in rows if row not in before]
        tell(f"{name}, {spread}: {run}")
        setting = _setting(OURS.get(run, Setting()), spread, most_rows)
        case = spread_case(name, data, 0, setting)
        if reason := _missing(run, case):
            tell(f"  none: {reason}")
            continue
        for found in _measured(run, case, due, python):
            rows.append({**key, **found})
            _keep(rows, results, command)
            yield rows[-1]


def _checkpoints(run: str, rounds: int) -> tuple[int | None, ...]:
    """The rounds after which a run leaves a row of figures; None: when it is over."""
    if run in OURS:
        return (None,)
    usual = FLOWER[run].checkpoints
    return tuple(each for each in usual if each <= rounds) or (rounds,)


def _missing(run: str, case: Case) -> str:
    """Why there is no such run; empty: there is."""
    many = run == "xgboost" and len(case.problem.data.classes) > 2
    return "Flower's bagging of trees knows regressions and two classes only" if many else ""


def _keep(rows: Sequence[Row], results: Path | None, command: str) -> None:
    if results is not None:
        part = results.with_suffix(".part")
        write_csv(rows, part, command)
        part.replace(results)  # whole, whenever it is stopped


def _measured(run: str, case: Case, due: Sequence[int | None], python: Path) -> Iterator[Row]:
    if run in OURS:
        yield from _ours(run, case)
        return
    training = replace(FLOWER[run], checkpoints=tuple(each for each in due if each))
    yield from _flower(run, case, training, python)


def _setting(setting: Setting, spread: str, most_rows: int) -> Setting:
    """With other rows."""
    return Setting(rows=most_rows, spread=spread, model=setting.model, most_told=setting.most_told)


def _ours(run: str, case: Case) -> Iterator[Row]:
    began, processor = time.monotonic(), time.process_time()
    raised = "-raised" if run == "ours-raised" else ""
    try:
        with threadpool_limits(1):
            answers, facts = learnt(case)
    except TangentMeshError as error:
        refused = {"version": program_version(), "refused": " ".join(str(error).split())}
        for way in ("shared", "site"):
            yield {**_about(case), "way": way + raised, **refused}
        return
    costs = {
        "cpu_seconds": time.process_time() - processor,
        "seconds": time.monotonic() - began,
        "version": program_version(),
    }
    for way, found in answers.items():
        yield {**_about(case), "way": way + raised, **_scores(case, found), **facts, **costs}


def _flower(run: str, case: Case, training: Training, python: Path) -> Iterator[Row]:
    for found in checkpoints(job_of(case, training), python):
        costs = {
            "sites": len(case.parts),
            "rounds": found.rounds,
            "bytes": found.received + found.sent,
            "cpu_seconds": found.cpu_seconds,
            "seconds": found.seconds,
        }
        for way, answers in answers_of(case, found).items():
            about = {**_about(case), "way": run + way, "checkpoint": found.rounds}
            yield {**about, **_scores(case, answers), **costs}


def _about(case: Case) -> Row:
    inputs = case.train.numeric.shape[1] + case.train.categorical.shape[1]
    return {"task": str(case.problem.data.task), "rows": len(case.train), "inputs": inputs}


def _scores(case: Case, answers: Answers) -> Row:
    y, learnt_from = case.test.target, case.train.target
    assert y is not None  # noqa: S101 - a benchmark's rows have targets
    assert learnt_from is not None  # noqa: S101
    return scores(answers, y, learnt_from)
