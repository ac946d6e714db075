"""What `aggregator status --check` finds, and how it ends."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aggregator.cli import cli
from aggregator.directory.layout import Directory
from aggregator.registry.registry import Denial, EnrolledNode, Heartbeat, Registry
from aggregator.status import describe
from edge_node import console
from edge_node.config import load_spec
from edge_node.federation.plan import Member, Plan
from edge_node.federation.report import Phase, Report
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.certificates import der_of
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from tests.aggregator.created import SPEC, create

NOW = 1_800_000_000.0
WELL = Report(address="a:1", session=bytes(16), epoch=1, run=1, phase=Phase.COMPLETE)


@pytest.fixture
def directory(tmp_path: Path, spec: Path) -> Directory:
    """A federation in which a, b and c have enrolled, were heard just now and are complete.

    Its spec has the usual timing: a node is missing after 15 s of silence (`liveness`), a run is
    stalled once a node has waited 600 s (`step`).
    """
    made = Directory(tmp_path / "aggregator")
    create(made.path, spec)
    with Registry.open(made.registry) as registry:
        for node in "abc":
            enrol(made, registry, node)
            registry.record([Heartbeat(node, WELL, NOW)])
        members = (
            Member("a", "a:1", b"a" * 32, ""),
            Member("b", "b:1", b"b" * 32, "a"),
            Member("c", "c:1", b"c" * 32, "a"),
        )
        spec_hash = load_spec(made.spec).digest()
        registry.save_plan(Plan(1, 1, spec_hash, "a", members, (("a", "b"), ("a", "c"))))
    return made


def enrol(directory: Directory, registry: Registry, node: str) -> None:
    """Token and enrolment, with a certificate of a hundred days from now on."""
    csr, now = signing_request(generate_key(), node), datetime.fromtimestamp(NOW, UTC)
    authority = Authority.load(directory.authority)
    pem = authority.issue(csr, node=node, lifetime=timedelta(days=100), now=now)
    certificate = EnrolledNode(node, der_of(pem), node.encode() * 32, NOW)
    registry.add_token(node.encode(), node, expires_at=NOW)
    registry.enrol(node.encode(), node, now=NOW, issue=lambda: certificate)


def hear(directory: Directory, node: str, **changes: Any) -> None:
    """A heartbeat reaches the registry."""
    with Registry.open(directory.registry) as registry:
        registry.record([Heartbeat(node, replace(WELL, **changes), NOW)])


def test_all_is_well(directory: Directory) -> None:
    """While a run goes on, too, and with a heartbeat that is not on disk yet."""
    assert describe(directory, now=NOW)["problems"] == []
    hear(directory, "b", phase=Phase.RUNNING, waiting_for=("a",), waiting=599.0)
    assert describe(directory, now=NOW + 19)["problems"] == []


def test_a_missing_node(directory: Directory) -> None:
    """Silent for longer than `liveness`, or never seen."""
    with Registry.open(directory.registry) as registry:
        registry.record([Heartbeat("b", WELL, NOW - 40)])
        enrol(directory, registry, "d")
    assert describe(directory, now=NOW)["problems"] == [
        "b is missing: last seen 40 s ago",
        "d is missing: it was never seen",
    ]


def test_a_late_renewal(directory: Directory) -> None:
    """In the last quarter of a certificate's life somebody should look why."""
    later = NOW + timedelta(days=74).total_seconds()
    with Registry.open(directory.registry) as registry:
        registry.record([Heartbeat(node, WELL, later + 2 * 86400) for node in "abc"])
    assert describe(directory, now=later)["problems"] == []
    problems = describe(directory, now=later + 2 * 86400)["problems"]
    ends = datetime.fromtimestamp(NOW, UTC) + timedelta(days=100)
    text = f"has not renewed its certificate, which ends at {ends:%Y-%m-%d %H:%M} UTC"
    assert problems == [f"{node} {text}" for node in "abc"]


def test_a_denied_node(directory: Directory) -> None:
    """Is shown as such; nobody needs to look for it."""
    with Registry.open(directory.registry) as registry:
        registry.deny([Denial(b"b" * 32, "b", "stolen", NOW)])
        registry.record([Heartbeat("b", WELL, NOW - 4000)])
    facts = describe(directory, now=NOW)
    assert [node["denied"] for node in facts["nodes"]] == [False, True, False]
    assert facts["problems"] == []


def test_a_stalled_run(directory: Directory) -> None:
    """Who waits for whom, and for how long."""
    hear(directory, "b", phase=Phase.RUNNING, waiting_for=("a",), waiting=600.0)
    problems = describe(directory, now=NOW)["problems"]
    assert problems == ["b is stalled: it has waited 600 s for a"]


def test_a_refusal(directory: Directory) -> None:
    """With its reason."""
    hear(directory, "b", phase=Phase.REFUSED, reason="no rows")
    assert describe(directory, now=NOW)["problems"] == ["b refuses: no rows"]


def test_a_member_that_left(directory: Directory) -> None:
    """Until another run has begun."""
    with Registry.open(directory.registry) as registry:
        registry.remove("c", reason="moved", now=NOW)
    assert describe(directory, now=NOW)["problems"] == [
        "c left: the posterior still has that part, until a new run"
    ]


def test_no_run(directory: Directory) -> None:
    """The plan in the registry is for another spec: nothing runs."""
    directory.spec.write_text(SPEC.replace('"y"', '"z"'))
    assert describe(directory, now=NOW)["problems"] == ["no run has begun; it needs 3 nodes"]


@pytest.mark.parametrize("as_json", [False, True])
def test_exit_codes(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, capsys: Any, as_json: bool
) -> None:
    """0, or 6 and the reasons on standard error; without --check always 0."""
    arguments = ["status", "--dir", str(directory.path)] + ["--json"] * as_json

    def ends_with(*more: str) -> int:
        with pytest.raises(SystemExit) as caught:
            console.main(cli, [*arguments, *more])
        return int(caught.value.code or 0)

    monkeypatch.setattr("time.time", lambda: NOW)
    assert ends_with("--check") == 0
    hear(directory, "b", phase=Phase.REFUSED, reason="no rows")
    assert ends_with() == 0
    capsys.readouterr()
    assert ends_with("--check") == 6
    out, err = capsys.readouterr()
    assert "b refuses: no rows" in err
    if as_json:
        assert json.loads(out)["problems"] == ["b refuses: no rows"]
        assert json.loads(err)["exit_code"] == 6
