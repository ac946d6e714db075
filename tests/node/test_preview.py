"""A preview says what a run then tells, before anything is sent."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_node.cli import cli
from edge_node.config import SitePolicy, load_spec
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.errors import CohortRefusedError, RefusedError
from edge_node.model.model import Model
from edge_node.network.memory import MemoryFederation
from edge_node.node.preview import preview
from edge_node.node.setup import create_node
from edge_node.program import infer
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.contribution import Telling
from edge_node.security.disclosure.ledger import Ledger
from edge_node.step import Step

ROWS = 70
SPEC = """
name = "wards"
minimum_nodes = 4
most_told = {most_told}
[data]
task = "regression"
target = "y"
columns = [{{ name = "a" }}, {{ name = "b" }}, {{ name = "ward", kind = "categorical" }}]
[model]
landmarks = 12
metric_repetitions = 1
{more}
"""


def node(
    directory: Path,
    *,
    most_told: float = 1e4,
    more: str = "",
    policy: SitePolicy | None = None,
    flags: bool = False,
) -> NodePaths:
    """Site a, with its rows and a spec."""
    rng = np.random.default_rng(0)
    lines = ["a,b,ward,y"]
    for a, b in rng.normal(size=(ROWS, 2)):
        own = int(b > 0) if flags else b
        lines.append(f"{a:.4f},{own:.4f},{'uvw'[rng.integers(3)]},{np.sin(a) + b:.4f}")
    (directory / "rows.csv").write_text("\n".join(lines) + "\n")
    paths = NodePaths(directory / "node")
    create_node(
        paths,
        name="a",
        data=directory / "rows.csv",
        listen="",
        advertise="",
        no_inbound=True,
        ignore=(),
        threads=1,
        policy=policy or SitePolicy(),
    )
    paths.spec.write_text(SPEC.format(most_told=most_told, more=more))
    return paths


def run(paths: NodePaths, sites: str) -> Model:
    """What sites learn that all have the rows of the directory."""
    spec = load_spec(paths.spec)
    source = open_source(paths.root.parent / "rows.csv", spec.data)
    federation = MemoryFederation(sites, sizes=dict.fromkeys(sites, 64))
    models = asyncio.run(federation.run(lambda network: infer(network, source, spec)))
    return models[sites[0]]


def test_it_is_what_a_run_tells(tmp_path: Path) -> None:
    """Sum by sum, number by number, with what it comes to; of sites as they were assumed."""
    paths = node(tmp_path)
    found, real = preview(paths, sites=4), run(paths, "abcde").provenance
    assert real.bill is not None
    assert found.bill is not None
    told = {each.step: each.numbers for each in found.sums if each.numbers}
    assert told == dict(real.bill.steps)
    assert found.bill.cells == real.bill.cells
    assert found.bill.per_cell == real.bill.per_cell > 0
    sums = [each.step for each in found.sums]
    assert sums == [step for step in real.cohorts if step in sums]
    assert {each.rows for each in found.sums} == {ROWS}


@pytest.mark.parametrize(("flags", "columns"), [(False, 3), (True, 2)])
def test_a_flag_that_is_declared_as_a_number_is_no_cell(
    tmp_path: Path, flags: bool, columns: int
) -> None:
    """Preview and bill agree on what rows are made of: numbers of many values."""
    paths = node(tmp_path, flags=flags)
    found, real = preview(paths, sites=4).bill, run(paths, "abcde").provenance.bill
    assert found is not None
    assert real is not None
    assert found.columns == real.columns == columns
    assert found.steps == real.steps


def test_what_is_assumed(tmp_path: Path) -> None:
    """As many others as the first run needs, as large as this one; unless somebody knows better."""
    paths = node(tmp_path)
    assert (preview(paths).sites, preview(paths).sites_rows) == (3, ROWS)
    few, many = preview(paths, rows=40).bill, preview(paths, rows=400).bill
    assert few is not None
    assert many is not None
    assert few.sizes == {"a": 64, "assumed-1": 32, "assumed-2": 32, "assumed-3": 32}
    assert few.rows < many.rows
    assert few.per_cell > many.per_cell


def test_a_site_that_would_hold_most_rows(tmp_path: Path) -> None:
    """It is told what that costs everybody; and that the ceiling was raised."""
    bill = preview(node(tmp_path), rows=16).bill
    assert bill is not None
    raised, dominates = bill.notices
    assert "the ceiling was raised from 0.5 to 10000" in raised
    assert dominates.startswith("a holds most rows")


def test_sites_without_rows(tmp_path: Path) -> None:
    """There is nothing to hide among; that is said, and not a number that can't be shifted."""
    with pytest.raises(CohortRefusedError, match="may not tell so many"):
        preview(node(tmp_path), rows=0)


