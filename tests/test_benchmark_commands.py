"""What a benchmark is told on its command line is refused before it measures anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import cli

TOO_SMALL = {
    "propagation --size": 10,
    "joined --rows": 1,
    "joined --inputs": 4,
    "field --devices": 1000,
    "width --seeds": 2,
    "fedavg --rounds": 1,
}


@pytest.mark.parametrize("option", TOO_SMALL)
def test_a_size_that_is_too_small_is_refused_with_the_least(option: str) -> None:
    """As a mistake on the command line."""
    least = TOO_SMALL[option]
    done = CliRunner().invoke(cli, [*option.split(), str(least - 1)])
    assert done.exit_code == 2
    assert f"x>={least}" in done.output


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc: Linux only")
def test_what_was_measured_is_shown_where_there_is_no_growth() -> None:
    """One size has no slope."""
    words = ["propagation", "--size", "10", "--case", "weak", "--method", "dense"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0
    (line,) = (line for line in done.stdout.splitlines() if "dense" in line)
    assert [cell.strip() for cell in line.split("|")][1:3] == ["weak", "dense"]


@pytest.mark.slow
def test_each_part_of_a_fleets_figures_has_its_own_table() -> None:
    """No cell is cut off, as it was in one table of all columns."""
    words = ["field", "--devices", "1000", "--part", "prior", "--part", "change"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0
    assert "finite elements" in done.stdout
    assert "…" not in done.stdout
