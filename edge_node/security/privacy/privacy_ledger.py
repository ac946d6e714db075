"""What privacy this site has spent: a ledger from which no line can be removed unnoticed.

    state/privacy.ledger     a chained log (`security.chained_log`) with one line of JSON for each
                             sum with noise that the site took part in
    identity/privacy.head    its head

A line is on disk before anything is sent. A crash in between costs budget that nobody used, never
the other way round. A release is written down once: it is known by its plan, which no other epoch
of any federation has, and by its step. What is sent again after a restart is the same release.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge_node.config import Level, PrivacyPolicy, PrivacySpec
from edge_node.errors import CohortRefusedError, RefusedError
from edge_node.security.chained_log import ChainedLog, Content
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_cost import epsilon_of, noise_multiplier, rho_of

__all__ = ["Entry", "PrivacyLedger", "Release", "read_ledger", "spent"]

_NAME = "tangentmesh/v1/privacy-ledger"
_PROBLEM = "the privacy ledger was changed, or a part of it is missing"
_REMEDY = "Put both files back from a backup; without them nobody knows what was spent"


@dataclass(frozen=True)
class Release:
    """A sum with noise in one epoch.

    Attributes:
        run: the run of the federation's program.
        epoch: its epoch.
        plan: the hash of the epoch's plan, 32 bytes; the masks depend on it.
        step: the sum's name.
        cohort: how many nodes take part.
    """

    run: int
    epoch: int
    plan: bytes
    step: str
    cohort: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        time: when, ISO 8601 in UTC.
        run: the run of the federation's program.
        epoch: its epoch: a sum that is repeated after a node was lost is another release.
        plan: the hash of the epoch's plan, in hexadecimal.
        step: the sum's name.
        level: whose presence the noise hides.
        sensitivity: of the sum, in the L2 norm.
        sigma: the noise's standard deviation, without what tolerated members know.
        cohort: how many nodes took part.
        honest: how many of them, this site among them, must keep their noise to themselves for the
            promise to hold.
        rho: what it cost (zCDP), if they do.
        epsilon: what all lines so far cost together, at ``delta``; None where that is no number:
            a record-level release doesn't hide a site.
        delta: at which ``epsilon`` is reported.
    """

    time: str
    run: int
    epoch: int
    plan: str
    step: str
    level: Level
    sensitivity: float
    sigma: float
    cohort: int
    honest: int
    rho: float
    epsilon: float | None
    delta: float


