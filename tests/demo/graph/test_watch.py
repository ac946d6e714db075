"""`edge-node demo --graph`, from the command line to the picture."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_node.cli import cli
from edge_node.demo.graph import telling
from edge_node.demo.graph.phase import Phase
from edge_node.errors import ConfigurationError, MachineError
from tests.test_docs import ROOT


def demo(*arguments: object) -> Result:
    """What the command prints, and what it raises."""
    arguments = ("demo", "--graph", *arguments)
    return CliRunner().invoke(cli, [*map(str, arguments)], standalone_mode=False)


def test_it_tells_what_the_documentation_shows(tmp_path: Path) -> None:
    """Line by line; and it leaves a picture."""
    told = [line.strip() for line in demo("--report", tmp_path).stdout.splitlines()]
    section = (ROOT / "docs/propagation.md").read_text().split("\n## Watch it\n")[1]
    block = re.search(r"```\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    assert block
    shown = [line.strip() for line in block.group(1).splitlines()]
    assert len(shown) > 20
    assert [line for line in shown if line not in told] == []
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


def test_programs_get_one_object(seen: dict[str, Phase], tmp_path: Path) -> None:
    """The same as data: strict JSON, with a null where a belief has no variance."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    result = demo("--json", "--report", tmp_path)
    facts = json.loads(result.stdout, parse_constant=refuse)
    assert result.stderr == ""
    assert [phase["name"] for phase in facts["phases"]] == list(seen)
    for told in facts["phases"]:
        phase = seen[told["name"]]
        assert [step["messages"] for step in told["steps"]] == [f.messages for f in phase.frames]
        assert told["exact"]["mean"] == pytest.approx(phase.exact.mean)
        assert told["edges"] == [[i + 1, j + 1] for i, j in phase.joined.edges]
    variances = {phase["name"]: phase["variances"] for phase in facts["phases"]}
    assert variances["tree"] == "exact"
    assert variances["loops"] == "approximate"
    assert variances["pairs"] is None
    assert len(facts["rows"]) == 12
    assert Path(facts["picture"]).exists()


def test_own_rows(tmp_path: Path) -> None:
    """A few rows of a user's file, with labels as inputs, too."""
    file = tmp_path / "own.csv"
    lines = [f"{i * 37 % 23},{'mf'[i % 2]},{i * 11 % 17}.5" for i in range(40)]
    file.write_text("age,sex,y\n" + "\n".join(lines))
    result = demo("--csv", file, "--target", "y", "--report", tmp_path, "--json")
    assert json.loads(result.stdout)["target"] == "y"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--nodes", 5), "--nodes"),
        (("--keep",), "--keep"),
        (("--split", "iid", "--landmarks", 9), "--split, --landmarks"),
        (("--most-told", 1), "--most-told"),
        (("--csv", "own.csv", "--target", "y", "--site-column", "s"), "--site-column"),
    ],
)
def test_options_of_a_federation_do_not_go_with_it(
    arguments: tuple[object, ...], named: str, tmp_path: Path
) -> None:
    """Even where they are what they would be anyway; nothing is written."""
    error = demo(*arguments, "--report", tmp_path / "report").exception
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith(f"{named} beside --graph")
    assert error.remedy
    assert not (tmp_path / "report").exists()


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    """Is found before the first phase."""
    (tmp_path / "file").touch()
    result = demo("--report", tmp_path / "file")
    assert result.exit_code != 0
    result = demo("--report", tmp_path / "file" / "folder")
    assert isinstance(result.exception, MachineError)
    assert result.stdout == ""


def test_at_a_terminal_the_table_grows(
    seen: dict[str, Phase], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step at a time, with a pause after each; elsewhere all is there at once."""
    pauses: list[float] = []
    monkeypatch.setattr(telling.time, "sleep", pauses.append)
    telling.show_phase(seen["loops"])
    at_once = capsys.readouterr().out
    assert pauses == []
    telling.show_phase(seen["loops"], pause=0.1)
    assert len(pauses) == len(seen["loops"].frames)
    grown = capsys.readouterr().out
    assert grown.splitlines()[-1].strip() == at_once.splitlines()[-1].strip()
