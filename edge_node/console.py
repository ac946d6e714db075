"""What every command line of the project shares: exit codes, `--json`, logs and tables.

A command raises; `main` turns what was raised into a message and an exit code (the codes are
those of `edge_node.errors`). Results go to standard output and nothing else does, so that they
can be piped; logs, explanations and errors go to standard error. On a terminal logs are lines
for people, otherwise one JSON object a line. `rich` takes a tenth of a second to import, so it
is imported only when something is drawn.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from edge_node.errors import TangentMeshError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["configure_logging", "emit", "explain", "json_option", "main", "show", "table"]

_INTERRUPTED = 130
_JSON = "edge_node.console.json"
_PIPED_COLUMNS = 160  # how wide tables are when nobody watches

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def main(
    command: click.Command, arguments: Sequence[str] | None = None, *, program: str | None = None
) -> NoReturn:
    """Run a command line and end the process with its exit code.

    A command's integer return value is its exit code; otherwise 0 is success, 2 a command line
    that could not be parsed, 130 an interrupt, and each TangentMeshError has its own.
    """
    sys.exit(_exit_code(command, arguments, program))


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`, passed to the command as `as_json`; errors are then JSON objects, too."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_remember_json,
        help="Print one JSON object for programs instead of text for people.",
    )(function)


def emit(
    result: Mapping[str, Any], *, as_json: bool, text: "str | Callable[[], RenderableType]"
) -> None:
    """Print a command's result on standard output.

    Args:
        result: the result for programs.
        as_json: whether a program reads it.
        text: the result for people; a function is called only if it is needed.
    """
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    elif isinstance(text, str):
        click.echo(text)
    else:
        show(text())


def explain(message: str) -> None:
    """Say something to the person at the terminal, without touching the result."""
    click.echo(message, err=True)


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], *, title: str = "") -> "Table":
    """A table of text. A heading that starts with `>` has its column aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        drawn.add_column(heading.removeprefix(">"), justify="right" if right else "left")
    for row in rows:
        drawn.add_row(*(Text(_printable(str(cell))) for cell in row))
    return drawn


def show(renderable: "RenderableType") -> None:
    """Draw on standard output, as wide as the terminal."""
    from rich.console import Console

    watched = sys.stdout.isatty()
    Console(highlight=False, width=None if watched else _PIPED_COLUMNS).print(renderable)


def configure_logging(
    level: int = logging.INFO, *, as_json: bool | None = None, stream: IO[str] | None = None
) -> None:
    """Send all logs to standard error, replacing earlier handlers; uncaught exceptions, too.

    Args:
        level: the least severe level that is shown.
        as_json: one JSON object a line; by default, unless a terminal shows it.
        stream: where to, instead of standard error.
    """
    target = sys.stderr if stream is None else stream
    in_json = not target.isatty() if as_json is None else as_json
    handler = logging.StreamHandler(target)
    handler.setFormatter(_JsonLines() if in_json else _Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _exit_code(command: click.Command, arguments: Sequence[str] | None, program: str | None) -> int:
    remembered: dict[str, bool] = {}
    try:
        result = command.main(arguments, program, standalone_mode=False, obj=remembered)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except TangentMeshError as error:
        _show_error(error, as_json=remembered.get(_JSON, False))
        return error.exit_code
    except BrokenPipeError:  # `... | head`: nobody reads on, which is nobody's mistake
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _remember_json(context: click.Context, _: click.Parameter, value: bool) -> bool:
    context.ensure_object(dict)[_JSON] = value
    return value


def _show_error(error: TangentMeshError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(error.as_dict(), ensure_ascii=False), err=True)
    else:
        click.echo(click.style("Error: ", fg="red") + str(error), err=True)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`: the facts beside the sentence."""
    return {k: v for k, v in vars(record).items() if k not in _STANDARD_ATTRIBUTES}


def _printable(text: str) -> str:
    """Peers send text, too: control characters must not reach a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def _traceback(error: BaseException | None) -> str:
    """Where an exception came from, and those before it: places, types, and no cell of a row.

    Libraries quote in their messages what they couldn't read. Only the project's own errors, which
    never quote a row in mid-run, and the operating system's are given with their text.
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
        return _printable("\n".join(lines))


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
