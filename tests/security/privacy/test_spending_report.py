"""`edge-node privacy`: what was spent, what is left, and whether the ledger is whole."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_node.cli import cli
from edge_node.config import Level
from edge_node.config.paths import NodePaths
from edge_node.errors import RefusedError
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_cost import epsilon_of
from edge_node.security.privacy.privacy_ledger import PrivacyLedger, Release
from edge_node.security.privacy.spending_report import spending_report

POLICY = '[policy.privacy]\nlevel = "record"\nepsilon = 3.0\ndelta = 1e-6\n'


def node(root: Path, policy: str = "", releases: int = 2) -> NodePaths:
    """A node's directory, with so many releases in its ledger."""
    paths = NodePaths(root)
    paths.config.write_text(f'name = "a"\ndata = "rows.csv"\n{policy}')
    for directory in (paths.state, paths.identity):
        directory.mkdir()
    ledger = PrivacyLedger(paths.privacy_ledger, paths.privacy_head, level=Level.RECORD, delta=1e-6)
    noise = DiscreteGaussian(Level.RECORD, multiplier=5.0, sensitivity=2.0**29, size=10)
    for run in range(1, releases + 1):
        ledger.charge(noise, Release(run, run, bytes([run]) * 32, "release", cohort=4))
    return paths


def test_what_was_spent_and_what_is_left(tmp_path: Path) -> None:
    """By the site's own budget."""
    found = spending_report(node(tmp_path, POLICY))
    assert found["epsilon"] == found["releases"][-1]["epsilon"]
    assert found["epsilon"] + found["left"] == found["budget"] == 3.0
    result = CliRunner().invoke(cli, ["privacy", "--dir", str(tmp_path)])
    assert result.exit_code == 0
    assert (
        f"Spent: epsilon {found['epsilon']:.4g} (record level, delta 1e-06) of 3" in result.output
    )
    assert result.output.count("release") == 2


def test_what_it_costs_if_nobody_else_is_honest(tmp_path: Path) -> None:
    """The books hold the promise. Of four shares, of which three are enough, one hides a third as
    much: that is told beside it.
    """
    found = spending_report(node(tmp_path, POLICY))
    assert [each["honest"] for each in found["releases"]] == [3, 3]
    rho = sum(each["rho"] for each in found["releases"])
    assert found["alone"] == pytest.approx(epsilon_of(3 * rho, 1e-6), rel=1e-9)
    result = CliRunner().invoke(cli, ["privacy", "--dir", str(tmp_path)])
    pooled = f"epsilon {found['alone']:.4g} if all other members pooled their noise"
    assert pooled in " ".join(result.output.split())


def test_without_a_budget_it_is_told_at_the_releases_delta(tmp_path: Path) -> None:
    """For programs, too."""
    node(tmp_path)
    result = CliRunner().invoke(cli, ["privacy", "--dir", str(tmp_path), "--json"])
    found = json.loads(result.output)
    assert (found["budget"], found["left"], found["delta"]) == (None, None, 1e-6)
    assert len(found["releases"]) == 2


def test_nothing_spent_yet(tmp_path: Path) -> None:
    """Before the first run."""
    paths = node(tmp_path, POLICY, releases=0)
    assert spending_report(paths)["left"] == 3.0
    result = CliRunner().invoke(cli, ["privacy", "--dir", str(tmp_path)])
    assert "Nothing was spent" in result.output


def test_a_ledger_that_was_changed_is_an_error(tmp_path: Path) -> None:
    """With the line, and the exit code of a refusal."""
    paths = node(tmp_path)
    paths.privacy_ledger.write_bytes(paths.privacy_ledger.read_bytes().replace(b":4", b":9"))
    with pytest.raises(RefusedError, match=r"privacy.ledger, line 1"):
        spending_report(paths)
    result = CliRunner().invoke(cli, ["privacy", "--dir", str(tmp_path)])
    assert isinstance(result.exception, RefusedError)
    assert result.exception.exit_code == 7
