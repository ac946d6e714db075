"""What a reader would type is there: commands, their names, and the keys of both files."""

import re
from pathlib import Path

import click
import msgspec
import pytest

from aggregator.cli import cli as aggregator_cli
from benchmarks.__main__ import cli as benchmarks_cli
from edge_node.cli import cli as node_cli
from edge_node.config import (
    Column,
    DataSpec,
    FederationSpec,
    ModelSpec,
    NodeConfig,
    PrivacySpec,
    SitePolicy,
    TimingSpec,
)
from tests.test_docs import ROOT, pages

_PROGRAM = re.compile(r"(?<!-u )(?<!lib/)\b(edge-node|aggregator)(?= )")  # no user, no directory
_COMMAND = re.compile(_PROGRAM.pattern + "((?: [a-z][a-z-]+)+)")
_CODE = re.compile(r"`([^`\n]+)`|^ {4,}(\S.*)$", re.MULTILINE)
PROGRAMS: dict[str, click.Command] = {"edge-node": node_cli, "aggregator": aggregator_cli}


def unknown_commands(text: str) -> list[str]:
    """Commands in the text's code that the programs don't have."""
    code = "\n".join(each.group(1) or each.group(2) for each in _CODE.finditer(text))
    unknown = []
    for program, words in _COMMAND.findall(code):
        command: click.Command = PROGRAMS[program]
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            if word not in command.commands:
                unknown.append(f"{program} {word}")
                break
            command = command.commands[word]
    return sorted(set(unknown))


def options(command: click.Command) -> set[str]:
    """The options of a command and of all below it."""
    own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union({"--help"}, *(options(each) for each in below))


def unknown_options(text: str) -> list[str]:
    """Options beside a program's name that none of its commands takes."""
    unknown = set()
    for match in _CODE.finditer(text.replace("\\\n", " ")):
        _, *parts = _PROGRAM.split(match.group(1) or match.group(2))
        for program, rest in zip(parts[::2], parts[1::2], strict=True):
            known = options(PROGRAMS[program])
            named = re.findall(r"--[a-z-]+", rest)
            unknown |= {f"{program} {option}" for option in named if option not in known}
    return sorted(unknown)


@pages
def test_every_command_that_is_named_exists(page: Path) -> None:
    """Of `edge-node` and of `aggregator`, with the options that are named beside it."""
    assert not unknown_commands(page.read_text())
    assert not unknown_options(page.read_text())


def test_a_command_that_does_not_exist_is_found() -> None:
    """The control."""
    text = (
        "`edge-node status --jason`, `aggregator ca sing FILE`\n\n    edge-node learn --dir node\n"
    )
    assert unknown_commands(text) == ["aggregator sing", "edge-node learn"]
    assert unknown_options(text) == ["edge-node --jason"]


_BENCHMARK = re.compile(r"python\s+-m\s+benchmarks\s")
_BENCHMARK_ENDS = re.compile(r"[`>#]|\n\s*\n|\n {4}")
_EARLIER = {"--folds", "--way"}  # docs/model.md says so where it names them


def unknown_benchmarks(text: str) -> list[str]:
    """Benchmarks that the text names and that don't exist, or don't take such an option."""
    unknown = set()
    for rest in _BENCHMARK.split(text)[1:]:
        name, *words = _BENCHMARK_ENDS.split(rest)[0].split()
        command = benchmarks_cli.commands.get(name, benchmarks_cli)
        if command is benchmarks_cli and name != "--help":
            unknown.add(name)
            continue
        known = options(command) | _EARLIER
        unknown |= {f"{name} {each}" for each in words if each[:2] == "--" and each not in known}
    return sorted(unknown)


@pages
def test_every_benchmark_that_is_named_exists(page: Path) -> None:
    """A figure can be measured again by the command beside it."""
    assert not unknown_benchmarks(page.read_text())


def test_a_benchmark_that_does_not_exist_is_found() -> None:
    """The control, also across a line's end."""
    text = "`python\n-m benchmarks nothing`\n\n    python -m benchmarks field --devices 9 --no\n"
    assert unknown_benchmarks(text) == ["field --no", "nothing"]


def test_the_design_names_every_command() -> None:
    """Its list of commands is complete."""
    section = (ROOT / "docs/design.md").read_text().split("\n### Commands\n")[1].split("\n#")[0]
    named = set(re.findall(r"[a-z-]+", section))
    assert not [
        f"{program} {name}"
        for program, group in PROGRAMS.items()
        if isinstance(group, click.Group)
        for name in group.commands
        if name not in named
    ]


def missing_targets(text: str) -> list[str]:
    """Targets of the Makefile that the text's code names and that don't exist."""
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(each.group(1) or each.group(2) for each in _CODE.finditer(text))
    return sorted(set(re.findall(r"\bmake ([a-z][a-z-]*)", code)) - there)


@pages
def test_every_target_that_is_named_exists(page: Path) -> None:
    """Of the Makefile."""
    assert not missing_targets(page.read_text())


def test_a_target_that_does_not_exist_is_found() -> None:
    """The control."""
    assert missing_targets("`make demo` and\n\n    make nothing   # at all\n") == ["nothing"]


def settings(table: type) -> list[str]:
    """The names of a configuration table's keys."""
    return [field.encode_name for field in msgspec.structs.fields(table)]


@pytest.mark.parametrize(
    "table",
    [FederationSpec, DataSpec, Column, ModelSpec, TimingSpec, PrivacySpec, NodeConfig, SitePolicy],
)
def test_the_readme_names_every_setting(table: type) -> None:
    """Its tables of `federation.toml` and of `node.toml` are complete."""
    text = (ROOT / "README.md").read_text().split("\n## Configuration\n")[1].split("\n## ")[0]
    code = re.findall(r"`([^`]+)`", text)
    named = {word for each in code for word in re.findall(r"\w+", each)}
    assert not [name for name in settings(table) if name not in named]
