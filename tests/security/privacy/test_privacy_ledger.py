"""The ledger of spent privacy: what is taken out of it, or changed, is found; crashes are not."""

import hashlib
import json
import math
from itertools import count
from pathlib import Path

import dp_accounting
import pytest
from dp_accounting.rdp import RdpAccountant

from edge_node.config import Level, PrivacyPolicy, PrivacySpec
from edge_node.errors import CohortRefusedError, RefusedError
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_cost import noise_multiplier
from edge_node.security.privacy.privacy_ledger import PrivacyLedger, Release, read_ledger, spent

DELTA = 1e-6


class Site:
    """A ledger in a directory, and its head in another."""

    def __init__(self, root: Path, demand: PrivacyPolicy | None = None) -> None:
        (root / "state").mkdir(exist_ok=True)
        (root / "identity").mkdir(exist_ok=True)
        self.path, self.head = root / "state" / "privacy.ledger", root / "identity" / "privacy.head"
        self.ledger = PrivacyLedger(
            self.path, self.head, level=Level.RECORD, delta=DELTA, demand=demand
        )
        self.plans = count()

    def charge(self, multiplier: float = 5.0, level: Level = Level.RECORD) -> float | None:
        """One release more; the epsilon so far."""
        return self.ledger.charge(noise_of(multiplier, level), self.release()).epsilon

    def release(self, cohort: int = 5) -> Release:
        """Of a plan that was not there before."""
        return Release(1, 2, next(self.plans).to_bytes(32, "big"), "s", cohort)


def noise_of(
    multiplier: float, level: Level = Level.RECORD, tolerated: int = 1
) -> DiscreteGaussian:
    """Some noise."""
    return DiscreteGaussian(level, multiplier, sensitivity=2.0**29, size=10, tolerated=tolerated)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One that has taken part in three releases."""
    made = Site(tmp_path)
    for multiplier in (5.0, 10.0, 3.0):
        made.charge(multiplier)
    return made


def test_the_spend_is_what_an_independent_accountant_says(site: Site) -> None:
    """From what the lines hold: sensitivity and sigma of each."""
    entries = read_ledger(site.path, site.head)
    accountant = RdpAccountant([1 + x / 50 for x in range(1, 5000)])
    for entry in entries:
        accountant.compose(dp_accounting.GaussianDpEvent(entry.sigma / entry.sensitivity))
    theirs = accountant.get_epsilon(DELTA)
    assert entries[-1].epsilon == pytest.approx(theirs, rel=1e-4)
    assert spent([(e.level, e.rho) for e in entries], Level.RECORD, DELTA) == entries[-1].epsilon


def test_lines_hold_what_was_released(site: Site) -> None:
    """And what it cost; only the owner may read them."""
    lines = [json.loads(line.partition(" ")[2]) for line in site.path.read_text().splitlines()]
    assert [line["rho"] for line in lines] == pytest.approx([0.02, 0.005, 1 / 18])
    assert {(line["run"], line["epoch"], line["step"], line["cohort"]) for line in lines} == {
        (1, 2, "s", 5)
    }
    assert site.path.stat().st_mode & 0o777 == site.head.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"cohort":5', b'"cohort":6'), (b'"epoch":2', b'"epoch": 2'), (b'"rho"', b'"')],
)
def test_a_changed_line_is_found(site: Site, line: int, old: bytes, new: bytes) -> None:
    """Whichever it is, and whatever was changed: nothing more is released."""
    lines = site.path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(old, new)
    site.path.write_bytes(b"".join(lines))
    with pytest.raises(RefusedError, match=r"ledger was changed.*backup"):
        site.charge()


@pytest.mark.parametrize("left", [(0, 2), (1, 2), (0, 1), (2, 1, 0), (0, 1, 2, 2), ()])
def test_lines_that_are_missing_or_moved_are_found(site: Site, left: tuple[int, ...]) -> None:
    """The last ones by the head."""
    lines = site.path.read_bytes().splitlines(keepends=True)
    site.path.write_bytes(b"".join(lines[i] for i in left))
    with pytest.raises(RefusedError, match="ledger was changed"):
        site.charge()


@pytest.mark.parametrize("file", ["path", "head"])
def test_a_missing_file_is_found(site: Site, file: str) -> None:
    """Either of the two."""
    getattr(site, file).unlink()
    with pytest.raises(RefusedError, match=r"it is missing.*nobody knows what was spent"):
        site.charge()


def test_a_ledger_of_an_earlier_version_is_not_overlooked(tmp_path: Path) -> None:
    """Its head, of another form, says that something was spent."""
    site = Site(tmp_path)
    site.head.write_text('{"lines":3,"digest":"00"}')
    with pytest.raises(RefusedError, match="it is missing"):
        site.charge()


def test_a_line_that_is_no_release_is_refused(site: Site) -> None:
    """Though its chain is right."""
    last = site.path.read_bytes().splitlines()[-1][:64]
    for text in (b"{}", b"\xff", b"[]"):
        chain = hashlib.sha256(last + b" " + text).hexdigest().encode()
        whole = site.path.read_bytes()
        site.path.write_bytes(whole + chain + b" " + text + b"\n")
        with pytest.raises(RefusedError, match=r"line 4: .*it is not a release"):
            site.charge()
        site.path.write_bytes(whole)
    assert site.charge() is not None  # the control


def test_a_crash_before_the_head_is_written_counts(site: Site) -> None:
    """The line is on disk: perhaps something was sent. Half a line costs nothing."""
    head, whole = site.head.read_bytes(), site.path.read_bytes()
    expected = site.charge(7.0)
    site.head.write_bytes(head)
    assert len(read_ledger(site.path, site.head)) == 4
    site.path.write_bytes(site.path.read_bytes()[:-1])
    assert len(read_ledger(site.path, site.head)) == 3
    assert site.charge(7.0) == expected
    assert site.path.read_bytes()[: len(whole)] == whole


def test_the_budget_is_not_exceeded(tmp_path: Path) -> None:
    """What doesn't fit is refused, and leaves no line; something smaller may still fit."""
    site = Site(tmp_path, PrivacyPolicy(level=Level.RECORD, epsilon=1.5, delta=DELTA))
    first = site.charge(4.6)
    assert first is not None
    assert 0.9 < first < 1.0
    with pytest.raises(
        RefusedError, match=r"budget would be exceeded \(expected epsilon up to 1.5"
    ):
        site.charge(2.0)
    assert len(read_ledger(site.path, site.head)) == 1
    assert site.charge(20.0) is not None


