"""What a site's guard lets pass: stories of a federation whose cohorts change."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_node.config import Differencing, SitePolicy
from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.cohort import HIDDEN, Claim, Cohort
from edge_node.security.disclosure.contribution import Telling
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.step import Content, Step

STEPS = ("survey", "spread", "statistics")


@dataclass
class Site:
    """Site a; ``say`` changes what others say, ``restart`` reads the ledger again."""

    directory: Path
    policy: SitePolicy = field(default_factory=SitePolicy)
    versions: dict[str, str] = field(default_factory=dict)
    consents: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process."""
        ledger = Ledger.open(self.directory / "ledger", self.directory / "ledger.key", new=True)
        self.ledger, self.guard = ledger, SiteGuard("a", self.policy, ledger, self.version("a"))

    def version(self, node: str) -> bytes:
        """Of the node's rows."""
        return self.versions.get(node, "").encode().ljust(32)

    def change(self, nodes: str, version: str = "changed") -> None:
        """Nodes have other rows, and were started again with them."""
        self.versions |= dict.fromkeys(nodes, version)
        self.restart()

    def cohort(self, nodes: str, *, run: int, epoch: int, root: str = "a") -> Cohort:
        """The nodes, with what they say."""
        claims = {node: Claim(self.version(node), node in self.consents) for node in nodes}
        return Cohort(run, epoch, root, claims)

    def total(
        self, nodes: str, run: int, *, root: str = "a", steps: tuple[str, ...] = STEPS
    ) -> None:
        """A run, or the rest of one, without any loss."""
        cohort = self.cohort(nodes, run=run, epoch=10 * run, root=root)
        self.guard.check(cohort, [step for step in STEPS if step not in steps])
        for step in steps:
            self.guard.admit(cohort, STEPS.index(step), Step(step))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new one."""
    return Site(tmp_path)


def test_the_same_cohort_again(site: Site) -> None:
    """It says nothing new, after a restart, too."""
    site.total("abcd", 1)
    site.restart()
    site.total("abcd", 2)


@pytest.mark.parametrize(
    ("before", "after", "who"),
    [
        ("abcd", "abc", "d alone"),  # left
        ("abc", "abcd", "d alone"),  # came late
        ("abcde", "abcdf", "e and f only"),  # one for another
        ("abcde", "abc", "d and e only"),
    ],
)
def test_too_few_differ(site: Site, before: str, after: str, who: str) -> None:
    """Before the first sum, and after a restart as well, whoever the others are."""
    site.total(before, 1)
    site.restart()
    with pytest.raises(CohortRefusedError, match=f"of run 1 would differ by {who}"):
        site.guard.check(site.cohort(after, run=2, epoch=20), ())
    with pytest.raises(CohortRefusedError, match=who):
        site.guard.admit(site.cohort(after, run=2, epoch=20), 0, Step("survey"))
    site.total(before, 3)


def test_enough_differ(site: Site) -> None:
    """Three that join, leave, or change their rows together hide each other."""
    site.total("abc", 1)
    site.total("abcdef", 2)
    site.change("abc")
    site.total("abcdef", 3)
    site.change("d")
    with pytest.raises(CohortRefusedError, match="by d alone"):
        site.total("abcdef", 4)


def test_changed_rows_of_one_node(site: Site) -> None:
    """The change of its rows would be told; and going back to the old ones tells nothing."""
    site.total("abcd", 1)
    site.change("b")
    with pytest.raises(CohortRefusedError, match="by b alone"):
        site.total("abcd", 2)
    site.change("b", "")
    site.total("abcd", 3)


def test_several_totals(site: Site) -> None:
    """No two of them isolate anybody, but all four together do."""
    site.total("abc", 1)
    site.total("abcdef", 2)
    site.total("abcghi", 3)
    with pytest.raises(CohortRefusedError, match="by s alone"):
        site.total("abcdefghis", 4)
    site.total("abcdefghi", 5)


def test_consent(site: Site) -> None:
    """Of all who are isolated, and now: what was said before doesn't count."""
    site.consents = {"d"}
    site.total("abcde", 1)
    site.total("abce", 2)
    with pytest.raises(CohortRefusedError, match="by e alone"):
        site.total("abc", 3)
    site.consents = {"d", "e"}
    site.total("abcde", 4)
    site.total("abc", 5)
    site.consents = set()
    with pytest.raises(CohortRefusedError, match="d"):
        site.total("abcef", 6)


