"""Through the command line: what is wrong is named, with its place and an exit code of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_node.config import Column, ColumnKind, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.demo.federation import write_spec
from edge_node.program.simulation import simulate
from edge_node.security.lock import locked
from tests.support.federation import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SPEC = FederationSpec(
    name="clinics",
    data=DataSpec(
        task=Task.REGRESSION,
        target="stay",
        columns=(Column(name="age"), Column(name="ward", kind=ColumnKind.CATEGORICAL)),
    ),
    model=ModelSpec(landmarks=10, depths=(1,)),
)
GOOD = "age,ward,stay\n" + "".join(
    f"{20 + 3 * i % 50},{'north' if i % 2 else 'south'},{i % 7 + i / 10}\n" for i in range(40)
)


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Answer:
    """Run a command line to its end."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def expect(answer: Answer, code: int, *facts: object) -> None:
    """The exit code, and all facts in the error; nothing on standard output, and no traceback."""
    assert answer.code == code, answer
    assert answer.out == ""
    assert "Traceback" not in answer.err
    for fact in facts:
        assert str(fact) in answer.err


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A running aggregator, and one enrolled node that is not running."""
    directory = tmp_path_factory.mktemp("clinics")
    file = directory / "clinic-a.csv"
    file.write_text(GOOD)
    with Federation(directory / "federation", SPEC, {"clinic-a": file}) as made:
        made.create()
        made.start_aggregator()
        made.enrol("clinic-a")
        yield made


@pytest.fixture
def home(federation: Federation) -> Iterator[Path]:
    """The node's directory; its data file is good again afterwards."""
    yield federation.node_directory("clinic-a")
    federation.files["clinic-a"].write_text(GOOD)


@pytest.fixture
def operator(federation: Federation) -> Path:
    """The aggregator's directory."""
    return federation.directory / "aggregator"


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below, with its bytes."""
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def new_node(directory: Path, name: str) -> Path:
    """A node's directory that is not enrolled."""
    (directory / "rows.csv").write_text(GOOD)
    home = directory / name
    made = call(
        "edge_node", "init", "--dir", home, "--name", name, "--data", directory / "rows.csv",
        "--listen", "127.0.0.1:0", "--advertise", "127.0.0.1:0",
    )  # fmt: skip
    assert made.code == 0, made
    return home


def token_for(operator: Path, name: str, *options: object) -> str:
    """A fresh token."""
    return call("aggregator", "token", name, "--dir", operator, *options).out.strip()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (GOOD.replace("\n32,", "\nthirty,", 1), ("age", "row 5", "a number", "thirty")),
        (GOOD.replace("\n32,", "\ninf,", 1), ("age", "row 5", "inf")),
        ("\n".join(line.rpartition(",")[0] for line in GOOD.split("\n")), ("stay",)),
        (GOOD.replace("age,", "years,", 1), ("age", "years")),
        (GOOD.replace("0.0\n", "nan\n", 1), ("stay", "row 1")),
        (GOOD.replace("0.0\n", "\n", 1), ("stay", "row 1")),
        (GOOD.replace("\n32,", "\n3_2,", 1), ("age", "row 5", "3_2")),
        (GOOD.replace("\n32,", "\n32,,", 1), ("row 5", "too many cells")),
        ("," + GOOD.replace("\n", "\n0,"), ("column 1 of 4", "no name", "index=False")),
        ("age,ward,stay\n", ("no rows",)),
        ("", ()),
    ],
    ids=[
        "text",
        "infinite",
        "no-target",
        "column",
        "nan-target",
        "empty-target",
        "grouped",
        "wide",
        "unnamed",
        "header",
        "void",
    ],
)
def test_a_data_file_that_does_not_fit(
    federation: Federation, home: Path, text: str, facts: tuple[str, ...]
) -> None:
    """Named by file, column and row before anything is sent; nothing on disk is touched."""
    assert text != GOOD
    file = federation.files["clinic-a"]
    file.write_text(text)
    before = contents(home)
    expect(call("edge_node", "run", "--dir", home), 4, file, *facts)
    assert contents(home) == before


def test_an_error_for_programs(federation: Federation, home: Path) -> None:
    """With --json the same facts, one by one."""
    answer = call("edge_node", "predict", "--dir", home, "--csv", "missing.csv", "--json")
    assert answer.code == 4
    facts = json.loads(answer.err)
    assert (facts["error"], facts["exit_code"]) == ("DataError", 4)
    assert facts["problem"]
    assert facts["remedy"]


