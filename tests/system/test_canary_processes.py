"""Real processes at DEBUG, with all calls written down in clear: no row is in anything that leaves.

Distinctive numbers and a rare category stand in b's file. Searched for them, in many encodings, are
all calls of all processes on both sides, their logs, the aggregator's directory with its registry,
the other nodes' directories, and what `status` says; also after a crash and after an exception.
"""

import base64
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.config import Task, TimingSpec
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.demo.federation import LocalFederation
from edge_node.errors import MachineError
from edge_node.model.model import Model
from edge_node.network.wire.fixed_point import from_bytes, to_bytes
from edge_node.network.wire.operation import Kind, parse_record
from tests.support.words import wide_words, word_bytes
from tests.system.test_canary import (
    NUMBERS,
    RARE,
    are_in,
    distinctive,
    patterns,
    rows_of,
    spec_for,
    windows,
    write_rows,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NODES = ("a", "b", "c")
TIMING = TimingSpec(heartbeat=0.2, liveness=3.0, settle=0.5, step=60.0)


class Tapped(LocalFederation):
    """Each process is started by `tests.system.tap`."""

    def tap(self, process: str) -> Path:
        """What went through the process's calls."""
        return self.directory.parent / "taps" / process

    def command(self, module: str, *arguments: str) -> str:
        """As ever, with a tap."""
        self.tap("").mkdir(exist_ok=True)
        file = str(self.tap(f"command-{time.monotonic_ns()}"))
        return super().command("tests.system.tap", file, module, *arguments)

    def spawn(self, name: str, module: str, *arguments: str) -> None:
        """As ever, with a tap."""
        super().spawn(name, "tests.system.tap", str(self.tap(name)), module, *arguments)

    def crash(self, process: str, number: int) -> int:
        """Send a signal, and wait for the end it brings; returns the exit code."""
        victim = self.processes.pop(process)
        victim.send_signal(number)
        return victim.wait(timeout=30)


Make = Callable[[], Tapped]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a federation of a, b and c that ends with the test."""
    with ExitStack() as stack:

        def made() -> Tapped:
            spec = msgspec.structs.replace(spec_for(Task.REGRESSION), timing=TIMING)
            files = {n: write_rows(tmp_path / f"{n}.csv", n, Task.REGRESSION) for n in NODES}
            federation = Tapped(tmp_path / "federation", spec, files, threads=1)
            return stack.enter_context(federation)

        yield made


def leaked(federation: Tapped) -> dict[str, bytes]:
    """All that anybody but b's own machine may see, by where it was found."""
    found = {f"calls of {p.name}": p for p in federation.tap("").iterdir() if not p.suffix}
    own = federation.node_directory("b")
    for path in federation.directory.rglob("*"):
        if path.is_file() and own not in path.parents:
            found[str(path.relative_to(federation.directory))] = path
    return {where: path.read_bytes() for where, path in found.items()}


def texts() -> Iterator[bytes]:
    """The category and the numbers as text, in several ways."""
    for text in (RARE, *map(repr, NUMBERS), *(f"{number:.6g}" for number in NUMBERS)):
        if len(text) < 6:
            continue
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield text.encode(encoding)
        yield from base64_of(text.encode())
        yield text.encode().hex().encode()


def base64_of(content: bytes) -> Iterator[bytes]:
    """What is left of it in base64 wherever it begins in a group of three."""
    for offset in range(3):
        start = -(-offset * 4 // 3)
        length = (len(content) + offset) // 3 * 4
        yield base64.b64encode(bytes(offset) + content)[start + (offset > 0) : length]


def binaries() -> Iterator[bytes]:
    """The numbers as floats of 8 bytes, and pairs of them as floats of 4, in both orders."""
    values = np.array(NUMBERS)
    for order in "<>":
        yield from (value.tobytes() for value in values.astype(f"{order}f8"))
        short = values.astype(f"{order}f4")
        yield from (short[i : i + 2].tobytes() for i in range(len(short) - 1))
    yield from (word_bytes(sign * value) for value in NUMBERS for sign in (1, -1))


def assert_nowhere(found: dict[str, bytes]) -> None:
    """No canary is in any of it, in any encoding."""
    for where, content in found.items():
        for canary in (*texts(), *binaries()):
            assert canary not in content, where


def secrets(federation: Tapped, model: Model) -> np.ndarray:
    """Every row of every file, raw and encoded, and every vector that a node gave to a sum."""
    sources = [open_source(file, federation.spec.data) for file in federation.files.values()]
    rows = [patterns(x) for source in sources for x in rows_of(source, model)]
    given = [patterns(np.fromfile(federation.tap(f"{node}.given"))) for node in NODES]
    words = [np.fromfile(federation.tap(f"{node}.words"), np.uint64) for node in NODES]
    contributed = np.concatenate([*given, *map(distinctive, words)])
    return np.concatenate([contributed[~are_in(contributed, np.sort(totals(federation)))], *rows])


def totals(federation: Tapped) -> np.ndarray:
    """The words of all totals, from the records of a run."""
    records = [
        parse_record(path.read_bytes()[32:], where=str(path))
        for path in federation.node_directory("a").glob("state/run-*/step-*.pb")
    ]
    sums = [each.payload for each in records if each.kind == Kind.KIND_SUM]
    return distinctive(np.concatenate([from_bytes(payload) for payload in sums]))


def model_of(federation: Tapped, node: str) -> Model:
    """The posterior on the node's disk."""
    return Model.load(NodePaths(federation.node_directory(node)).model)


def test_a_run_of_real_processes_leaves_no_row_anywhere(make: Make) -> None:
    """Calls, logs at DEBUG, directories, registry, status; by text, by float, by fixed point."""
    federation = make()
    federation.start()
    federation.wait_complete(deadline=90)
    said = [repr(federation.status(node)).encode() for node in NODES]
    home = str(federation.directory / "aggregator")
    said.append(federation.command("aggregator", "status", "--json", "--dir", home).encode())
    federation.stop()
    found = leaked(federation) | {"status": b"\n".join(said)}
    assert_nowhere(found)
    calls = windows(b"\n".join(each for where, each in found.items() if where.startswith("calls")))
    hidden = secrets(federation, model_of(federation, "a"))
    assert len(hidden) > 10_000
    assert not are_in(hidden, calls).any()
    known = totals(federation)
    assert len(known) > 1000
    assert are_in(known, calls).all()  # they are sent: the search finds what is there
    for where in ("calls of a", "calls of aggregator", "aggregator/federation.toml", "status"):
        assert b"canaries" in found[where]  # the federation's name
    assert b'"level": "debug"' in found["b.log"]
    assert found["aggregator/registry.sqlite"].startswith(b"SQLite format 3")


def test_without_masks_the_search_finds_contributions(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same processes, the same tap, the same search."""
    monkeypatch.setenv("TAP_UNMASKED", "1")
    federation = make()
    federation.start()
    federation.wait_complete(deadline=90)
    federation.stop()
    calls = b"\n".join(p.read_bytes() for p in federation.tap("").iterdir() if not p.suffix)
    hidden = secrets(federation, model_of(federation, "a"))
    assert are_in(hidden, windows(calls)).sum() > 1000


def test_the_search_finds_a_canary_in_each_encoding() -> None:
    """The control for text: it is found in whatever somebody could have written."""
    quoted = json.dumps({"ward": RARE, "systolic": NUMBERS[0]}).encode()
    samples = {
        "json": quoted,
        "utf-16": f"ward {RARE}".encode("utf-16"),
        "base64": base64.b64encode(b"x" + quoted),
        "hex": quoted.hex().encode(),
        "rounded": f"{NUMBERS[0]:.6g} mmHg".encode(),
        "float64": np.array([1.0, *NUMBERS]).tobytes(),
        "float32": np.array(NUMBERS, dtype=">f4").tobytes(),
        "words": to_bytes(wide_words(np.array(NUMBERS))),
    }
    for name, sample in samples.items():
        with pytest.raises(AssertionError, match=name):
            assert_nowhere({name: sample})
    assert_nowhere({"nothing": b"systolic, ward, 9000.1"})


def test_a_crash_and_an_exception_leave_no_row(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that quotes a row in mid-run; then an abort in mid-run, with a fault handler.

    What is left: types and places. The aggregator is not told, and no core is dumped.
    """
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    federation = make()
    federation.create()
    federation.start_aggregator()
    for node in NODES:
        federation.enrol(node)
    for node in "ac":
        federation.start_node(node)
    with monkeypatch.context() as patch:
        patch.setenv("TAP_FAIL", "statistics")
        federation.start_node("b")
    with pytest.raises(MachineError, match="process b ended"):
        federation.wait_complete(deadline=60)
    federation.processes.pop("b").wait()
    told = federation.log("b").read_text()
    assert "builtins.ValueError (its text is left out" in told
    federation.start_node("b")
    for statuses in federation.follow(deadline=60, nodes=("b",)):
        if "b" in statuses and statuses["b"].phase == "running" and statuses["b"].step:
            break
    assert federation.crash("b", signal.SIGABRT) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in federation.log("b").read_text()
    federation.stop()
    assert not list(Path.cwd().glob("core*"))
    assert_nowhere(leaked(federation))
