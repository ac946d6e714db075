"""What the doctor says of a node's directory, and at which time of its life."""

import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from edge_node.config import (
    Differencing,
    Level,
    PrivacySpec,
    SitePolicy,
    Task,
    load_node_config,
    load_spec,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import open_source
from edge_node.errors import ConfigurationError
from edge_node.network.exchange.records import RecordStore
from edge_node.node.doctor import Finding, examine
from edge_node.node.setup import create_node
from edge_node.program.simulation import simulate
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.contribution import Telling
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.policy import check_disclosure
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.private_keys import generate_key
from edge_node.security.pki.signing_requests import signing_request
from edge_node.step import Step
from tangentmesh.v1.discovery_pb2 import Plan

SPEC = """
name = "wards"
[data]
task = "classification"
target = "y"
classes = ["no", "yes"]
columns = [{ name = "x" }]
"""


def node(directory: Path, policy: SitePolicy) -> NodePaths:
    """A node that has not enrolled, but has the spec."""
    (directory / "rows.csv").write_text("x,y\n1,no\n2,yes\n")
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
        policy=policy,
    )
    paths.spec.write_text(SPEC)
    return paths


def finding(paths: NodePaths, check: str) -> Finding:
    """What it finds there."""
    return next(found for found in examine(paths) if found.check == check)


def test_a_policy_is_shown(tmp_path: Path) -> None:
    """As `edge-node init` wrote it and the node reads it."""
    policy = SitePolicy(min_cohort=4, peers=("b", "c", "d"), differencing=Differencing.CONSENT)
    paths = node(tmp_path, policy)
    assert load_node_config(paths.config).policy == policy
    assert finding(paths, "policy").text == (
        "sums over at least 4 nodes, with b, c, d only; differencing: consent;"
        " at most 0.5 numbers told per cell of others' rows (`edge-node preview` lists them)"
    )
    paths.spec.write_text(f"most_told = 2.0\n{SPEC}")
    assert finding(paths, "policy").text.count("RAISED: members may solve for rows")


def test_a_policy_that_excludes_the_federation(tmp_path: Path) -> None:
    """Exit code 7: this node would take part in nothing."""
    found = finding(node(tmp_path, SitePolicy(tasks=(Task.REGRESSION,))), "policy")
    assert (found.mark, found.exit_code) == ("WRONG", 7)
    assert "expected regression, found classification" in found.text


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (SitePolicy(most_told=0.4), "at most 0.4 numbers per cell of data"),
        (SitePolicy(coalition=2), "`coalition` of at least 2"),
    ],
)
def test_a_policy_that_allows_less_than_the_spec(
    tmp_path: Path, policy: SitePolicy, expected: str
) -> None:
    """The plan is the spec's, so this node waits for a spec that asks less; with one, all is well,
    and with noise there is nothing to ask.
    """
    paths = node(tmp_path, policy)
    found = finding(paths, "policy")
    assert found.exit_code == 7
    assert expected in found.text
    paths.spec.write_text(f"most_told = 0.4\ncoalition = 2\n{SPEC}")
    assert finding(paths, "policy").error is None
    check_disclosure(policy, msgspec.structs.replace(load_spec(paths.spec), privacy=PRIVACY))


PRIVACY = PrivacySpec(level=Level.RECORD, epsilon=1.0, delta=1e-6)


def test_the_ledger(tmp_path: Path) -> None:
    """None yet, whole, damaged, gone."""
    paths = node(tmp_path, SitePolicy())
    assert finding(paths, "ledger").text.startswith("none yet")
    for directory in (paths.state, paths.identity):
        directory.mkdir(exist_ok=True)
    ledger = Ledger.open(paths.ledger, paths.ledger_key, new=True)
    cohort = Cohort(1, 1, "a", {name: Claim(bytes(32)) for name in "abc"})
    for sequence, step in enumerate("st"):
        ledger.contribute(cohort, sequence, Step(step), Telling(410))
    assert finding(paths, "ledger").text == (
        "whole: 2 contributions to 2 steps, 820 numbers told over this site's rows"
    )
    paths.ledger.write_bytes(paths.ledger.read_bytes().replace(b'"t"', b'"u"'))
    assert finding(paths, "ledger").exit_code == 7
    paths.ledger.unlink()
    found = finding(paths, "ledger")
    assert found.exit_code == 7
    assert "it is missing" in found.text


@pytest.mark.parametrize("policy", [SitePolicy(min_cohort=2), SitePolicy(peers=("B",))])
def test_a_policy_that_makes_no_sense_is_not_written(tmp_path: Path, policy: SitePolicy) -> None:
    """`edge-node init` says what is wrong with it."""
    with pytest.raises(ConfigurationError):
        node(tmp_path, policy)
    assert not (tmp_path / "node" / "node.toml").exists()


