"""How much rows tell in their life: stories of a site, run after run, with one ledger."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_node.config import Column, DataSpec, Differencing, FederationSpec, SitePolicy, Task
from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.contribution import Telling
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.lifetime import basis_of
from edge_node.step import Content, Step

MOST = 100  # numbers that rows may tell in their life
SPEC = FederationSpec(
    name="wards", data=DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="x"),))
)


@dataclass
class Site:
    """Site a. Others have told as much as it has, unless ``others_told`` says otherwise."""

    directory: Path
    version: str = ""
    basis: bytes = b"spec"
    others_told: dict[str, int] = field(default_factory=dict)
    others: str = ""  # the version of their rows

    def __post_init__(self) -> None:
        self.restart()

    def restart(self, version: str = "", basis: bytes = b"spec") -> None:
        """Another process, perhaps with other rows or another spec."""
        self.version, self.basis = version, basis
        self.ledger = Ledger.open(
            self.directory / "ledger", self.directory / "ledger.key", new=True
        )
        own = version.encode().ljust(32)
        policy = SitePolicy(differencing=Differencing.CONSENT)  # test_guard has what it may refuse
        self.guard = SiteGuard("a", policy, self.ledger, own, rows=100, basis=basis)

    def cohort(self, nodes: str, run: int, epoch: int = 0) -> Cohort:
        """The nodes, with what they claim."""
        own = self.guard.claim(run, nodes)
        claims = {
            node: Claim(
                self.others.encode().ljust(32), True, 6, self.others_told.get(node, own.told)
            )
            for node in nodes
        }
        return Cohort(run, epoch or 10 * run, "a", claims | {"a": own})

    def tell(self, cohort: Cohort, steps: dict[str, int], *, most: int = MOST) -> None:
        """Steps with so many numbers; the words depend on the step, and on the site's rows."""
        self.guard.check(cohort, ())
        for sequence, (name, numbers) in enumerate(steps.items()):
            words = f"{name}/{self.version}".encode()
            self.guard.admit(cohort, sequence, Step(name), Telling(numbers, most, words))

    @property
    def told(self) -> int:
        """In its life, after a restart, too."""
        self.restart(self.version, self.basis)
        return self.ledger.life.told()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new one."""
    return Site(tmp_path)


def test_all_numbers_count(site: Site) -> None:
    """Over all runs; up to the last one that is allowed, and no further."""
    site.tell(site.cohort("abcd", 1), {"means": 10, "spread": 30})
    site.restart(basis=b"another spec")
    second = site.cohort("abcd", 2)
    assert second.claims["a"].told == 40
    site.tell(second, {"others": 60})
    assert site.told == MOST
    with pytest.raises(CohortRefusedError, match=r"at most 0 more, after 100, found 1.*most_told"):
        site.tell(site.cohort("abcd", 3), {"one more": 1})
    assert site.told == MOST


def test_a_refused_sum_leaves_no_trace(site: Site) -> None:
    """Nothing was sent, so nothing was told: less may still be."""
    with pytest.raises(CohortRefusedError, match="at most 100 more, after 0, found 101"):
        site.tell(site.cohort("abcd", 1), {"all": MOST + 1})
    assert site.told == 0
    site.tell(site.cohort("abcd", 1), {"less": MOST})


def test_the_same_again_is_free(site: Site) -> None:
    """The same nodes, rows, spec and words: planned from the same, as often as one likes."""
    for run in range(1, 4):
        cohort = site.cohort("abcd", run)
        assert cohort.claims["a"].told == 0
        site.tell(cohort, {"means": 40, "spread": 60})
        assert site.told == MOST


def test_a_run_that_broke_off_is_continued_by_the_next(site: Site) -> None:
    """What it has told is told; the rest is not yet."""
    site.tell(site.cohort("abcd", 1), {"means": 40})
    site.tell(site.cohort("abcd", 2), {"means": 40, "spread": 60})
    assert site.told == MOST


CHANGES = {
    "rows": ("abcd", "changed", b"spec", {}),
    "spec": ("abcd", "", b"another", {}),
    "nodes": ("abc", "", b"spec", {}),
    "another's rows": ("abcd", "", b"spec", {"b": 40}),  # so it claims to have told all it has
}


@pytest.mark.parametrize(("nodes", "version", "basis", "told"), CHANGES.values(), ids=CHANGES)
def test_whatever_changes_nothing_is_forgotten(
    site: Site, nodes: str, version: str, basis: bytes, told: dict[str, int]
) -> None:
    """A file with a row more holds the old ones, too."""
    site.tell(site.cohort("abcd", 1), {"means": 40})
    site.restart(version, basis)
    site.others_told = told
    site.ledger.consent("d")
    cohort = site.cohort(nodes, 2)
    assert max(claim.told for claim in cohort.claims.values()) == 40
    site.guard.check(cohort, ())
    site.guard.admit(cohort, 0, Step("means"), Telling(60, MOST, b"new words"))
    assert site.told == MOST


def test_other_words_are_new(site: Site) -> None:
    """A root that chooses something else in a second run gets no second helping: the run is
    refused, and the next is planned from all that was told.
    """
    site.tell(site.cohort("abcd", 1), {"means": 40, "spread": 60})
    again = site.cohort("abcd", 2)
    site.tell(again, {"means": 40})
    with pytest.raises(CohortRefusedError, match="at most 0 more"):
        site.guard.admit(again, 1, Step("spread"), Telling(60, MOST, b"of other landmarks"))
    assert site.guard.claim(3, "abcd").told == MOST


def test_counts_tell_no_numbers(site: Site) -> None:
    """They are bounded by floors."""
    site.tell(site.cohort("abcd", 1), {"counts": 0, "means": 40})
    assert site.told == 40


def test_a_lost_node_costs_a_sweep(site: Site) -> None:
    """What was told before is told by its rows, too; what is told now is told by fewer rows."""
    site.tell(site.cohort("abcde", 1), {"means": 50})
    site.guard.settle(1, 11, 1, "abcd")
    left = site.cohort("abcd", 1, 11)
    step = Step("spread")
    with pytest.raises(CohortRefusedError, match="at most 50 more"):  # of all five
        site.guard.admit(left, 1, step, Telling(51, 75, b"words"))
    site.guard.admit(left, 1, step, Telling(50, 75, b"words"))
    with pytest.raises(CohortRefusedError, match="at most 0 more"):
        site.guard.admit(left, 2, Step("more"), Telling(1, 75, b"words"))


def test_the_rest_of_a_run_is_told_by_fewer_rows(site: Site) -> None:
    """Among themselves those who are left tell no more than their own rows may."""
    site.tell(site.cohort("abcde", 1), {"means": 10})
    site.guard.settle(1, 11, 1, "abcd")
    left = site.cohort("abcd", 1, 11)
    with pytest.raises(CohortRefusedError, match="at most 75 more"):
        site.guard.admit(left, 1, Step("spread"), Telling(76, 75, b"words"))
    site.guard.admit(left, 1, Step("spread"), Telling(75, 75, b"words"))


def test_another_run_without_the_lost_node(site: Site) -> None:
    """All that was told counts against the rows of those who are there: it may be much."""
    site.tell(site.cohort("abcde", 1), {"means": 50}, most=100)
    site.ledger.consent("e")
    with pytest.raises(CohortRefusedError, match="at most 25 more, after 50, found 26"):
        site.tell(site.cohort("abcd", 2), {"spread": 26}, most=75)
    site.tell(site.cohort("abcd", 3), {"spread": 25}, most=75)


def test_a_total_that_nobody_knows_costs_nothing(site: Site) -> None:
    """The root is left, and never had it."""
    site.tell(site.cohort("abcde", 1), {"means": 60})
    site.guard.settle(1, 11, 0, "abcd")
    assert site.told == 0
    site.tell(site.cohort("abcd", 1, 11), {"means": 60})
    assert site.told == 60


def test_nobody_else_is_there(site: Site) -> None:
    """Without a limit any number is told: one process, or noise that protects."""
    cohort = site.cohort("abcd", 1)
    site.guard.admit(cohort, 0, Step("all"), Telling(10**9, None, b"words"))
    assert site.told == 10**9


def cells(words: bytes, *, silent: bool = False) -> Telling:
    """Sums over the rows of cells."""
    return Telling(1, None, words, silent)


CELLS = Step("kmeans/0/sums", Content.PARTITION)


def begin(site: Site, run: int) -> Cohort:
    """A run whose rows have been counted."""
    cohort = site.cohort("abcd", run)
    site.tell(cohort, {"counts": 0})
    return cohort


def test_one_partition_a_row(site: Site) -> None:
    """In the run itself, and again the same; but no other, unless nothing of the rows is in it."""
    first = begin(site, 1)
    assert not site.guard.partitioned(1)
    site.guard.admit(first, 1, CELLS, cells(b"words"))
    site.guard.admit(first, 2, Step("kmeans/1/sums", Content.PARTITION), cells(b"more"))
    again = begin(site, 2)
    assert not site.guard.partitioned(2), "it is the same run again"
    site.guard.admit(again, 1, CELLS, cells(b"words"))
    site.restart(basis=b"another spec")
    other = begin(site, 3)
    assert site.guard.partitioned(3)
    with pytest.raises(CohortRefusedError, match="in the cells of another run"):
        site.guard.admit(other, 1, CELLS, cells(b"other words"))
    site.guard.admit(other, 1, CELLS, cells(b"zeros", silent=True))


@pytest.mark.parametrize("changes", [False, True])
def test_others_rows_have_changed(site: Site, changes: bool) -> None:
    """So it is no repetition: cells lie elsewhere. The first is the control."""
    site.guard.admit(begin(site, 1), 1, CELLS, cells(b"words"))
    if changes:
        site.others = "changed"
    begin(site, 2)
    assert site.guard.partitioned(2) == changes


def test_a_restart_in_the_middle_of_a_run(site: Site) -> None:
    """What a run repeats is known from the ledger alone."""
    site.guard.admit(begin(site, 1), 1, CELLS, cells(b"words"))
    begin(site, 2)
    site.restart()
    assert not site.guard.partitioned(2)
    site.restart(basis=b"another spec")
    begin(site, 3)
    site.restart(basis=b"another spec")
    assert site.guard.partitioned(3)


def test_a_site_without_cells_may_have_some_later(site: Site) -> None:
    """It was there, and gave nothing."""
    site.guard.admit(begin(site, 1), 1, CELLS, cells(b"zeros", silent=True))
    site.restart(basis=b"another spec")
    second = begin(site, 2)
    assert not site.guard.partitioned(2)
    site.guard.admit(second, 1, CELLS, cells(b"words"))


def test_what_looks_the_same_and_is_not(site: Site) -> None:
    """Cells that differ in a run that seemed to repeat: the next run gives nothing to cells."""
    site.guard.admit(begin(site, 1), 1, CELLS, cells(b"words"))
    again = begin(site, 2)
    with pytest.raises(CohortRefusedError, match="in the cells of another run"):
        site.guard.admit(again, 1, CELLS, cells(b"other words"))
    begin(site, 3)
    assert site.guard.partitioned(3)


def test_what_a_run_depends_on() -> None:
    """Another spec is another basis, and so are other floors; not whom a site sums with."""
    policy = SitePolicy()
    assert basis_of(SPEC, policy) == basis_of(SPEC, SitePolicy(min_cohort=4))
    assert basis_of(SPEC, policy) != basis_of(SPEC, SitePolicy(min_rows_per_landmark=9))
    another = FederationSpec(name="others", data=SPEC.data)
    assert basis_of(SPEC, policy) != basis_of(another, policy)
