"""What a site's rows have told in their life, from its ledger: pure functions.

Every number of every total counts that others may know, whatever the run, cohort or spec. The
versions of rows name files, and a file that has changed still holds most of its rows. So a change
takes nothing off. Counted once is what is told twice: the same step of the same cohort with the
same versions of all rows, to which this site has given the same words.

When a run loses a node, it may go on, though fewer rows may tell less. For what it has told before
is told by the lost node's rows, too. So two limits hold. Among those who are left, no more is told
than their own rows may tell. And all that was ever told is no more than the rows of those may tell
with whom the run began.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from edge_node import __version__
from edge_node.config import FederationSpec, SitePolicy
from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.contribution import Beginning, Contribution, Fate
from edge_node.step import Content

__all__ = ["Life", "basis_of", "check_life"]


@dataclass(frozen=True)
class Life:
    """What one site has contributed so far.

    Attributes:
        contributions: all of them.
        runs: what each run began with.
    """

    contributions: tuple[Contribution, ...]
    runs: Mapping[int, Beginning]

    def told(self, among: frozenset[str] | None = None) -> int:
        """How many numbers were told by the rows of these nodes alone; None: by any."""
        return sum(
            each.telling.numbers
            for each in self._totals.values()
            if among is None or each.nodes <= among
        )

    def left(self, new: Contribution) -> int | None:
        """How many numbers the rows of a contribution's cohort may still tell; None: any number."""
        if new.telling.most is None:
            return None
        most = max(each.telling.most or 0 for each in (new, *self._in_run(new.run)))
        return min(new.telling.most - self.told(new.nodes), most - self.told())

    def adds(self, new: Contribution) -> int:
        """How many numbers a contribution tells that have not been told."""
        return 0 if _total(new) in self._totals else new.telling.numbers

    def told_before(
        self, run: int, nodes: frozenset[str], own: tuple[str, bytes], basis: bytes | None
    ) -> int:
        """How many numbers had been told over this site's rows when a run begins.

        A run that may repeat the one before it begins where that one began.

        Args:
            run: its number; it may have begun.
            nodes: its cohort.
            own: the site's name, and the version of its rows.
            basis: of the run; None: it repeats none.
        """
        if run in self.runs:
            return self.runs[run].told[own[0]]
        before = self._newest(run)
        if before is None or self.runs[before].basis != basis:
            return self.told()
        added = list(self._in_run(before))
        same = bool(added) and all(own in each.row and each.nodes == nodes for each in added)
        return self.runs[before].told[own[0]] if same else self.told()

    def repeats(self, run: int) -> bool:
        """Whether a run repeats the one before it: the same nodes, rows, program and plan.

        It then tells what the other one has told, and no more. Known once this site has contributed
        to it.
        """
        before = self._newest(run)
        if before is None or self.runs.get(run) != self.runs[before]:
            return False
        return len({each.row for number in (before, run) for each in self._in_run(number)}) == 1

    def partitions(self, run: int) -> Iterator[Contribution]:
        """Sums over cells or shares to which rows were given in other runs than ``run``."""
        return (
            each
            for each in self._known()
            if each.step.content is Content.PARTITION
            and not each.telling.silent
            and each.run != run
        )

    def repartitions(self, new: Contribution) -> bool:
        """Whether a contribution puts rows into cells or shares that were in others before."""
        if new.step.content is not Content.PARTITION or new.telling.silent:
            return False
        earlier = [(each.step, each.telling.words) for each in self.partitions(new.run)]
        return bool(earlier) and (new.step, new.telling.words) not in earlier

    @cached_property
    def _totals(self) -> Mapping[tuple[object, ...], Contribution]:
        """One contribution to each total that may be known."""
        return {_total(each): each for each in self._known()}

    def _newest(self, before: int) -> int | None:
        """The newest run of a smaller number."""
        return max((run for run in self.runs if run < before), default=None)

    def _in_run(self, run: int) -> Iterator[Contribution]:
        return (each for each in self._known() if each.run == run)

    def _known(self) -> Iterator[Contribution]:
        """Contributions whose totals may be known to anybody."""
        return (each for each in self.contributions if each.fate is not Fate.VOID)


def basis_of(spec: FederationSpec, policy: SitePolicy) -> bytes:
    """Names what a site's sums depend on, beside rows: the spec, its floors and this program."""
    floors = policy.min_rows_per_category, policy.min_rows_per_landmark
    facts = f"{spec.digest().hex()} {floors} {__version__}"
    return hashlib.sha256(facts.encode()).digest()


def check_life(life: Life, new: Contribution, *, node: str) -> None:
    """Check a site's next contribution against what its rows have told before.

    Args:
        life: of the site's rows.
        new: the contribution.
        node: the site's name.

    Raises:
        CohortRefusedError: it would tell more numbers than the rows may tell, or put rows that were
            in a partition into another one.
    """
    where, left, adds = f"{node}, step {new.step} of run {new.run}", life.left(new), life.adds(new)
    if left is not None and adds > max(left, 0):
        raise CohortRefusedError(
            "this site's rows would tell more numbers in their life than rows may",
            where=where,
            expected=f"at most {max(left, 0)} more, after {life.told()}",
            found=str(adds),
            remedy="The last model goes on answering. Wait for more rows or sites, ask for less, or"
            " raise `most_told`, with which members may solve for rows",
        )
    if life.repartitions(new):
        raise CohortRefusedError(
            "this site's rows were in the cells of another run: differences of cells are rows",
            where=where,
            expected="the sums of that run, or none",
            found="other sums",
            remedy="The next run gives nothing of them to cells",
        )


def _total(each: Contribution) -> tuple[object, ...]:
    """What a total is known by; where words are unknown it is one of its own."""
    unknown = None if each.telling.words else (each.run, each.epoch)
    return each.step, each.row, each.telling.words, unknown
