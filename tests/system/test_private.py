"""A federation of real processes whose spec promises differential privacy."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_node.config import FederationSpec, load_spec
from edge_node.config.paths import NodePaths
from edge_node.model.model import Model
from tests.support.federation import Federation
from tests.system.conftest import QUICK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "private.toml"
NODES = ["north", "east", "south", "west"]


def write_rows(spec: FederationSpec, path: Path, rows: int, seed: int) -> None:
    """Rows as the spec's bounds allow them, and a target that follows one column."""
    random = np.random.default_rng(seed)
    lines = [",".join([*(column.name for column in spec.data.columns), spec.data.target])]
    for _ in range(rows):
        cells, target = [], 0.0
        for column in spec.data.columns:
            if column.bounds is None:
                cells.append(str(random.choice(column.categories)))
                continue
            share = random.random()
            cells.append(f"{column.bounds[0] + share * (column.bounds[1] - column.bounds[0]):.4g}")
            target += 150 * share if column.name in ("no2_ug_m3", "co_ug_m3") else 0.0
        lines.append(",".join([*cells, f"{target + 10 * random.normal():.4g}"]))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Four stations, under the example's spec."""
    spec = load_spec(EXAMPLE)
    model = msgspec.structs.replace(spec.model, landmarks=30)
    spec = msgspec.structs.replace(spec, model=model, timing=QUICK, minimum_nodes=len(NODES))
    files = {name: tmp_path / f"{name}.csv" for name in NODES}
    for seed, file in enumerate(files.values()):
        write_rows(spec, file, rows=1500, seed=seed)
    with Federation(tmp_path / "federation", spec, files, threads=1) as made:
        yield made


def privacy_of(federation: Federation, node: str) -> dict:
    """What `edge-node privacy --json` says."""
    home = str(federation.node_directory(node))
    return json.loads(federation.command("edge_node", "privacy", "--json", "--dir", home))


def demand(federation: Federation, node: str, level: str, epsilon: float = 2.0) -> None:
    """Write a demand into the node file."""
    path = NodePaths(federation.node_directory(node)).config
    policy = f'\n[policy.privacy]\nlevel = "{level}"\nepsilon = {epsilon}\ndelta = 1e-6\n'
    path.write_text(path.read_text() + policy)


def test_processes_learn_privately_and_keep_account(federation: Federation) -> None:
    """A model at every node that says what it promises; one line in every ledger."""
    federation.enrol_all()
    demand(federation, "north", "record")
    federation.start_nodes()
    federation.wait_complete(deadline=90)
    for node in NODES:
        model = Model.load(NodePaths(federation.node_directory(node)).model)
        assert model.provenance.privacy == federation.spec.privacy
        assert model.provenance.sums == 1
        assert abs(model.provenance.rows - 6000) < 500
        found = privacy_of(federation, node)
        (release,) = found["releases"]
        assert (release["step"], release["cohort"]) == ("release", 4)
        assert found["epsilon"] == pytest.approx(1.0, rel=1e-6)
        assert found["budget"] == (2.0 if node == "north" else None)
    home = str(federation.node_directory("east"))
    (score,) = json.loads(federation.command("edge_node", "score", "--dir", home, "--json"))[
        "scores"
    ]
    assert score["posterior"] == "global"  # nothing is left out: noise hides what a row did
    assert score["rmse"] < 45.0  # of a target with a deviation of 62
    assert 0.9 < score["coverage95"] <= 1.0


def test_a_site_that_demands_more_refuses_and_says_why(federation: Federation) -> None:
    """Before it contributes anything; the others see the reason with the aggregator."""
    federation.enrol_all()
    demand(federation, "west", "site")
    federation.start_nodes()
    for statuses in federation.follow(deadline=60):
        if "west" in statuses and statuses["west"].phase == "refused":
            break
    assert 'level = "site"' in statuses["west"].reason
    assert privacy_of(federation, "west")["releases"] == []


def test_a_site_without_budget_costs_the_others_nothing(federation: Federation) -> None:
    """It refuses before anybody has paid; the others go on without it, and pay once."""
    federation.enrol_all()
    demand(federation, "east", "record", epsilon=0.5)
    federation.start_nodes()
    others = [node for node in NODES if node != "east"]
    for statuses in federation.follow(deadline=90):
        if all(node in statuses and statuses[node].phase == "complete" for node in others):
            break
    assert "budget would be exceeded" in statuses["east"].reason
    assert privacy_of(federation, "east")["releases"] == []
    for node in others:
        (release,) = privacy_of(federation, node)["releases"]
        assert release["cohort"] == 3