def test_a_release_that_hides_rows_does_not_hide_a_site(tmp_path: Path) -> None:
    """Once there was one, no budget for the site is left; the other way round there is."""
    site = Site(tmp_path, PrivacyPolicy(level=Level.SITE, epsilon=10.0, delta=DELTA))
    assert site.charge(5.0, Level.SITE) is not None
    with pytest.raises(RefusedError, match="found inf"):
        site.charge(5.0, Level.RECORD)
    assert spent([(Level.SITE, 0.02)], Level.RECORD, DELTA) < 1.1
    assert spent([(Level.RECORD, 0.02)], Level.SITE, DELTA) == math.inf


def test_what_can_not_be_afforded_is_refused_before_the_run(tmp_path: Path) -> None:
    """A run that was paid for may go on after a restart, though another could not begin."""
    site = Site(tmp_path, PrivacyPolicy(level=Level.RECORD, epsilon=1.2, delta=DELTA))
    promise = PrivacySpec(level=Level.RECORD, epsilon=1.0, delta=DELTA)
    site.ledger.check(promise, run=1, cohort=5)
    site.charge(noise_multiplier(1.0, DELTA))
    site.ledger.check(promise, run=1, cohort=5)
    with pytest.raises(RefusedError, match=r"found 1\.45"):
        site.ledger.check(promise, run=2, cohort=5)
    assert len(read_ledger(site.path, site.head)) == 1


def test_a_release_is_paid_for_once(site: Site) -> None:
    """What is sent again after a restart is the same release; under another plan it is another."""
    release = site.release()
    first = site.ledger.charge(noise_of(5.0), release)
    assert site.ledger.find(release) == site.ledger.charge(noise_of(5.0), release) == first
    assert len(read_ledger(site.path, site.head)) == 4
    assert site.ledger.find(site.release()) is None
    assert site.charge(5.0) > first.epsilon


def test_a_site_that_trusts_few_takes_part_in_few_cohorts(tmp_path: Path) -> None:
    """The noise of the members that it counts on must be what was promised. In a larger cohort,
    with as many curious members, each share is smaller: the same release is refused there.
    """
    demand = PrivacyPolicy(level=Level.RECORD, epsilon=9.0, delta=DELTA, least_honest=3)
    site, noise = Site(tmp_path, demand), noise_of(5.0, tolerated=2)
    promise = PrivacySpec(level=Level.RECORD, epsilon=1.0, delta=DELTA, curious_members=2)
    assert site.ledger.charge(noise, site.release(cohort=5)).honest == 3
    site.ledger.check(promise, run=2, cohort=5)
    with pytest.raises(CohortRefusedError, match=r"3 honest members.*4 of 6.*curious_members"):
        site.ledger.charge(noise, site.release(cohort=6))
    with pytest.raises(CohortRefusedError, match=r"3 honest members.*4 of 6"):
        site.ledger.check(promise, run=2, cohort=6)
    assert len(read_ledger(site.path, site.head)) == 1
    site.ledger.charge(noise_of(5.0, tolerated=3), site.release(cohort=6))


@pytest.mark.parametrize("before", [True, False])
def test_what_was_spent_with_the_first_version_is_not_overlooked(
    tmp_path: Path, before: bool
) -> None:
    """Its lines were in another file, which isn't read; its head is where the head is now."""
    site = Site(tmp_path)
    if before:
        site.path.with_suffix(".jsonl").write_text("{}\n")
        site.head.write_text(json.dumps({"lines": 1, "digest": "00" * 32}))
        with pytest.raises(RefusedError, match="it is missing"):
            site.charge()
    else:
        site.charge()