def test_consent_of_a_node_that_left(site: Site) -> None:
    """It is noted when it leaves."""
    site.total("abcd", 1)
    with pytest.raises(CohortRefusedError):
        site.total("abc", 2)
    site.ledger.consent("d")
    site.restart()
    site.total("abc", 3)


def test_a_larger_cohort_is_demanded(tmp_path: Path) -> None:
    """Then as many must differ."""
    site = Site(tmp_path, SitePolicy(min_cohort=4))
    site.total("abcdefg", 1)
    with pytest.raises(CohortRefusedError, match="at least 4 nodes"):
        site.total("abcd", 2)
    with pytest.raises(CohortRefusedError, match="expected a cohort of at least 4"):
        site.total("abc", 3)


def test_peers(tmp_path: Path) -> None:
    """Nobody else, in any sum."""
    site = Site(tmp_path, SitePolicy(peers=("b", "c", "d")))
    site.total("abcd", 1)
    with pytest.raises(CohortRefusedError, match="found x"):
        site.guard.admit(site.cohort("abcx", run=2, epoch=20), 0, Step("new"))


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    """Version and consent."""
    assert Site(tmp_path).guard.claim(1, "abc") == Claim(b"".ljust(32), False)
    consenting = SitePolicy(differencing=Differencing.CONSENT)
    assert Site(tmp_path, consenting).guard.claim(1, "abc").consents


def test_rows_that_noise_hides_are_in_noisy_sums_only(tmp_path: Path) -> None:
    """A site that doesn't say whether its rows have changed gives no exact sum. Of noisy ones the
    guard compares cohorts, as of any: noise for a row doesn't hide the sums of a site.
    """
    ledger = Ledger.open(tmp_path / "ledger", tmp_path / "ledger.key", new=True)
    guard = SiteGuard("a", SitePolicy(), ledger, HIDDEN)
    first, second = (
        Cohort(run, 10 * run, "a", {node: Claim(HIDDEN) for node in nodes})
        for run, nodes in ((1, "abcd"), (2, "abc"))
    )
    noisy = Step("release", Content.NOISY)
    guard.admit(first, 0, Step("basis", Content.COUNTS), Telling(silent=True))  # no numbers at all
    guard.admit(first, 1, noisy)
    with pytest.raises(CohortRefusedError, match="a sum without noise"):
        guard.admit(first, 2, Step("statistics"))
    with pytest.raises(CohortRefusedError, match="would differ by d alone"):
        guard.admit(second, 1, noisy)


def crash(site: Site, lost: str, root: str) -> None:
    """In a first run of abcde, after the survey, nodes are lost while the next step is summed."""
    site.total("abcde", 1, root=root, steps=("survey",))
    site.guard.admit(site.cohort("abcde", run=1, epoch=10, root=root), 1, Step("spread"))
    left = "".join(node for node in "abcde" if node not in lost)
    site.guard.settle(1, 11, 1, left)
    after = site.cohort(left, run=1, epoch=11, root="a" if root in lost else root)
    site.guard.check(after, ["survey"])
    site.guard.admit(after, 1, Step("spread"))
    site.guard.admit(after, 2, Step("statistics"))


@pytest.mark.parametrize(("lost", "root"), [("e", "a"), ("e", "b"), ("e", "e"), ("de", "a")])
def test_a_crash_costs_a_sweep(site: Site, lost: str, root: str) -> None:
    """The root is left, and hasn't the total; or the root is lost, and alone may have it."""
    crash(site, lost, root)


def test_the_root_and_another_are_lost(site: Site) -> None:
    """The root may have told the other one before; then it knows of the rest, and of that one."""
    with pytest.raises(CohortRefusedError, match="by d and e only"):
        crash(site, "de", "e")


def test_the_root_and_two_others_are_lost(tmp_path: Path) -> None:
    """Three hide each other."""
    site = Site(tmp_path)
    cohort = site.cohort("abcdef", run=1, epoch=10, root="f")
    site.guard.admit(cohort, 0, Step("spread"))
    site.guard.settle(1, 11, 0, "abc")
    site.guard.admit(site.cohort("abc", run=1, epoch=11), 0, Step("spread"))


