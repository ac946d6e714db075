"""What all commands share: exit codes, results, `--json`, `--version`, commands to type next."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edge_node import __version__, console
from edge_node.errors import DataError


@pytest.fixture(autouse=True)
def _environment_as_before(monkeypatch):
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")


@click.group()
def group() -> None:
    """A group."""


@group.command()
@click.option("--raise", "kind", default="")
@console.json_option
def work(kind: str, as_json: bool) -> int | None:
    """Do something, or fail in the given way."""
    if kind == "data":
        raise DataError("not a number", where="a.csv, row 3", found="'x'")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "three":
        return 3
    console.emit({"rows": 2}, as_json=as_json, text="2 rows")
    return None


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command line."""
    with pytest.raises(SystemExit) as ended:
        console.main(group, arguments, program="tool")
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["work"], 0),
        (["--help"], 0),
        (["work", "--raise", "data"], DataError.exit_code),
        (["work", "--raise", "interrupt"], 130),
        (["work", "--raise", "three"], 3),
        (["work", "--unknown"], 2),
        (["play"], 2),
        ([], 2),
    ],
)
def test_exit_codes(capsys, arguments, code):
    """Each way to end has its exit code."""
    assert run(capsys, *arguments)[0] == code


def test_results(capsys):
    """A result goes to standard output and to no other place."""
    assert run(capsys, "work") == (0, "2 rows\n", "")
    assert json.loads(run(capsys, "work", "--json")[1]) == {"rows": 2}


def test_errors(capsys):
    """An error is a sentence, or with --json an object, on standard error."""
    _, out, err = run(capsys, "work", "--raise", "data")
    assert (out, err) == ("", "Error: a.csv, row 3: not a number (found 'x')\n")
    _, out, err = run(capsys, "work", "--raise", "data", "--json")
    assert out == ""
    assert json.loads(err) == {
        "error": "DataError",
        "exit_code": 4,
        "problem": "not a number",
        "where": "a.csv, row 3",
        "found": "'x'",
    }


def test_tables(capsys):
    """Cells are shown as they are: no markup, no control characters."""
    console.emit(
        {},
        as_json=False,
        text=lambda: console.table(["node", ">rows"], [["[red]a[/red]", 10], ["\x1bb", 9]]),
    )
    drawn = capsys.readouterr().out
    assert "[red]a[/red]" in drawn
    assert "\\x1bb" in drawn


@pytest.mark.parametrize("program", ["edge-node", "aggregator"])
def test_the_version(program):
    """Each program tells its name and the package's version."""
    module = program.replace("-", "_")
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{program} {__version__}\n"


@pytest.mark.parametrize(
    ("directory", "variable", "expected"),
    [
        (".", None, "tool go"),
        ("there", None, "tool go --dir there"),
        ("there", "there", "tool go"),
        ("there", "elsewhere", "tool go --dir there"),
        (".", "elsewhere", "tool go --dir ."),
        ("my site", None, "tool go --dir 'my site'"),
    ],
)
def test_a_command_to_type(monkeypatch, directory, variable, expected):
    """It names the directory unless that is the default, and a shell reads it as it is meant."""
    if variable is not None:
        monkeypatch.setenv("TOOL_DIR", variable)
    assert console.typed("tool go", Path(directory), "TOOL_DIR") == expected
    assert shlex.split(expected)[2:] in ([], ["--dir", directory])


BIND = """
import socket
import click
from edge_node import console

@click.command()
def bind():
    import grpc
    from concurrent import futures
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        try:
            server = grpc.server(futures.ThreadPoolExecutor(1))
            server.add_insecure_port("127.0.0.1:%d" % other.getsockname()[1])
        except RuntimeError:
            click.echo("in use")

console.main(bind, [])
"""


@pytest.mark.parametrize(("verbosity", "spoken"), [("ERROR", True), (None, False)])
def test_the_core_of_grpc_is_silent(verbosity, spoken):
    """It writes no lines unless GRPC_VERBOSITY asks for them; the error itself is raised."""
    environment = {k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"}
    if verbosity is not None:
        environment["GRPC_VERBOSITY"] = verbosity
    done = subprocess.run(
        [sys.executable, "-c", BIND], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "in use\n"
    assert ("add_port.cc" in done.stderr) == spoken
    assert spoken or done.stderr == ""
