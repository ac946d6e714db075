"""A federation of real processes: one posterior, and what happens when processes die."""

import json
from pathlib import Path

import pytest

from edge_node.config import Differencing, LandmarkKind, SitePolicy, TimingSpec
from edge_node.config.paths import NodePaths
from edge_node.demo.data.sites import Site
from edge_node.demo.evaluation import table_rows
from edge_node.demo.federation import frozen
from edge_node.serving import client
from tests.support.federation import Federation, assert_pooled, model_of
from tests.system.conftest import Make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FOR_TWO_RUNS = {"most_told": 1e6, "landmark_kinds": (LandmarkKind.GAUSSIAN,)}
"""By default the first run takes all that rows may tell, and rows are in k-means cells once."""


def test_processes_reach_the_pooled_posterior_and_answer_alone(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """The whole way, with a node that is killed within the run and started again at once: that
    costs a sweep, not the run. Then the answer of one node while everything else is down.
    """
    patient = TimingSpec(heartbeat=0.2, liveness=30.0, settle=0.5, step=60.0)
    federation = make_federation(patient, nodes=4, landmarks=150, most_told=1e6)
    federation.start()
    wait_for_sums(federation)
    federation.kill("hospital-b")
    federation.start_node("hospital-b")
    statuses = federation.wait_complete(deadline=90)
    assert {status.run for status in statuses.values()} == {1}
    assert_pooled(federation, federation.files)
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
    alone = json.loads(text)["predictions"]
    assert [row["label"] for row in alone] == [row["label"] for row in over_socket]
    for one, other in zip(alone, over_socket, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-9)


def wait_for_sums(federation: Federation) -> None:
    """Until a node has begun the sums of features."""
    begun = ("screen", "statistics", "gradients", "kmeans")
    for statuses in federation.follow(deadline=60):
        if any(status.step.startswith(begun) for status in statuses.values()):
            break


def test_the_others_finish_without_a_dead_node_and_take_it_back(make_federation: Make) -> None:
    """Killed (-9) in the middle of a sweep: the smaller cohort's answer, later the whole one's,
    which its site consents to.
    """
    federation = make_federation(
        TimingSpec(heartbeat=0.2, liveness=5, settle=2, step=60),
        nodes=4,
        policies={"hospital-c": SitePolicy(differencing=Differencing.CONSENT)},
        **FOR_TWO_RUNS,
    )
    federation.start()
    victim = "hospital-c"
    survivors = tuple(node for node in federation.files if node != victim)
    for statuses in federation.follow(deadline=60):
        if len(statuses) == 4 and all(status.discovery_reachable for status in statuses.values()):
            break
    with frozen(federation.processes[victim]):  # it is planned, a sweep begins, and can't end
        for statuses in federation.follow(deadline=60, nodes=survivors):
            if any(victim in status.waiting_for for status in statuses.values()):
                break
        federation.kill(victim)
    federation.wait_complete(deadline=60, nodes=survivors)
    assert_pooled(federation, survivors)
    federation.start_node(victim)
    federation.wait_complete(deadline=90)
    assert_pooled(federation, federation.files)


def test_a_node_that_returns_without_consent_waits(
    make_federation: Make, sites: list[Site]
) -> None:
    """Totals without it are known: the others refuse, say why, and keep their posterior."""
    federation = make_federation(nodes=5, minimum_nodes=4, **FOR_TWO_RUNS)
    victim = "hospital-c"
    survivors = tuple(node for node in federation.files if node != victim)
    federation.enrol_all(*survivors)
    federation.start_nodes(*survivors)
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
    assert_pooled(federation, survivors)
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
    assert_pooled(federation, federation.files)


def test_the_posterior_after_leaving_is_one_that_never_saw_the_node(make_federation: Make) -> None:
    """With its consent at once; of one that is evicted without, only when more differ."""
    quiet = TimingSpec(heartbeat=0.2, liveness=5, settle=3, step=60)
    federation = make_federation(quiet, nodes=5, minimum_nodes=3, **FOR_TWO_RUNS)
    federation.enrol_all()
    federation.start_nodes()  # at once: three that begin would not let two others join
    federation.wait_complete(deadline=90)
    leaver = "hospital-c"
    stays = tuple(node for node in federation.files if node != leaver)
    home = federation.node_directory(leaver)
    federation.command("edge_node", "leave", "--consent", "--forget", "--dir", str(home))
    for statuses in federation.follow(deadline=60):
        held = {status.cohort for node, status in statuses.items() if node in stays}
        if held == {stays} and "has left" in statuses[leaver].reason:
            break
    assert_pooled(federation, stays)
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
    assert_pooled(federation, stays)
    for statuses in federation.follow(deadline=30, nodes=(evicted,)):
        if "moved" in statuses[evicted].reason:
            break


@pytest.mark.parametrize("position", ["root", "leaf"])
def test_a_node_lost_late_keeps_the_parts_that_are_fixed(
    make_federation: Make, position: str
) -> None:
    """Totals that were formed before the death stay as they were; later ones are the survivors'."""
    federation = make_federation(nodes=4, landmarks=24, depths=(1, 2, 3), most_told=1e6)
    federation.start()
    wait_for_sums(federation)
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
        model_of(federation, node).posterior.to_arrays()["mean"].tobytes() for node in survivors
    }
    assert len(answers) == 1


def test_a_run_outlives_the_aggregator(make_federation: Make, sites: list[Site]) -> None:
    """It finishes, predictions go on, and the restarted aggregator knows its nodes."""
    federation = make_federation(nodes=3, landmarks=150)
    federation.start()
    for statuses in federation.follow(deadline=60):
        if all(status.phase == "running" for status in statuses.values()) and len(statuses) == 3:
            break
    federation.kill("aggregator")
    statuses = federation.wait_complete(deadline=90)
    rows = table_rows(sites[0].test, federation.spec.data)
    assert len(client.predict(federation.node_directory("hospital-a"), rows)) == len(rows)
    federation.start_aggregator()
    for statuses in federation.follow(deadline=30):
        if all(status.discovery_reachable for status in statuses.values()) and len(statuses) == 3:
            break
    home = str(federation.directory / "aggregator")
    known = json.loads(federation.command("aggregator", "status", "--json", "--dir", home))
    assert [node["node"] for node in known["nodes"]] == sorted(federation.files)
    assert {status.run for status in statuses.values()} == {known["plan"]["run"]} == {1}
    assert all(status.phase == "complete" for status in statuses.values())