@pytest.mark.parametrize(("share", "right"), [(0.1, True), (0.7, True), (0.8, False)])
def test_a_certificate_that_should_have_been_renewed(
    tmp_path: Path, share: float, right: bool
) -> None:
    """In the last quarter of its life; with the date, and what says why."""
    paths = node(tmp_path, SitePolicy())
    life = timedelta(days=1)
    authority = Authority.create(tmp_path / "ca", "wards")
    key = generate_key()
    pem = authority.issue(
        signing_request(key, "a"), node="a", lifetime=life, now=datetime.now(UTC) - share * life
    )
    identity = Identity("a", "wards", key, pem, authority.certificate_pem)
    Keyring.begin(paths.identity, identity)
    found = finding(paths, "membership")
    assert (found.error is None) == right
    assert f"{identity.expires:%Y-%m-%d %H:%M}" in found.text
    assert right or "edge-node renew" in found.text


def before_enrolment(directory: Path) -> NodePaths:
    """A node that has its node file and nothing else."""
    paths = node(directory, SitePolicy())
    paths.spec.unlink()
    return paths


def test_no_node(tmp_path: Path) -> None:
    """There is one thing to say: make one."""
    (found,) = examine(NodePaths(tmp_path))
    assert found.exit_code == 3
    assert "edge-node init" in found.text


def test_before_enrolment(tmp_path: Path) -> None:
    """The only thing that is wrong is that; what needs the spec isn't asked."""
    wrong = [found for found in examine(before_enrolment(tmp_path)) if found.error]
    assert [(found.check, found.exit_code) for found in wrong] == [("membership", 5)]
    assert "edge-node enrol TOKEN" in wrong[0].text


def test_a_member_is_asked_everything(tmp_path: Path) -> None:
    """So that the list before enrolment is the shorter one."""
    fewer = {found.check for found in examine(before_enrolment(tmp_path))}
    paths = NodePaths(tmp_path / "node")
    paths.spec.write_text(SPEC)
    asked = {found.check for found in examine(paths)}
    assert fewer < asked
    assert {"data file", "posterior", "plan and records", "aggregator and clock"} <= asked - fewer


@pytest.fixture
def _small_files() -> Iterator[None]:
    """No file may grow beyond a megabyte, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_room_for_the_state(tmp_path: Path) -> None:
    """It is tried, and nothing is left behind."""
    paths = node(tmp_path, SitePolicy())
    assert "can be written" in finding(paths, "state directory").text
    assert list(paths.state.iterdir()) == []


@pytest.mark.usefixtures("_small_files")
def test_no_room_for_the_state(tmp_path: Path) -> None:
    """Where an empty file can be written, the files of a run may not fit."""
    paths = node(tmp_path, SitePolicy())
    assert finding(paths, "state directory").exit_code == 9
    assert list(paths.state.iterdir()) == []
    (paths.state / "small").write_bytes(bytes(1000))


def test_damaged_records(tmp_path: Path) -> None:
    """Plan and steps are named by their files."""
    paths = node(tmp_path, SitePolicy())
    store = RecordStore(paths.state)
    store.save_plan(Plan())
    assert finding(paths, "plan and records").text == "whole"
    plan = paths.state / "plan.pb"
    plan.write_bytes(plan.read_bytes() + b"x")
    (paths.state / "run-7").mkdir()
    (paths.state / "run-7" / "step-00000000.pb").write_bytes(b"")
    found = finding(paths, "plan and records")
    assert found.exit_code == 9
    assert "plan.pb, run-7/step-00000000.pb" in found.text


def test_a_damaged_posterior(tmp_path: Path) -> None:
    """None yet, whole, of another spec, damaged."""
    paths = node(tmp_path, SitePolicy())
    assert finding(paths, "posterior").text == "none yet"
    rows = "x,y\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(40))
    (tmp_path / "more.csv").write_text(rows)
    spec = load_spec(paths.spec)
    source = open_source(tmp_path / "more.csv", spec.data)
    paths.state.mkdir(exist_ok=True)
    simulate(spec, {"alone": source})["alone"].save(paths.model)
    whole = finding(paths, "posterior").text
    assert whole.startswith("of run 0, 1 nodes, ")
    paths.spec.write_text(SPEC.replace("wards", "others"))
    assert finding(paths, "posterior").text.startswith(f"{whole}; of another federation spec")
    paths.model.write_bytes(paths.model.read_bytes()[:-100])
    found = finding(paths, "posterior")
    assert found.exit_code == 4
    assert "damaged" in found.text
