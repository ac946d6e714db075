"""Who can say that a node consents to be left out: itself, and nobody else."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge_node.config import SitePolicy
from edge_node.errors import CohortRefusedError, IdentityError
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.departure import Departure
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import Identity
from edge_node.step import Step
from tests.support.identities import issue


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The federation's authority."""
    return Authority.create(tmp_path_factory.mktemp("ca"), "wards")


@pytest.fixture
def leaver(authority: Authority) -> Identity:
    """Node d."""
    return issue(authority, "d")


def test_a_departure_is_believed(authority: Authority, leaver: Identity) -> None:
    """With the node's own signature and the authority's certificate."""
    Departure.of(leaver, 7).check(authority.certificate_pem, "wards")


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 8}, {"node": "e"}, {"signature": b""}, {"signature": b"x" * 70}],
)
def test_a_forged_departure(
    authority: Authority, leaver: Identity, changes: dict[str, object]
) -> None:
    """Another epoch or node than was signed, or no signature at all."""
    forged = replace(Departure.of(leaver, 7), **changes)
    with pytest.raises(IdentityError):
        forged.check(authority.certificate_pem, "wards")


def test_a_departure_of_a_stranger(authority: Authority, leaver: Identity, tmp_path: Path) -> None:
    """Somebody else's certificate, another authority's, or another federation's."""
    foreign = Authority.create(tmp_path / "ca", "wards")
    theirs = Departure.of(issue(authority, "b"), 7)
    for forged in (replace(theirs, node="d"), Departure.of(issue(foreign, "d"), 7)):
        with pytest.raises(IdentityError):
            forged.check(authority.certificate_pem, "wards")
    with pytest.raises(IdentityError):
        Departure.of(leaver, 7).check(authority.certificate_pem, "others")


def test_what_a_departure_allows(leaver: Identity, tmp_path: Path) -> None:
    """Totals without the node; but not those after it has come back and contributed again."""
    ledger = Ledger.open(tmp_path / "ledger", tmp_path / "key", new=True)
    guard = SiteGuard("a", SitePolicy(), ledger, bytes(32))

    def total(nodes: str, run: int) -> None:
        claims = {node: Claim(bytes([run > 2 and node == "d"]) * 32) for node in nodes}
        guard.admit(Cohort(run, run, "a", claims), 0, Step("s"))

    total("abcd", 1)
    with pytest.raises(CohortRefusedError, match="by d alone"):
        total("abc", 2)
    assert guard.take(Departure.of(leaver, 1), leaver)
    total("abc", 2)
    with pytest.raises(CohortRefusedError, match="by d alone"):
        total("abcd", 3)  # it is back with other rows, and hasn't consented to tell them
    ledger.contribute(Cohort(4, 4, "a", {n: Claim(bytes(32)) for n in "abcd"}), 0, Step("t"))
    assert not guard.take(Departure.of(leaver, 1), leaver), "an old one, replayed"
    with pytest.raises(CohortRefusedError, match="by d alone"):
        guard.admit(Cohort(5, 5, "a", {n: Claim(bytes(32)) for n in "abc"}), 0, Step("t"))


@pytest.mark.parametrize("forged", [False, True])
def test_a_guard_takes_no_forged_departure(leaver: Identity, tmp_path: Path, forged: bool) -> None:
    """The aggregator hands departures on, and may make some up."""
    ledger = Ledger.open(tmp_path / "ledger", tmp_path / "key", new=True)
    guard = SiteGuard("a", SitePolicy(), ledger, bytes(32))
    departure = Departure.of(leaver, 1)
    if forged:
        with pytest.raises(IdentityError):
            guard.take(replace(departure, epoch=2), leaver)
    else:
        assert guard.take(departure, leaver)
    assert ledger.consents == ({} if forged else {"d": True})


def test_a_departure_is_logged_once(
    leaver: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The aggregator tells of it again after every restart; it stays known, and is no news."""
    caplog.set_level(logging.INFO)
    for new in (True, False, False):
        ledger = Ledger.open(tmp_path / "ledger", tmp_path / "key", new=new)
        guard = SiteGuard("a", SitePolicy(), ledger, bytes(32))
        assert guard.take(Departure.of(leaver, 1), leaver) == new
        assert ledger.consents["d"]
    assert [record.getMessage() for record in caplog.records] == ["d left and consents"]