def test_tokens(federation: Federation, operator: Path, tmp_path: Path) -> None:
    """Damaged, another node's, used, or expired: refused, and the node stays as it was."""
    home = new_node(tmp_path, "clinic-b")
    before = contents(home)
    good = token_for(operator, "clinic-b")
    enrol = ("edge_node", "enrol", "--dir", home)
    expect(call(*enrol, good[:-4]), 5, "incomplete")
    expect(call(*enrol, good[:-1] + ("A" if good[-1] != "A" else "Q")), 5)
    expect(call(*enrol, token_for(operator, "clinic-x")), 5, "clinic-b", "clinic-x")
    expired = token_for(operator, "clinic-b", "--minutes", "0.0001")
    expect(call(*enrol, expired), 5, "expired")
    expect(call(*enrol, good), 5)  # the newer token has voided it
    assert contents(home).items() >= before.items()
    assert not NodePaths(home).spec.exists()
    fresh = token_for(operator, "clinic-b")
    assert call(*enrol, fresh).code == 0
    (tmp_path / "copy").mkdir()
    second = new_node(tmp_path / "copy", "clinic-b")
    expect(call("edge_node", "enrol", "--dir", second, fresh), 5, "used")


def test_a_name_that_is_taken(federation: Federation, operator: Path) -> None:
    """Two nodes can't have one name; a lost key is another matter, and the message says which."""
    taken = call("aggregator", "token", "clinic-a", "--dir", operator)
    expect(taken, 7, "clinic-a", "enrolled already", "--replace")


def test_a_port_in_use(federation: Federation, operator: Path, home: Path, tmp_path: Path) -> None:
    """Taken by another program, or by a second start in the same directory."""
    config = NodePaths(home).config
    text = config.read_text()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        config.write_text(text.replace('listen = "127.0.0.1:0"', f'listen = "{address}"'))
        refused = call("edge_node", "run", "--dir", home)
        config.write_text(text)
    assert refused.code == 9, refused
    assert address in refused.err
    again = call("aggregator", "run", "--dir", operator)
    expect(again, 9, operator, "another aggregator")


def test_a_node_that_is_not_enrolled(tmp_path: Path) -> None:
    """It says what to do."""
    home = new_node(tmp_path, "clinic-c")
    expect(call("edge_node", "run", "--dir", home), 5, "edge-node enrol")


def test_a_spec_with_an_unknown_key(tmp_path: Path) -> None:
    """A misspelt setting is no silent default, and leaves no half-made federation."""
    file = tmp_path / "federation.toml"
    write_spec(SPEC, file)
    file.write_text(file.read_text().replace("landmarks =", "landmark_count =", 1))
    home = tmp_path / "aggregator"
    answer = call("aggregator", "init", "--dir", home, "--spec", file, "--host", "localhost")
    expect(answer, 3, file, "landmark_count", "model")
    assert not home.exists()


def test_predictions_without_a_posterior(home: Path, tmp_path: Path) -> None:
    """The file is fine; there is nothing to answer from."""
    (tmp_path / "new.csv").write_text("age,ward\n30,north\n")
    answer = call("edge_node", "predict", "--dir", home, "--csv", tmp_path / "new.csv")
    expect(answer, 4, "no posterior yet", "edge-node run")


def test_predictions_for_new_rows(tmp_path: Path) -> None:
    """A category nobody had is answered with a warning; text in a number is refused."""
    home = new_node(tmp_path, "clinic-d")
    model = NodePaths(home).model
    model.parent.mkdir(mode=0o700)
    simulate(SPEC, {"d": open_source(tmp_path / "rows.csv", SPEC.data)})["d"].save(model)
    new = tmp_path / "new.csv"
    new.write_text("age,ward\n30,north\n30,basement\n")
    answer = call("edge_node", "predict", "--dir", home, "--csv", new)
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 3
    assert "Warning" in answer.err
    assert "ward" in answer.err
    new.write_text("age,ward\n30,north\nold,north\n")
    expect(call("edge_node", "predict", "--dir", home, "--csv", new), 4, new, "age", "row 2", "old")


def test_a_second_node_in_one_directory(home: Path) -> None:
    """Each would send words of its own under the same masks: the second one doesn't start."""
    with locked(NodePaths(home).lock, who="node"):
        second = call("edge_node", "run", "--dir", home)
    expect(second, 9, "another node works in this directory", f"process {os.getpid()}")