def test_what_was_told_before_counts(tmp_path: Path) -> None:
    """The ledger's numbers are part of what rows may tell in their life."""
    paths = node(tmp_path)
    for directory in (paths.state, paths.identity):
        directory.mkdir(exist_ok=True)
    ledger = Ledger.open(paths.ledger, paths.ledger_key, new=True)
    cohort = Cohort(1, 1, "a", {name: Claim(bytes(32)) for name in "abc"})
    ledger.contribute(cohort, 0, Step("means"), Telling(820))
    bill = preview(paths).bill
    assert bill is not None
    assert bill.before == 820


def test_a_run_that_would_be_refused(tmp_path: Path) -> None:
    """By what rows may tell, or by this site's policy."""
    with pytest.raises(CohortRefusedError, match="may not tell so many numbers"):
        preview(node(tmp_path, most_told=0.001))
    (tmp_path / "strict").mkdir()
    with pytest.raises(RefusedError, match="tell more than this site allows"):
        preview(node(tmp_path / "strict", policy=SitePolicy(most_told=0.5)))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No file is made or changed."""
    paths = node(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    preview(paths)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_command(tmp_path: Path) -> None:
    """For people and for programs; before enrolment with a spec of one's own."""
    paths = node(tmp_path)
    spec = paths.spec.rename(tmp_path / "spec.toml")
    command = ["preview", "--dir", str(paths.root), "--sites", "3", "--rows", "50"]
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code != 0
    command += ["--spec", str(spec)]
    shown = CliRunner().invoke(cli, command)
    assert shown.exit_code == 0, shown.output
    assert "a would tell of 70 distinct rows, with 3 other sites of 50 rows each" in shown.output
    assert "statistics/0" in shown.output
    told = json.loads(CliRunner().invoke(cli, [*command, "--json"]).output)
    assert told["assumed"] == {"sites": 3, "rows": 50}
    assert sum(each["numbers"] for each in told["sums"]) == told["bill"]["told"]


PRIVATE = """
name = "private"
minimum_nodes = 4
[data]
task = "regression"
target = "y"
columns = [
    { name = "a", bounds = [-3, 3] },
    { name = "b", bounds = [-3, 3] },
    { name = "ward", kind = "categorical", categories = ["u", "v", "w"] },
]
[privacy]
level = "record"
epsilon = 50.0
delta = 1e-6
target_bounds = [-5, 5]
[model]
landmarks = 12
kernels = ["ntk"]
depths = [2]
biases = [1.0]
landmark_kinds = ["gaussian"]
"""


def test_a_private_run_tells_one_noisy_sum(tmp_path: Path) -> None:
    """No number of it counts against the budget; what is said instead is what noise promises."""
    paths = node(tmp_path)
    paths.spec.write_text(PRIVATE)
    found = preview(paths, rows=2000)
    assert [(each.content, each.numbers) for each in found.sums if each.values] == [("noisy", 0)]
    assert found.bill is None
    result = CliRunner().invoke(cli, ["preview", "--dir", str(paths.root), "--rows", "2000"])
    shown = " ".join(result.output.split())
    assert "In all one sum with noise: differentially private at record level, epsilon 50" in shown