def test_a_completed_step_is_not_void(site: Site) -> None:
    """Nodes that are lost may have what the others have, too."""
    site.total("abcde", 1, steps=("survey",))
    site.guard.settle(1, 11, 1, "abcd")
    with pytest.raises(CohortRefusedError, match="step survey of run 2"):
        site.total("abcd", 2)


def test_a_lost_node_returns(site: Site) -> None:
    """Totals without it are there: it has to wait, or to consent."""
    crash(site, "e", "a")
    site.restart()
    with pytest.raises(CohortRefusedError, match=r"of run 1 would differ by e alone"):
        site.total("abcde", 2)
    site.consents = {"e"}
    site.total("abcde", 3)


def test_a_run_that_lost_a_node_can_not_repeat_old_steps(site: Site) -> None:
    """A second run of the same cohort: its totals exist, so it needs all of them."""
    site.total("abcde", 1)
    cohort = site.cohort("abcde", run=2, epoch=20)
    site.guard.admit(cohort, 0, Step("survey"))
    site.guard.settle(2, 21, 1, "abcd")
    with pytest.raises(CohortRefusedError, match="by e alone"):
        site.guard.check(site.cohort("abcd", run=2, epoch=21), ["survey"])
    site.guard.settle(2, 22, 1, "abcde")
    site.guard.check(site.cohort("abcde", run=2, epoch=22), ["survey"])


def test_rows_that_change_during_a_run(site: Site) -> None:
    """A restart can't mix old and new rows in one run; the next may take the new ones."""
    site.total("abcd", 1, steps=("survey",))
    site.change("a")
    with pytest.raises(CohortRefusedError, match="have changed since the run began here"):
        site.guard.check(site.cohort("abcd", run=1, epoch=11), ["survey"])
    site.change("bc")
    site.total("abcd", 2)


def test_what_was_announced_is_not_what_is_contributed(site: Site) -> None:
    """Everybody has heard of other rows in this epoch, before a restart."""
    with pytest.raises(CohortRefusedError, match="have changed since the run began here"):
        site.guard.check(Cohort(1, 1, "a", {n: Claim(b"old".ljust(32)) for n in "abc"}), ())


def test_a_repeated_step_is_what_it_repeats(site: Site) -> None:
    """In its run, and in the next one; but who is left may be counted."""
    site.total("abcde", 1, steps=("survey", "spread"))
    counted = [Step("counts", Content.COUNTS), Step("kmeans/0/counts", Content.COUNTS)]
    for sequence, step in enumerate(counted, start=2):
        site.guard.admit(site.cohort("abcde", run=1, epoch=10), sequence, step)
    site.guard.settle(1, 11, 4, "abcd")
    after = site.cohort("abcd", run=1, epoch=11)
    for sequence, step in enumerate(counted, start=4):
        with pytest.raises(CohortRefusedError, match="differ by e alone"):
            site.guard.admit(after, sequence, step)
        site.guard.admit(after, sequence, step.again)
    with pytest.raises(CohortRefusedError, match="differ by e alone"):
        site.guard.admit(after, 6, Step("spread").again)
    site.guard.admit(after, 6, Step("statistics").again)
    with pytest.raises(CohortRefusedError, match="differ by e alone"):
        site.guard.admit(site.cohort("abcde", run=2, epoch=20), 2, Step("statistics"))


def test_a_name_makes_no_count_of_a_step(site: Site) -> None:
    """Statistics that are called counts are guarded like all others."""
    step = Step("kmeans/0/counts")
    site.guard.admit(site.cohort("abcde", run=1, epoch=10), 0, step)
    with pytest.raises(CohortRefusedError, match="differ by e alone"):
        site.guard.admit(site.cohort("abcd", run=1, epoch=11), 1, step.again)


def test_a_run_may_begin_whose_repeated_step_is_complete(site: Site) -> None:
    """Of each attempt that records name, the first is among them."""
    site.total("abcde", 1)
    after = site.cohort("abcd", run=2, epoch=20)
    with pytest.raises(CohortRefusedError, match="differ by e alone"):
        site.guard.check(after, ["survey", "spread"])
    site.guard.check(after, ["survey", "spread", "statistics", "counts/again-1"])
