"""Running a command line: its exit codes, and the options that every command has.

A command raises; `main` turns the exception into a message and an exit code. The codes are those
of `edge_node.errors`.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from edge_node import __version__
from edge_node.errors import TangentMeshError

__all__ = ["directory_option", "json_option", "main", "typed", "version_option"]

_INTERRUPTED = 130
_JSON = "edge_node.console.json"


def main(
    command: click.Command, arguments: Sequence[str] | None = None, *, program: str | None = None
) -> NoReturn:
    """Run a command line and end the process with its exit code.

    A command's integer return value is its exit code. Otherwise 0 is success, 2 a command line
    that could not be parsed, 130 an interrupt, and each TangentMeshError has its own.

    gRPC's core writes plain lines to standard error, among JSON logs. They are turned off, because
    everything they say is also raised or logged; set GRPC_VERBOSITY to see them.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is imported, which is later
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


def directory_option(
    parameter: str, variable: str, make: Callable[[Path], Any], *, text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--dir`` to a command.

    Args:
        parameter: the argument as which the command receives the directory.
        variable: the environment variable that holds the default; without it, the current one.
        make: makes of the path what the command receives.
        text: the option's help.
    """
    return click.option(
        "--dir",
        "-d",
        parameter,
        envvar=variable,
        default=".",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, value: make(value),
        help=text,
    )


def version_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--version` to a program: it prints the program's name and the package's version."""
    return click.version_option(__version__, message="%(prog)s %(version)s")(function)


def typed(command: str, directory: Path, variable: str) -> str:
    """A command as it must be typed to act on a directory.

    Args:
        command: without the directory, e.g. ``edge-node run``.
        directory: what it acts on.
        variable: the environment variable that holds the default directory, where it is set.

    Returns:
        The command, with ``--dir`` unless the directory is the default.
    """
    if directory == Path(os.environ.get(variable) or "."):
        return command
    return f"{command} --dir {shlex.quote(str(directory))}"


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