class PrivacyLedger:
    """The ledger of one site; ``charge`` before each sum with noise.

    Args:
        path: the ledger.
        head: its head, in another directory.
        level: whose privacy the spent epsilon is about.
        delta: at which epsilon is reported.
        demand: the site's own: no release may be weaker, or exceed its budget; None: it has none.
        now: the time.
    """

    def __init__(
        self,
        path: Path,
        head: Path,
        *,
        level: Level,
        delta: float,
        demand: PrivacyPolicy | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log = _log(path, head)
        self._level = demand.level if demand else level
        self._delta = demand.delta if demand else delta
        self._demand = demand
        self._now = now

    def check(self, promise: PrivacySpec, *, run: int, cohort: int) -> None:
        """Check before a run that the site can afford its release, and counts on enough members.

        Otherwise the others would begin, and spend, for nothing. A run that this site has already
        paid for may go on.

        Raises:
            RefusedError: it is beyond the site's budget, or the ledger was changed.
            CohortRefusedError: in so large a cohort more members must be honest than it counts on.
            MachineError: the ledger can't be read.
        """
        self._check_honest(promise.honest(cohort), cohort)
        entries = _entries(self._log, self._log.read())
        if all(entry.run != run for entry in entries):
            rho = rho_of(noise_multiplier(promise.epsilon, promise.delta))
            self._afford(entries, promise.level, rho)

    def find(self, release: Release) -> Entry | None:
        """The line of a release; None: it was not paid for, and so nothing of it was sent.

        Raises:
            RefusedError: the ledger was changed.
            MachineError: it can't be read.
        """
        return _find(_entries(self._log, self._log.read()), release)

    def charge(self, noise: DiscreteGaussian, release: Release) -> Entry:
        """Put a release on disk, before anything of it is sent; once, however often it is asked.

        Raises:
            RefusedError: it is weaker than the site demands or beyond its budget, or the ledger
                was changed; nothing is written.
            CohortRefusedError: in so large a cohort more members must be honest than it counts on.
            MachineError: the disk is full or not writable.
        """
        content = self._log.read()
        entries = _entries(self._log, content)
        if (paid := _find(entries, release)) is not None:
            return paid
        honest = noise.honest(release.cohort)
        self._check_honest(honest, release.cohort)
        rho, level = noise.rho, noise.level
        epsilon = self._afford(entries, level, rho)
        entry = Entry(
            time=self._now().isoformat(timespec="seconds"),
            run=release.run,
            epoch=release.epoch,
            plan=release.plan.hex(),
            step=release.step,
            level=level,
            sensitivity=noise.sensitivity,
            sigma=noise.sigma,
            cohort=release.cohort,
            honest=honest,
            rho=rho,
            epsilon=epsilon if math.isfinite(epsilon) else None,
            delta=self._delta,
        )
        self._log.append([msgspec.json.encode(entry)], after=content.end)
        return entry

    def _afford(self, entries: tuple[Entry, ...], level: Level, rho: float) -> float:
        """The epsilon with one more release. Raises RefusedError beyond the site's budget."""
        releases = [(each.level, each.rho) for each in entries]
        epsilon = spent([*releases, (level, rho)], self._level, self._delta)
        if self._demand is not None:
            _check_budget(self._demand, epsilon)
        return epsilon

    def _check_honest(self, needed: int, cohort: int) -> None:
        least = self._demand.least_honest if self._demand else None
        if least is not None and needed > least:
            raise CohortRefusedError(
                "noise would hide this site's rows only if more members are honest than it counts"
                " on",
                where="policy.privacy",
                expected=f"noise that {least} honest members make, this one among them"
                " (`least_honest`)",
                found=f"{needed} of {cohort} must be honest",
                remedy="Ask the federation's operator to raise `privacy.curious_members`",
            )


def read_ledger(path: Path, head: Path) -> tuple[Entry, ...]:
    """All lines, checked. What a crash left half-written was never acted on, and is left out.

    Raises:
        RefusedError: a line was changed, or lines (or one of the files) are missing.
        MachineError: a file can't be read.
    """
    log = _log(path, head)
    return _entries(log, log.read())


def spent(releases: Iterable[tuple[Level, float]], level: Level, delta: float) -> float:
    """The epsilon, at ``delta``, of releases (level, rho) together; infinite where one of them
    doesn't hide as much as ``level``.
    """
    releases = list(releases)
    if not releases:
        return 0.0
    if not all(each.covers(level) for each, _ in releases):
        return math.inf
    return epsilon_of(math.fsum(rho for _, rho in releases), delta)


def _find(entries: Iterable[Entry], release: Release) -> Entry | None:
    known = release.plan.hex(), release.step
    return next((each for each in entries if (each.plan, each.step) == known), None)


def _check_budget(demand: PrivacyPolicy, epsilon: float) -> None:
    if epsilon > demand.epsilon:
        raise RefusedError(
            "this site's privacy budget would be exceeded",
            where="policy.privacy",
            expected=f"epsilon up to {demand.epsilon:g} at delta {demand.delta:g}",
            found=f"{epsilon:.4g} with this release",
            remedy="See `edge-node privacy`; the site alone may raise its budget",
        )


def _log(path: Path, head: Path) -> ChainedLog:
    return ChainedLog(path, head, _NAME, _PROBLEM, _REMEDY)


def _entries(log: ChainedLog, content: Content) -> tuple[Entry, ...]:
    return tuple(_parse(log, number, text) for number, text in enumerate(content.texts, start=1))


def _parse(log: ChainedLog, number: int, text: bytes) -> Entry:
    try:
        return msgspec.json.decode(text, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise log.damaged(number, "it is not a release") from error
