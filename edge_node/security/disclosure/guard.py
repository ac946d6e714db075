"""The guard of one site: nothing leaves it that its policy forbids, or that tells too much.

It is asked twice: once an epoch's cohort is known, about all steps in the ledger, so that no run
begins that can't end; and before each sum, about its step, which is then written down. Too much is
a total from which another may be subtracted (`differencing`), more numbers than rows may tell in
their life (`lifetime`), or a second partition of rows. docs/design.md, section 4, says what counts
as released.
"""

import logging
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Self

from edge_node.config import FederationSpec, NodeConfig, SitePolicy
from edge_node.config.paths import NodePaths
from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.cohort import HIDDEN, Claim, Cohort
from edge_node.security.disclosure.contribution import NOTHING, Contribution, Fate, Telling
from edge_node.security.disclosure.departure import Departure
from edge_node.security.disclosure.differencing import Row, isolated
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.lifetime import basis_of, check_life
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
        rows: how many distinct ones there are.
        basis: names what its sums depend on, beside rows.
    """

    def __init__(
        self,
        node: str,
        policy: SitePolicy,
        ledger: Ledger,
        version: bytes,
        *,
        rows: int = 1,
        basis: bytes = b"",
    ) -> None:
        self._node = node
        self._policy = policy
        self._ledger = ledger
        self._lock = Lock()
        self._version = version
        self._size = max(rows, 1).bit_length() - 1
        self._basis = basis
        self._may_repeat = True  # until it turns out that a run's sums are not those of before

    @classmethod
    def open(
        cls, paths: NodePaths, config: NodeConfig, spec: FederationSpec, file: Path, rows: int
    ) -> Self:
        """The guard of a node's directory, whose ledger is read, or begun.

        Args:
            paths: of the directory.
            config: the node's.
            spec: the federation's.
            file: the site's data.
            rows: how many distinct rows there are in it.

        Raises:
            RefusedError, IdentityError: the ledger is not whole, or its secret is open to others.
            MachineError: a file can't be read or written.
        """
        never = not any(paths.state.glob("run-*"))
        ledger = Ledger.open(paths.ledger, paths.ledger_key, new=never)
        policy, version = config.policy, HIDDEN if spec.privacy else ledger.version(file)
        return cls(config.name, policy, ledger, version, rows=rows, basis=basis_of(spec, policy))

    def claim(self, run: int, cohort: Collection[str]) -> Claim:
        """What this site says of its rows in a run, before it knows what others say.

        A run that repeats the one before it is planned as that one was: from what had been told
        before both. Under differential privacy nothing is said of rows.

        Args:
            run: its number.
            cohort: the names of its nodes.
        """
        if self._version == HIDDEN:
            return Claim(HIDDEN, self._policy.consents)
        own, basis = (self._node, self._version), self._basis if self._may_repeat else None
        with self._lock:
            told = self._ledger.life.told_before(run, frozenset(cohort), own, basis)
        return Claim(self._version, self._policy.consents, self._size, told)

    @property
    def told(self) -> int:
        """How many numbers were told over this site's rows in their life."""
        with self._lock:
            return self._ledger.life.told()

    def partitioned(self, run: int) -> bool:
        """Whether rows of this site were in cells or shares of an earlier run, which a run doesn't
        repeat. Then they may be in no others. Known once this site has contributed to the run.
        """
        with self._lock:
            life = self._ledger.life
            repeated = self._may_repeat and life.repeats(run)
        return any(life.partitions(run)) and not repeated

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

    def admit(self, cohort: Cohort, sequence: int, step: Step, telling: Telling = NOTHING) -> None:
        """Check one step, and write the contribution down: on return its words may leave.

        Noisy sums are compared, too: noise that hides a row doesn't hide a whole site's sums.

        Raises:
            CohortRefusedError: the policy forbids it, the step's total would isolate a site, or it
                would tell more than rows may tell.
            MachineError: the ledger can't be written.
        """
        check_cohort(self._policy, self._node, cohort.claims)
        compared = step.compared
        if self._version == HIDDEN and not (step.is_noisy or telling.silent):
            raise CohortRefusedError(
                "a sum without noise, in a run with differential privacy",
                where=f"{self._node}, step {step} of run {cohort.run}",
                remedy="Nothing was sent. Report this: the program has no such step",
            )
        with self._lock:
            known = self._known(compared, cohort)
            if found := self._isolated(known, cohort):
                raise self._refusal(found, compared, known, cohort)
            self._check_life(Contribution.to(cohort, sequence, compared, telling))
            self._ledger.contribute(cohort, sequence, compared, telling, self._basis)

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
        own = self.claim(cohort.run, cohort.claims)
        if cohort.claims[self._node] != own or not begun <= {self._version}:
            raise CohortRefusedError(
                "this site's rows or policy have changed since the run began here",
                where=f"{self._node}, epoch {cohort.epoch} of run {cohort.run}",
                remedy="The next run takes the new ones, if no other site minds; or put the old"
                " data file back, and start the node again",
            )

    def _check_life(self, new: Contribution) -> None:
        """Check that rows don't tell too much in their life. Raises CohortRefusedError."""
        try:
            check_life(self._ledger.life, new, node=self._node)
        except CohortRefusedError:
            self._may_repeat = False
            raise

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
