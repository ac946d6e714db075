"""Certificates in a federation of real processes: they end, are denied, and change authority."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_node.config import TimingSpec
from edge_node.config.paths import NodePaths
from edge_node.demo.data.sites import Site
from edge_node.demo.federation import LocalFederation
from edge_node.errors import MachineError
from edge_node.security.pki.keyring import Keyring
from tests.system.test_federation import assert_pooled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Make = Callable[..., LocalFederation]
TIMING = TimingSpec(heartbeat=0.3, liveness=20.0, settle=0.5, step=60.0)


def operator(federation: LocalFederation, *words: str) -> dict[str, object]:
    """A command of the aggregator's operator."""
    home = str(federation.directory / "aggregator")
    found: dict[str, object] = json.loads(
        federation.command("aggregator", *words, "--dir", home, "--json")
    )
    return found


def logged(federation: LocalFederation, text: str) -> list[str]:
    """Lines of all logs that hold a text."""
    logs = federation.directory.glob("*.log")
    return [line for log in logs for line in log.read_text().splitlines() if text in line]


def test_a_run_outlives_its_certificates(
    make_federation: Make, sites: list[Site], tmp_path: Path
) -> None:
    """Certificates of half a minute: run and posterior are those of ever, nobody is refused, and
    long after the first certificates have ended the run is still the first one.
    """
    federation = make_federation(TIMING, landmarks=150)
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
        if len(ends) == len(first) == 5 and min(ends) > max(first.values()):
            break
    statuses = federation.wait_complete(deadline=120)
    assert {status.run for status in statuses.values()} == {1}
    assert_pooled(federation, sites, list(federation.files), tmp_path)
    assert logged(federation, "is gone") == []
    assert logged(federation, "refuses this node") == []
    assert len(logged(federation, "the renewed certificate is in force")) >= 5


def test_a_new_authority_takes_over(make_federation: Make, sites: list[Site]) -> None:
    """All nodes renew by themselves and trust it alone in the end; no run begins for it."""
    federation = make_federation(TIMING)
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
        rings = [
            Keyring.open(NodePaths(federation.node_directory(site.name)).identity) for site in sites
        ]
        if all(ring.current.ca_pem.count(b"BEGIN") == 1 for ring in rings):
            break
    federation.kill("aggregator")
    federation.start_aggregator()
    for statuses in federation.follow(deadline=30):
        if len(statuses) == 5 and all(s.discovery_reachable for s in statuses.values()):
            break
    assert {status.run for status in statuses.values()} == {1}
    assert operator(federation, "status")["problems"] == []


def test_a_denied_node(make_federation: Make, sites: list[Site], tmp_path: Path) -> None:
    """In the middle of a run the others go on without it; it says why; allowed, it comes back."""
    federation = make_federation(TIMING, landmarks=150)
    federation.start()
    for statuses in federation.follow(deadline=60):
        if any(status.step for status in statuses.values()):
            break
    operator(federation, "deny", "hospital-c", "--reason", "laptop stolen")
    survivors = [site.name for site in sites if site.name != "hospital-c"]
    federation.wait_complete(deadline=90, nodes=tuple(survivors))
    for statuses in federation.follow(deadline=30):
        if "laptop stolen" in statuses["hospital-c"].reason:
            break
    denied = [NodePaths(federation.node_directory(node)).denylist for node in survivors]
    (entry,) = operator(federation, "denied")["denied"]
    assert {path.read_text().strip() for path in denied} == {entry["fingerprint"]}
