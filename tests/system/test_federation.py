"""A federation of real processes: one posterior, and what happens when processes die."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_node.config import TimingSpec
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import batch_from_rows, open_source
from edge_node.demo.data.sites import Site
from edge_node.demo.evaluation import table_rows
from edge_node.demo.federation import LocalFederation, frozen
from edge_node.model.model import Model
from edge_node.program.simulation import simulate
from edge_node.serving import client
from tests.system.conftest import pooled_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Make = Callable[..., LocalFederation]


def model_of(federation: LocalFederation, node: str) -> Model:
    """The posterior on the node's disk."""
    return Model.load(NodePaths(federation.node_directory(node)).model)


def assert_pooled(
    federation: LocalFederation, sites: list[Site], nodes: list[str], tmp_path: Path
) -> None:
    """Each of these nodes holds the posterior that one machine learns from their rows."""
    chosen = [site for site in sites if site.name in nodes]
    file = open_source(pooled_file(chosen, tmp_path / "pooled.csv"), federation.spec.data)
    pooled = simulate(federation.spec, {"pooled": file})["pooled"]
    rows = table_rows(sites[0].test, pooled.data)
    batch = batch_from_rows(rows, pooled.data)
    mean, sd = pooled.latent(batch)
    for node in nodes:
        model = model_of(federation, node)
        assert model.provenance.cohort == tuple(sorted(nodes))
        theirs = model.latent(batch)
        np.testing.assert_allclose(theirs[0], mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(theirs[1], sd, rtol=1e-8)


def test_processes_reach_the_pooled_posterior_and_answer_alone(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """The whole way; then the answer of one node while everything else is down."""
    federation = make_federation()
    federation.start()
    federation.wait_complete(deadline=90)
    assert_pooled(federation, sites, [site.name for site in sites], tmp_path)
    rows = table_rows(sites[1].test, federation.spec.data)
    over_socket = client.predict(federation.node_directory("hospital-b"), rows)
    federation.stop()
    (tmp_path / "new.csv").write_text(
        ",".join(rows[0]) + "\n" + "\n".join(",".join(map(repr, row.values())) for row in rows)
    )
    home = str(federation.node_directory("hospital-b"))
    text = federation.command(
        "edge_node", "predict", "--dir", home, "--csv", str(tmp_path / "new.csv"), "--json"
    )
    assert json.loads(text)["predictions"] == over_socket


def test_the_others_finish_without_a_dead_node_and_take_it_back(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """Killed (-9) in the middle of a sweep: the smaller cohort's answer, later the whole one's,
    which its site consents to.
    """
    federation = make_federation(
        TimingSpec(heartbeat=0.2, liveness=5, settle=2, step=60),
        policies={"hospital-c": ("--differencing", "consent")},
    )
    federation.start()
    victim, survivors = "hospital-c", [s.name for s in sites if s.name != "hospital-c"]
    for statuses in federation.follow(deadline=60):
        if len(statuses) == 5 and all(status.discovery_reachable for status in statuses.values()):
            break
    with frozen(federation.processes[victim]):  # it is planned, a sweep begins, and can't end
        for statuses in federation.follow(deadline=60, nodes=tuple(survivors)):
            if any(victim in status.waiting_for for status in statuses.values()):
                break
        federation.kill(victim)
    federation.wait_complete(deadline=60, nodes=tuple(survivors))
    assert_pooled(federation, sites, survivors, tmp_path)
    federation.start_node(victim)
    federation.wait_complete(deadline=90)
    assert_pooled(federation, sites, [*survivors, victim], tmp_path)


def test_a_node_that_returns_without_consent_waits(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """Totals without it are known: the others refuse, say why, and keep their posterior."""
    federation = make_federation(minimum_nodes=4)
    victim, survivors = "hospital-c", tuple(s.name for s in sites if s.name != "hospital-c")
    federation.create()
    federation.start_aggregator()
    for node in survivors:
        federation.enrol(node)
        federation.start_node(node)
    federation.wait_complete(deadline=60, nodes=survivors)
    federation.enrol(victim)
    federation.start_node(victim)
    reason = "would differ by hospital-c alone"
    for statuses in federation.follow(deadline=60):
        phases = [status.phase for node, status in statuses.items() if node in survivors]
        if phases == ["refused"] * 4 and reason in statuses[victim].reason:
            break
    assert all(reason in statuses[node].reason for node in survivors)
    epochs = {status.epoch for status in statuses.values()}
    assert_pooled(federation, sites, list(survivors), tmp_path)
    rows = table_rows(sites[0].test, federation.spec.data)
    assert len(client.predict(federation.node_directory(survivors[0]), rows)) == len(rows)
    federation.kill(victim)
    federation.start_node(victim)  # it might have changed its mind: it is tried once again
    for statuses in federation.follow(deadline=60):
        if len(statuses) == 5 and min(status.epoch for status in statuses.values()) > max(epochs):
            break
    for statuses in federation.follow(deadline=60):
        if all(statuses[node].phase == "refused" for node in survivors if node in statuses):
            break
    home = str(federation.directory / "aggregator")
    known = json.loads(federation.command("aggregator", "status", "--json", "--dir", home))
    assert any("refuses" in problem and reason in problem for problem in known["problems"])
    config = NodePaths(federation.node_directory(victim)).config
    text = config.read_text().replace('differencing = "refuse"', 'differencing = "consent"')
    federation.kill(victim)
    config.write_text(text)
    federation.start_node(victim)
    federation.wait_complete(deadline=90)
    assert_pooled(federation, sites, [*survivors, victim], tmp_path)


def test_the_posterior_after_leaving_is_one_that_never_saw_the_node(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """With its consent at once; of one that is evicted without, only when more differ."""
    quiet = TimingSpec(heartbeat=0.2, liveness=5, settle=3, step=60)
    federation = make_federation(quiet, minimum_nodes=3)
    federation.create()
    federation.start_aggregator()
    for node in federation.files:
        federation.enrol(node)
    for node in federation.files:  # at once: three that begin would not let two others join
        federation.start_node(node)
    federation.wait_complete(deadline=90)
    leaver, stays = "hospital-c", tuple(s.name for s in sites if s.name != "hospital-c")
    home = federation.node_directory(leaver)
    federation.command("edge_node", "leave", "--consent", "--forget", "--dir", str(home))
    for statuses in federation.follow(deadline=60):
        held = {status.cohort for node, status in statuses.items() if node in stays}
        if held == {stays} and "has left" in statuses[leaver].reason:
            break
    assert_pooled(federation, sites, list(stays), tmp_path)
    assert statuses[leaver].cohort == ()
    assert federation.files[leaver].exists()
    assert not NodePaths(home).model.exists()
    assert not list(NodePaths(home).state.glob("run-*"))
    assert NodePaths(home).ledger.exists()
    evicted, left = stays[0], stays[1:]
    aggregator = str(federation.directory / "aggregator")
    federation.command("aggregator", "evict", evicted, "--reason", "moved", "--dir", aggregator)
    for statuses in federation.follow(deadline=60, nodes=left):
        if all(f"would differ by {evicted} alone" in s.reason for s in statuses.values()):
            break
    assert_pooled(federation, sites, list(stays), tmp_path)
    for statuses in federation.follow(deadline=30, nodes=(evicted,)):
        if "moved" in statuses[evicted].reason:
            break


@pytest.mark.parametrize("position", ["root", "leaf"])
def test_a_node_lost_late_keeps_the_parts_that_are_fixed(
    make_federation: Make, position: str
) -> None:
    """Totals that were formed before the death stay as they were; later ones are the survivors'."""
    federation = make_federation(landmarks=150, depths=(1, 2, 3))
    federation.start()
    for statuses in federation.follow(deadline=60):
        if any(status.step.startswith(("kmeans", "statistics")) for status in statuses.values()):
            break
    parents = federation.topology().parents
    inner = set(parents.values())
    victim = next(
        node
        for node in parents
        if (parents[node] == "" if position == "root" else node not in inner)
    )
    federation.kill(victim)
    survivors = tuple(node for node in federation.files if node != victim)
    federation.wait_complete(deadline=90, nodes=survivors)
    cohorts = [model_of(federation, node).provenance.cohorts for node in survivors]
    assert all(each == cohorts[0] for each in cohorts)
    assert victim in cohorts[0]["spread"]
    answers = {
        model_of(federation, node).posterior.to_arrays()["shift"].tobytes() for node in survivors
    }
    assert len(answers) == 1


def test_a_node_restarted_within_a_run_resumes(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """A quick restart costs a sweep, not the run: same run, same cohort, same answer."""
    federation = make_federation(landmarks=150)
    federation.start()
    for statuses in federation.follow(deadline=60):
        if any(status.step.startswith(("kmeans", "statistics")) for status in statuses.values()):
            break
    federation.kill("hospital-b")
    federation.start_node("hospital-b")
    statuses = federation.wait_complete(deadline=90)
    assert_pooled(federation, sites, list(statuses), tmp_path)


def test_a_run_outlives_the_aggregator(make_federation: Make, sites: list[Site]) -> None:
    """It finishes, predictions go on, and the restarted aggregator knows its nodes."""
    federation = make_federation(landmarks=150)
    federation.start()
    for statuses in federation.follow(deadline=60):
        if all(status.phase == "running" for status in statuses.values()) and len(statuses) == 5:
            break
    federation.kill("aggregator")
    statuses = federation.wait_complete(deadline=90)
    rows = table_rows(sites[0].test, federation.spec.data)
    assert len(client.predict(federation.node_directory("hospital-a"), rows)) == len(rows)
    federation.start_aggregator()
    for statuses in federation.follow(deadline=30):
        if all(status.discovery_reachable for status in statuses.values()) and len(statuses) == 5:
            break
    home = str(federation.directory / "aggregator")
    known = json.loads(federation.command("aggregator", "status", "--json", "--dir", home))
    assert [node["node"] for node in known["nodes"]] == sorted(federation.files)
    assert {status.run for status in statuses.values()} == {known["plan"]["run"]} == {1}
    assert all(status.phase == "complete" for status in statuses.values())
