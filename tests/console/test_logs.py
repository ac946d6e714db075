"""Logs: safe to show, complete for programs, and without the chatter of libraries."""

import io
import json
import logging
import subprocess
import sys

import pytest

from edge_node import console
from edge_node.errors import DataError


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, sys.excepthook
    yield
    sys.excepthook = hook
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for package in ("edge_node", "aggregator"):
        logging.getLogger(package).setLevel(logging.NOTSET)


def logged(*, as_json: bool, **extra: object) -> str:
    """What is written when an information and a debug message are logged."""
    stream = io.StringIO()
    console.configure_logging(as_json=as_json, stream=stream)
    logging.getLogger("edge_node.tool").info("plan %d issued", 3, extra=extra)
    logging.getLogger("edge_node.tool").debug("hidden")
    return stream.getvalue()


def test_json_logs():
    """A JSON log line holds the facts beside the sentence."""
    entry = json.loads(logged(as_json=True, epoch=3))
    assert entry["message"] == "plan 3 issued"
    assert (entry["level"], entry["logger"], entry["epoch"]) == ("info", "edge_node.tool", 3)
    assert entry["time"].endswith("+00:00")


def test_logs_for_people():
    """A log line for people can't carry commands for their terminal."""
    line = logged(as_json=False, step="\x1b[2Jgone")
    assert line.endswith("info    plan 3 issued  step=\\x1b[2Jgone\n")


@pytest.mark.parametrize("as_json", [True, False])
def test_tracebacks(as_json):
    """They say where and of which type, and quote no library: what it couldn't read may be a cell.

    The project's own errors are told in full.
    """
    stream = io.StringIO()
    console.configure_logging(as_json=as_json, stream=stream)
    try:
        try:
            int("Quetzalcoatlus-7")
        except ValueError as error:
            raise DataError("a cell is wrong", where="column 'ward'") from error
    except DataError:
        logging.getLogger("edge_node.tool").exception("failed")
    told = stream.getvalue()
    assert "builtins.ValueError (its text is left out" in told
    assert "edge_node.errors.DataError: column 'ward': a cell is wrong" in told
    assert "test_logs.py" in told
    assert "invalid literal" not in told


def test_uncaught_exceptions_are_logged():
    """As JSON, and without quoting what a library couldn't read."""
    stream = io.StringIO()
    console.configure_logging(as_json=True, stream=stream)
    error = KeyError("Quetzalcoatlus-7")
    sys.excepthook(KeyError, error, None)
    entry = json.loads(stream.getvalue())
    assert entry["level"] == "critical"
    assert "builtins.KeyError" in entry["traceback"]
    assert "Quetzalcoatlus" not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.DEBUG, ["debug", "info", "warning"]),
        (logging.INFO, ["warning"]),
        (logging.ERROR, []),
    ],
)
def test_libraries(level, shown):
    """Their warnings and errors are shown; the rest only where everything is asked for."""
    stream = io.StringIO()
    console.configure_logging(level, as_json=True, stream=stream)
    library = logging.getLogger("a_library")
    for name in ("debug", "info", "warning"):
        getattr(library, name)("something")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == shown


JAX = "import logging, jax\n{configure}\njax.devices()\nlogging.getLogger('edge_node').info('done')"


@pytest.mark.parametrize(
    ("configure", "told"),
    [
        ("logging.basicConfig(level=logging.INFO)", True),
        ("from edge_node import console; console.configure_logging()", False),
    ],
)
def test_accelerators_that_are_not_there(configure, told):
    """JAX reports each that it has looked for. A node's log doesn't, and all of it is JSON."""
    program = [sys.executable, "-c", JAX.format(configure=configure)]
    logged = subprocess.run(program, capture_output=True, text=True, check=True).stderr
    assert ("Unable to initialize backend" in logged) == told
    assert told or [json.loads(line)["message"] for line in logged.splitlines()] == ["done"]
