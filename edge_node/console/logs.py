"""The logs of a process that runs for long, on standard error.

On a terminal a log entry is a line for people, otherwise one JSON object a line. No entry quotes
a cell of anybody's rows.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any

from edge_node.console.output import printable
from edge_node.errors import TangentMeshError

__all__ = ["configure_logging"]

_OWN = ("edge_node", "aggregator")  # the loggers of this project's packages
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure_logging(
    level: int = logging.INFO, *, as_json: bool | None = None, stream: IO[str] | None = None
) -> None:
    """Send all logs to standard error, replacing earlier handlers; uncaught exceptions, too.

    Of libraries' entries only warnings and errors are shown: JAX, for one, reports every
    accelerator that this machine doesn't have. With a ``level`` below INFO all are shown.

    Args:
        level: the least severe level that is shown of this project's own entries.
        as_json: whether to write one JSON object a line; default: unless ``stream`` is a terminal.
        stream: where to write, instead of standard error.
    """
    target = sys.stderr if stream is None else stream
    in_json = not target.isatty() if as_json is None else as_json
    handler = logging.StreamHandler(target)
    handler.setFormatter(_JsonLines() if in_json else _Lines())
    of_libraries = level if level < logging.INFO else max(level, logging.WARNING)
    logging.basicConfig(level=of_libraries, handlers=[handler], force=True)
    for package in _OWN:
        logging.getLogger(package).setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`: the facts beside the sentence."""
    return {k: v for k, v in vars(record).items() if k not in _STANDARD_ATTRIBUTES}


def _traceback(error: BaseException | None) -> str:
    """Where an exception came from, and its causes: places and types, but no cell of a row.

    Libraries' messages quote what they couldn't read. So only two kinds of error are logged with
    their text: the project's own, which never quote a row while a node runs, and the operating
    system's.
    """
    told: list[str] = []
    while error is not None:
        known = isinstance(error, TangentMeshError | OSError)
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        said = f"{name}: {error}" if known else f"{name} (its text is left out: it may quote rows)"
        told.append("".join(traceback.format_tb(error.__traceback__)) + said)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich led to\n\n".join(reversed(told))


def _log_uncaught(
    _kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    """A daemon's last words are a log entry like all others."""
    logging.getLogger("edge_node").critical("the process can't go on", exc_info=error)


class _Lines(logging.Formatter):
    """`14:03:27 info  plan issued  epoch=3 run=1`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback if there is one."""
        time = datetime.fromtimestamp(record.created).astimezone()
        facts = " ".join(f"{name}={value}" for name, value in _extras(record).items())
        line = f"{time:%H:%M:%S} {record.levelname.lower():<7} {record.getMessage()}"
        lines = [f"{line}  {facts}" if facts else line]
        if record.exc_info:
            lines.append(_traceback(record.exc_info[1]))
        return printable("\n".join(lines))


class _JsonLines(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, and the facts beside it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            fields["traceback"] = _traceback(record.exc_info[1])
        return json.dumps(fields, ensure_ascii=False, default=str)
