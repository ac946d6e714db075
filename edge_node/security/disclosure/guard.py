"""The guard of one site: nothing leaves it that its policy forbids, or that could be subtracted.

It is asked twice: once an epoch's cohort is known, about all steps in the ledger, so that no run
begins that can't end; and before each sum, about its step, which is then written down.
docs/design.md, section 4, says what counts as released.
"""

import logging
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Self

from edge_node.config import SitePolicy
from edge_node.config.paths import NodePaths
from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.cohort import HIDDEN, Claim, Cohort
from edge_node.security.disclosure.departure import Departure
from edge_node.security.disclosure.differencing import Row, isolated
from edge_node.security.disclosure.ledger import Contribution, Fate, Ledger
from edge_node.security.disclosure.policy import check_cohort
from edge_node.security.pki.identity import Identity
from edge_node.step import Step

__all__ = ["SiteGuard"]

_log = logging.getLogger(__name__)


class SiteGuard:
    """Implements `edge_node.network.epoch.guard.Guard`.

    Args:
        node: the site's name.
        policy: its own.
        ledger: of its contributions.
        version: of its rows, as ``Ledger.version`` names them; or `HIDDEN`, under differential
            privacy: then it contributes to noisy sums only.
    """

    def __init__(self, node: str, policy: SitePolicy, ledger: Ledger, version: bytes) -> None:
        self._node = node
        self._policy = policy
        self._ledger = ledger
        self._lock = Lock()
        self.claim = Claim(version, policy.consents)

    @classmethod
    def open(cls, node: str, policy: SitePolicy, paths: NodePaths, rows: Path | None) -> Self:
        """The guard of a node's directory, whose ledger is read, or begun.

        Args:
            node: its name.
            policy: its own.
            paths: of its directory.
            rows: its data file; None: noise hides what is in it.

        Raises:
            RefusedError, IdentityError: the ledger is not whole, or its secret is open to others.
            MachineError: a file can't be read or written.
        """
        never = not any(paths.state.glob("run-*"))
        ledger = Ledger.open(paths.ledger, paths.ledger_key, new=never)
        return cls(node, policy, ledger, HIDDEN if rows is None else ledger.version(rows))

    def check(self, cohort: Cohort, completed: Collection[str]) -> None:
        """Check a cohort before the first sum of its epoch.

        Args:
            cohort: with each node's claim.
            completed: names of the run's completed steps, as records have them (``str(step)``). A
                step that was taken several times is in it under its first name, too.

        Raises:
            CohortRefusedError: the policy forbids it, this site's rows are not those with which the
                run or the epoch began here, or some step's total would isolate a site.
        """
        check_cohort(self._policy, self._node, cohort.claims)
        self._check_rows(cohort)
        done = set(completed)
        verdicts: dict[frozenset[tuple[object, ...]], frozenset[str]] = {}
        with self._lock:
            for step in sorted(self._ledger.steps, key=str):
                if str(step) in done:
                    continue
                known = self._known(step, cohort)
                facts = frozenset((each.row, each.fate, each.root) for each in known)
                if facts not in verdicts:
                    verdicts[facts] = self._isolated(known, cohort)
                if found := verdicts[facts]:
                    raise self._refusal(found, step, known, cohort)

    def admit(self, cohort: Cohort, sequence: int, step: Step) -> None:
        """Check one step, and write the contribution down: on return its words may leave.

        Noisy sums are compared, too: noise that hides a row doesn't hide a whole site's sums.

        Raises:
            CohortRefusedError: the policy forbids it, or the step's total would isolate a site.
            MachineError: the ledger can't be written.
        """
        check_cohort(self._policy, self._node, cohort.claims)
        compared = step.compared
        if self.claim.version == HIDDEN and not step.is_noisy:
            raise CohortRefusedError(
                "a sum without noise, in a run with differential privacy",
                where=f"{self._node}, step {step} of run {cohort.run}",
                remedy="Nothing was sent. Report this: the program has no such step",
            )
        with self._lock:
            known = self._known(compared, cohort)
            if found := self._isolated(known, cohort):
                raise self._refusal(found, compared, known, cohort)
            self._ledger.contribute(cohort, sequence, compared)

    def settle(self, run: int, epoch: int, frontier: int, cohort: Collection[str]) -> None:
        """Note how many steps a new epoch's nodes have completed. Raises MachineError."""
        with self._lock:
            self._ledger.settle(run, epoch, frontier, cohort)

    def take(self, departure: Departure, identity: Identity) -> bool:
        """Note and log the consent of a node that has left.

        The aggregator repeats a departure whenever this node starts, so most are not news.

        Args:
            departure: as the aggregator has handed it on.
            identity: this node's; one of its authorities must have issued the other's certificate.

        Returns:
            Whether it was noted: it is news, and covers all that this node has summed with the
            other. A consent from before the other came back covers less.

        Raises:
            IdentityError: the node in whose name it came has not signed it; nothing is noted.
            MachineError: the ledger can't be written.
        """
        departure.check(identity.ca_pem, identity.federation)
        with self._lock:
            outdated = departure.epoch < self._ledger.newest_epoch(departure.node)
            if outdated or self._ledger.consents.get(departure.node):
                return False
            self._ledger.consent(departure.node)
        _log.info("%s left and consents", departure.node)
        return True

    def _check_rows(self, cohort: Cohort) -> None:
        """Check that a restart has not changed what this site contributes to the run."""
        begun = {
            version
            for each in self._ledger.contributions(cohort.run)
            for node, version in each.row
            if node == self._node
        }
        if cohort.claims[self._node] != self.claim or not begun <= {self.claim.version}:
            raise CohortRefusedError(
                "this site's rows or policy have changed since the run began here",
                where=f"{self._node}, epoch {cohort.epoch} of run {cohort.run}",
                remedy="The next run takes the new ones, if no other site minds; or put the old"
                " data file back, and start the node again",
            )

    def _known(self, step: Step, cohort: Cohort) -> list[Contribution]:
        """Contributions to the step whose total may be known, except this epoch's own.

        Raises CohortRefusedError if this epoch's was to another cohort: the plan was forgotten.
        """
        now = (cohort.run, cohort.epoch)
        for each in self._ledger.steps.get(step, ()):
            if (each.run, each.epoch) == now and each.row != cohort.row:
                raise CohortRefusedError(
                    "an epoch was planned again, with other members or other rows of theirs",
                    where=f"{self._node}, epoch {cohort.epoch} of run {cohort.run}",
                    expected=", ".join(sorted(node for node, _ in each.row)),
                    found=", ".join(sorted(cohort.claims)),
                    remedy="Wait for the aggregator's next plan",
                )
        return [
            each
            for each in self._ledger.steps.get(step, ())
            if each.fate is not Fate.VOID and (each.run, each.epoch) != now
        ]

    def _isolated(self, known: Iterable[Contribution], cohort: Cohort) -> frozenset[str]:
        """The nodes that a total over the cohort would isolate, given what is already known.

        That is judged for what everybody may know, and again for each root that alone may know an
        earlier total. A root that would isolate itself learns nothing.
        """
        consents = {**self._ledger.consents, **{n: c.consents for n, c in cohort.claims.items()}}
        willing = frozenset(node for node, consent in consents.items() if consent)
        known = list(known)
        released = [each.row for each in known if each.fate is Fate.RELEASED]
        by_root: dict[frozenset[str], list[Row]] = {frozenset(): []}
        for each in known:
            if each.fate is Fate.ROOT:
                by_root.setdefault(frozenset([each.root]), []).append(each.row)
        for root, rows in by_root.items():
            harmless = partial(_harmless, willing, root)
            fewest = self._policy.min_cohort
            if found := isolated([*released, *rows], cohort.row, fewest=fewest, harmless=harmless):
                return found
        return frozenset()

    def _refusal(
        self,
        nodes: frozenset[str],
        step: Step,
        known: Iterable[Contribution],
        cohort: Cohort,
    ) -> CohortRefusedError:
        runs = ", ".join(str(run) for run in sorted({each.run for each in known})[-3:])
        few = self._policy.min_cohort
        alone = " and ".join(sorted(nodes)) + (" alone" if len(nodes) == 1 else " only")
        return CohortRefusedError(
            f"totals of this cohort and of run {runs} would differ by {alone}: subtracting them"
            " would reveal those sums",
            where=f"{self._node}, step {step} of run {cohort.run}",
            expected=f"at least {few} nodes that join, leave or change their rows together",
            remedy="Wait for more nodes, or for the consent of those that are named",
        )


def _harmless(willing: frozenset[str], root: frozenset[str], nodes: frozenset[str]) -> bool:
    return nodes <= willing or nodes == root
