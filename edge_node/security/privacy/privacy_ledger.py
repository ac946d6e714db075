"""What privacy this site has spent: an append-only file that says when something was taken out.

    state/privacy.jsonl      one line of JSON for each sum with noise that the site took part in
    identity/privacy.head    how many lines there are, and the SHA-256 of the last one

Each line holds the hash of the line before it, so none can be changed, left out or put elsewhere;
the head is kept in another directory, so that neither the last lines nor the whole file can go
unnoticed. (Somebody who may write both can write another history. The ledger is against mistakes
and losses, not against the site's own administrator.)

A line is on disk before anything is sent. A crash in between costs budget that nobody used, never
the other way round.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge_node.config import Level, PrivacyPolicy, PrivacySpec
from edge_node.errors import MachineError, RefusedError
from edge_node.security.files import append_durably, write_atomically
from edge_node.security.privacy.accounting import epsilon_of, noise_multiplier, rho_of
from edge_node.security.privacy.noise import DiscreteGaussian

__all__ = ["Entry", "PrivacyLedger", "read_ledger", "spent"]

_FIRST = hashlib.sha256(b"tangentmesh/v1/privacy-ledger").hexdigest()


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        time: when, ISO 8601 in UTC.
        run: the run of the federation's program.
        epoch: its epoch: a sum that is repeated after a node was lost is another release.
        step: the sum's name.
        level: whose presence the noise hides.
        sensitivity: of the sum, in the L2 norm.
        sigma: the noise's standard deviation, without what tolerated members know.
        cohort: how many nodes took part.
        rho: what it cost (zCDP).
        epsilon: what all lines so far cost together, at ``delta``; None where that is no number:
            a record-level release doesn't hide a site.
        delta: at which ``epsilon`` is told.
        previous: SHA-256 of the line before.
    """

    time: str
    run: int
    epoch: int
    step: str
    level: Level
    sensitivity: float
    sigma: float
    cohort: int
    rho: float
    epsilon: float | None
    delta: float
    previous: str

    def line(self) -> bytes:
        """As it stands in the file, without the end of the line."""
        return msgspec.json.encode(self)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lines: int = 0
    digest: str = _FIRST


class PrivacyLedger:
    """The ledger of one site; ``charge`` before each sum with noise.

    Args:
        path: the ledger.
        head: its head, in another directory.
        level: whose privacy the spent epsilon is about.
        delta: at which epsilon is told.
        demand: the site's own: no release may be weaker or go beyond its budget; None: none.
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
        self._path, self._head_path = path, head
        self._level = demand.level if demand else level
        self._delta = demand.delta if demand else delta
        self._demand = demand
        self._now = now

    def check(self, promise: PrivacySpec, *, run: int) -> None:
        """Check before a run that its release can be afforded, so that others needn't begin in
        vain, and spend for it. A run that this site has paid for may go on.

        Raises:
            RefusedError: it is beyond the site's budget, or the ledger was changed.
            MachineError: the ledger can't be read.
        """
        entries = read_ledger(self._path, self._head_path)
        if all(entry.run != run for entry in entries):
            rho = rho_of(noise_multiplier(promise.epsilon, promise.delta))
            self._afford(entries, promise.level, rho)

    def charge(
        self, noise: DiscreteGaussian, *, run: int, epoch: int, step: str, cohort: int
    ) -> Entry:
        """Put a release on disk, before anything of it is sent.

        Raises:
            RefusedError: it is weaker than the site demands or beyond its budget, or the ledger
                was changed; nothing is written.
            MachineError: the disk is full or not writable.
        """
        entries = read_ledger(self._path, self._head_path)
        rho, level = noise.rho, noise.level
        epsilon = self._afford(entries, level, rho)
        entry = Entry(
            time=self._now().isoformat(timespec="seconds"),
            run=run,
            epoch=epoch,
            step=step,
            level=level,
            sensitivity=noise.sensitivity,
            sigma=noise.sigma,
            cohort=cohort,
            rho=rho,
            epsilon=epsilon if math.isfinite(epsilon) else None,
            delta=self._delta,
            previous=_digest(entries[-1]) if entries else _FIRST,
        )
        whole = sum(len(each.line()) + 1 for each in entries)
        append_durably(self._path, entry.line() + b"\n", after=whole)
        head = _Head(len(entries) + 1, _digest(entry))
        write_atomically(self._head_path, msgspec.json.encode(head))
        return entry

    def _afford(self, entries: tuple[Entry, ...], level: Level, rho: float) -> float:
        """The epsilon with one more release. Raises RefusedError beyond the site's budget."""
        releases = [(each.level, each.rho) for each in entries]
        epsilon = spent([*releases, (level, rho)], self._level, self._delta)
        if self._demand is not None:
            _check_budget(self._demand, epsilon)
        return epsilon


def read_ledger(path: Path, head: Path) -> tuple[Entry, ...]:
    """All lines, checked. What a crash left half-written was never acted on, and is left out.

    Raises:
        RefusedError: a line was changed, or lines (or one of the files) are missing.
        MachineError: a file can't be read.
    """
    lines = _read(path).split(b"\n")[:-1]
    entries, digest = [], _FIRST
    known = _read_head(head)
    for number, line in enumerate(lines, start=1):
        entry = _parse(line, where=f"{path}, line {number}")
        if entry.previous != digest or entry.line() != line:
            raise _changed(f"{path}, line {number}", "the line after the one before", "another")
        entries.append(entry)
        digest = _digest(entry)
        if number == known.lines and digest != known.digest:
            raise _changed(f"{path}, line {number}", f"hash {known.digest}", digest)
    if not known.lines <= len(entries) <= known.lines + 1:  # one that the head hasn't heard of yet
        raise _changed(f"{path}, {head}", f"{known.lines} lines", f"{len(entries)}")
    return tuple(entries)


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


def _check_budget(demand: PrivacyPolicy, epsilon: float) -> None:
    if epsilon > demand.epsilon:
        raise RefusedError(
            "this site's privacy budget would be exceeded",
            where="policy.privacy",
            expected=f"epsilon up to {demand.epsilon:g} at delta {demand.delta:g}",
            found=f"{epsilon:.4g} with this release",
            remedy="See `edge-node privacy`; the site alone may raise its budget",
        )


def _read(path: Path) -> bytes:
    """What is in a file; nothing where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise MachineError(
            "the privacy ledger can't be read",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Run the program as the user that owns the file",
        ) from error


def _read_head(path: Path) -> _Head:
    content = _read(path)
    if not content:
        return _Head()
    try:
        return msgspec.json.decode(content, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _changed(str(path), "the ledger's head", "something else") from error


def _parse(line: bytes, *, where: str) -> Entry:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _changed(where, "a release", "something else") from error


def _digest(entry: Entry) -> str:
    return hashlib.sha256(entry.line()).hexdigest()


def _changed(where: str, expected: str, found: str) -> RefusedError:
    return RefusedError(
        "the privacy ledger was changed, or a part of it is missing",
        where=where,
        expected=expected,
        found=found,
        remedy="Put both files back from a backup; without them nobody knows what was spent",
    )
