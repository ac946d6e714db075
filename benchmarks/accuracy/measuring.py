"""Measures each run in a process of its own, and keeps what was measured, so that it can go on.

CPU seconds and megabytes are those of learning and answering, with one thread: what the process
takes from when its rows are there. A federation is simulated in one process, so they are those of
all of its sites.
"""

import csv
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.accuracy.answers import Answers, scores
from benchmarks.accuracy.cases import Case, Setting, case_of
from benchmarks.accuracy.ours import OURS, answer
from benchmarks.accuracy.peers import PEERS, answer_peer, missing
from benchmarks.figures import Row, write_csv
from edge_node.errors import ConfigurationError, TangentMeshError

__all__ = ["ALL_RUNS", "measure_accuracy", "program_version", "read_results"]

ALL_RUNS = (*OURS, *PEERS)

_LIBRARIES = (  # imported once: neither their time nor their memory is a run's
    "sklearn.cluster",
    "sklearn.ensemble",
    "sklearn.gaussian_process",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "xgboost",
)


def measure_accuracy(
    names: Sequence[str],
    data: Path,
    *,
    setting: Setting,
    splits: int,
    runs: Sequence[str],
    results: Path | None = None,
    command: str = "",
    again: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """A row of figures per set, split and way; of those that ``results`` doesn't have yet.

    Args:
        names: of the sets.
        data: the folder of data sets.
        setting: of the cases.
        splits: of each set, from the first.
        runs: of `ours.OURS` and `peers.PEERS`.
        results: a CSV file that has what was measured before, and is written after each run.
        command: for the file's first line.
        again: measure ours again where another version of the program made a result.
        tell: is told of what comes next.

    Raises:
        ConfigurationError: ``results`` are those of another setting.
        DataError: a set's file isn't there.
    """
    rows = _before(results, setting)
    about = {"settings": setting.text, "version": program_version()}
    for name, split, run in product(names, range(splits), runs):
        key = {"set": name, "most_rows": setting.rows, "split": split, "run": run}
        before = [row for row in rows if row.items() >= key.items()]
        if before and not (
            again and run in OURS and any(row["version"] != about["version"] for row in before)
        ):
            continue
        if reason := missing(run):
            tell(f"{name}, split {split}: no {run}: {reason}")
            continue
        tell(f"{name}, split {split}: {run}")
        found = [{**key, **about, **row} for row in _apart(run, name, data, split, setting)]
        rows = [row for row in rows if row not in before] + found
        if results is not None and found:
            part = results.with_suffix(".part")
            write_csv(rows, part, command)
            part.replace(results)  # whole, whenever it is stopped
        yield from found


def _before(results: Path | None, setting: Setting) -> list[Row]:
    """What was measured before, with the same setting."""
    rows = read_results(results) if results is not None and results.exists() else []
    others = {row["settings"] for row in rows} - {setting.text}
    if others:
        raise ConfigurationError(
            "these results have other settings",
            where=str(results),
            expected=setting.text,
            found="; ".join(sorted(others)),
            remedy="Give each setting a file of its own",
        )
    return rows


def read_results(path: Path) -> list[Row]:
    """The rows of a CSV file, numbers as numbers; empty cells are left out."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [
        {key: _number(cell) for key, cell in row.items() if cell} for row in csv.DictReader(lines)
    ]


def _number(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def program_version() -> str:
    """The last commit that changed the program; empty where there is no repository."""
    command = ["git", "log", "-1", "--format=%h", "--", "edge_node"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"g{done.stdout.strip()}"


def _apart(run: str, name: str, data: Path, split: int, setting: Setting) -> list[Row]:
    """As `_measured`, in a new process: each starts with as little memory as the others."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, *_LIBRARIES])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, run, name, data, split, setting).result()


def _measured(run: str, name: str, data: Path, split: int, setting: Setting) -> list[Row]:
    with threadpool_limits(1):
        case = case_of(name, data, split, setting)
        before, began = _peak_from_now(), time.process_time()
        answers, facts = _answered(run, case)
        facts["cpu_seconds"] = time.process_time() - began
        facts["megabytes"] = _resident("VmHWM") - before
    y, learnt = case.test.target, case.train.target
    assert y is not None  # noqa: S101 - a benchmark's rows have targets
    assert learnt is not None  # noqa: S101
    inputs = case.train.numeric.shape[1] + case.train.categorical.shape[1]
    about = {"task": str(case.problem.data.task), "rows": len(learnt), "inputs": inputs}
    return [
        {**about, "way": way, **({} if found is None else scores(found, y, learnt)), **facts}
        for way, found in answers.items()
    ]


def _answered(run: str, case: Case) -> tuple[dict[str, Answers | None], Row]:
    """The answers by their way; None where it refused, with the reason among the facts."""
    ways = OURS.get(run, (run,))
    try:
        if run in OURS:
            answers, facts = answer(run, case)
            return {**answers}, facts
        found = answer_peer(run, case)
        return ({} if found is None else {run: found}), {}
    except (TangentMeshError, ValueError, MemoryError) as error:
        return dict.fromkeys(ways), {"refused": " ".join(str(error).split())}


def _peak_from_now() -> float:
    """Let the process's peak begin here; returns its resident megabytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _resident("VmRSS")


def _resident(kind: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{kind}:")[1].split()[0]) / 1000
