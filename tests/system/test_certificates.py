"""Certificates in a federation of real processes: they end, are denied, and change authority."""

import json

import pytest

from edge_node.config import Differencing, SitePolicy, TimingSpec
from edge_node.config.paths import NodePaths
from edge_node.errors import MachineError
from edge_node.security.pki.keyring import Keyring
from tests.support.federation import Federation, assert_pooled
from tests.system.conftest import Make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TIMING = TimingSpec(heartbeat=0.3, liveness=20.0, settle=0.5, step=60.0)


def operator(federation: Federation, *words: str) -> dict[str, object]:
    """A command of the aggregator's operator."""
    home = str(federation.directory / "aggregator")
    found: dict[str, object] = json.loads(
        federation.command("aggregator", *words, "--dir", home, "--json")
    )
    return found


def logged(federation: Federation, text: str) -> list[str]:
    """Lines of all logs that hold a text."""
    logs = federation.directory.glob("*.log")
    return [line for log in logs for line in log.read_text().splitlines() if text in line]


def test_a_run_outlives_its_certificates(make_federation: Make) -> None:
    """Certificates of half a minute: run and posterior are those of ever, nobody is refused, and
    long after the first certificates have ended the run is still the first one.
    """
    federation = make_federation(TIMING, nodes=3, landmarks=150)
    federation.create()
    settings = federation.directory / "aggregator" / "aggregator.toml"
    text = settings.read_text()
    settings.write_text(text.replace("certificate_days = 90.0", f"certificate_days = {30 / 86400}"))
    federation.start_aggregator()
    for node in federation.files:
        federation.enrol(node)
        federation.start_node(node)
    first = {}
    for statuses in federation.follow(deadline=120):
        for node, status in statuses.items():
            first.setdefault(node, status.certificate_expires)
        ends = [status.certificate_expires for status in statuses.values()]
        if len(ends) == len(first) == 3 and min(ends) > max(first.values()):
            break
    statuses = federation.wait_complete(deadline=120)
    assert {status.run for status in statuses.values()} == {1}
    assert_pooled(federation, federation.files)
    assert logged(federation, "is gone") == []
    assert logged(federation, "refuses this node") == []
    assert len(logged(federation, "the renewed certificate is in force")) >= 3


def test_a_new_authority_takes_over(make_federation: Make) -> None:
    """All nodes renew by themselves and trust it alone in the end; no run begins for it."""
    federation = make_federation(TIMING, nodes=3)
    federation.start()
    federation.wait_complete(deadline=90)
    changed = operator(federation, "ca", "rotate")
    waited: list[str] = []
    for _ in federation.follow(deadline=60):
        try:
            left = operator(federation, "ca", "retire")
            break
        except MachineError as error:
            waited.append(str(error))
    assert left["authority"] == changed["new"] != changed["old"]
    assert "hospital-" in waited[0]
    for _ in federation.follow(deadline=30):
        homes = map(federation.node_directory, federation.files)
        rings = [Keyring.open(NodePaths(home).identity) for home in homes]
        if all(ring.current.ca_pem.count(b"BEGIN") == 1 for ring in rings):
            break
    federation.kill("aggregator")
    federation.start_aggregator()
    for statuses in federation.follow(deadline=30):
        if len(statuses) == 3 and all(s.discovery_reachable for s in statuses.values()):
            break
    assert {status.run for status in statuses.values()} == {1}
    assert operator(federation, "status")["problems"] == []


def test_a_denied_node(make_federation: Make) -> None:
    """Denied in mid-run: the others complete the run and keep the list; the node says why."""
    policies = {"hospital-c": SitePolicy(differencing=Differencing.CONSENT)}
    federation = make_federation(TIMING, nodes=4, landmarks=150, policies=policies)
    federation.start()
    for statuses in federation.follow(deadline=60):
        if any(status.step for status in statuses.values()):
            break
    operator(federation, "deny", "hospital-c", "--reason", "laptop stolen")
    survivors = tuple(node for node in federation.files if node != "hospital-c")
    federation.wait_complete(deadline=90, nodes=survivors)
    for statuses in federation.follow(deadline=30):
        if "laptop stolen" in statuses["hospital-c"].reason:
            break
    denied = [NodePaths(federation.node_directory(node)).denylist for node in survivors]
    (entry,) = operator(federation, "denied")["denied"]
    assert {path.read_text().strip() for path in denied} == {entry["fingerprint"]}
