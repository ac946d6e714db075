"""The help of every command of both programs, as it is shown."""

import inspect
from collections.abc import Iterator

import click
import pytest

from aggregator.cli import cli as aggregator
from edge_node.cli import cli as edge_node


def commands(
    command: click.Command, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """A program's command and all below it."""
    name = command.name if parent else {edge_node: "edge-node"}.get(command, "aggregator")
    context = click.Context(command, parent, info_name=name)
    yield context
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each, context)


EVERY = [context for program in (edge_node, aggregator) for context in commands(program)]


@pytest.mark.parametrize("context", EVERY, ids=[context.command_path for context in EVERY])
def test_examples_stay_lines(context: click.Context) -> None:
    r"""Click joins lines to paragraphs unless it finds the character \b: an example isn't one.

    In a raw docstring it is two characters, and both are shown.
    """
    command = context.command
    shown = command.get_help(context)
    lines = [line.strip() for line in shown.splitlines()]
    assert "\\b" not in shown
    assert "\b" not in shown
    for text in (command.help, command.epilog):
        for line in inspect.cleandoc(text or "").splitlines():
            if line.startswith(" "):
                assert line.strip() in lines


def test_there_are_examples() -> None:
    """Of both programs, so that the test above looks at something."""
    for program in ("edge-node", "aggregator", "aggregator ca"):
        (context,) = [each for each in EVERY if each.command_path == program]
        assert f"  {program} init " in context.command.get_help(context)
