"""The cohorts that a node has contributed to, step by step: kept for ever, and on disk first.

    state/ledger           a chained log of events (`security.chained_log`)
    identity/ledger.head   its head
    identity/ledger.key    the secret under which versions of this node's rows are named; while it
                           is there, a ledger must be, too

A contribution is on disk before masked words leave the node. So after a crash the ledger may hold
one that was never sent, and never lacks one that was. A damaged ledger is refused: a guard that has
forgotten a total can't say what the next one would reveal.
"""

import enum
import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import msgspec

from edge_node.errors import MachineError
from edge_node.security.chained_log import ChainedLog
from edge_node.security.disclosure.cohort import Cohort
from edge_node.security.disclosure.differencing import Row
from edge_node.security.files import read_private, write_atomically
from edge_node.step import Step

__all__ = ["Contribution", "Fate", "Ledger"]

_SECRET = 32  # bytes
_VERSION = b"tangentmesh/v1/rows\0"
_NAME = "tangentmesh/v1/ledger"
_PROBLEM = "the ledger of contributions is not whole, so nothing is contributed"
_REMEDY = (
    "Restore it from a backup of this moment. Without one, only this site can decide to begin"
    " another (remove state/ and identity/ledger.key), for then totals that it has contributed to"
    " could be subtracted from new ones"
)


class Fate(enum.StrEnum):
    """What has become of a contribution."""

    RELEASED = "released"  # everybody may know the total, as long as nothing else is known
    ROOT = "root"  # only the root of its epoch may know the total
    VOID = "void"  # nobody knows the total, or ever will


@dataclass(frozen=True)
class Contribution:
    """A step's vector, added in one epoch to those of others.

    ``step`` is the one with which it must be compared (`Step.compared`).
    """

    step: Step
    sequence: int
    run: int
    epoch: int
    root: str
    row: Row
    fate: Fate = Fate.RELEASED


class _Cohort(msgspec.Struct, tag="cohort", frozen=True, forbid_unknown_fields=True):
    """``members``: version (hexadecimal) and consent by name."""

    members: dict[str, tuple[str, bool]]


class _Contributed(msgspec.Struct, tag="contributed", frozen=True, forbid_unknown_fields=True):
    """A contribution to the cohort of the last line that names one.

    ``step`` is written with its fields. A line in which it is a text, as before there were fields,
    is refused as unreadable: nothing says whether that text named a count.
    """

    step: Step
    sequence: int
    run: int
    epoch: int
    root: str


class _Settled(msgspec.Struct, tag="settled", frozen=True, forbid_unknown_fields=True):
    """The nodes of a new epoch have together completed ``frontier`` steps of a run.

    So it is known what has become of contributions to later steps in earlier epochs.
    """

    run: int
    epoch: int
    frontier: int
    cohort: tuple[str, ...]


class _Consented(msgspec.Struct, tag="consented", frozen=True, forbid_unknown_fields=True):
    node: str


_Line = _Cohort | _Contributed | _Settled | _Consented
_decoder = msgspec.json.Decoder(_Line)


@dataclass
class _Memory:
    """What the lines say."""

    steps: dict[Step, dict[tuple[int, int], Contribution]] = field(default_factory=dict)
    members: dict[str, tuple[str, bool]] = field(default_factory=dict)
    row: Row = frozenset()  # of those members: one object, whose hash is taken once
    consents: dict[str, bool] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)  # the newest one of each node

    def take(self, line: _Line) -> None:
        """One more event."""
        match line:
            case _Cohort(members):
                self.members = members
                self.row = frozenset((n, bytes.fromhex(v)) for n, (v, _) in members.items())
                self.consents |= {node: consents for node, (_, consents) in members.items()}
            case _Contributed(step, sequence, run, epoch, root):
                contribution = Contribution(step, sequence, run, epoch, root, self.row)
                self.steps.setdefault(step, {})[run, epoch] = contribution
                self.epochs |= dict.fromkeys(self.members, epoch)
            case _Settled():
                for each, fate in self.settled(line):
                    self.steps[each.step][each.run, each.epoch] = replace(each, fate=fate)
            case _Consented(node):
                self.consents[node] = True
                self.members = {}  # the next cohort says again what each of them says then

    def settled(self, line: _Settled) -> Iterator[tuple[Contribution, Fate]]:
        """The contributions whose fate a line decides, and their fates."""
        for each in [each for epochs in self.steps.values() for each in epochs.values()]:
            open_until_now = each.run == line.run and each.fate is Fate.RELEASED
            if open_until_now and each.epoch < line.epoch and each.sequence >= line.frontier:
                yield each, Fate.VOID if each.root in line.cohort else Fate.ROOT


class Ledger:
    """``Ledger.open`` makes it. One process writes it."""

    def __init__(self, log: ChainedLog, secret: bytes) -> None:
        self._log, self._secret = log, secret
        self._memory = _Memory()
        content = log.read()
        for number, text in enumerate(content.texts, start=1):
            self._memory.take(_parse(log, number, text))
        self._end = content.end

    @classmethod
    def open(cls, path: Path, key: Path, *, new: bool) -> Self:
        """Read the ledger, or begin one.

        Args:
            path: of the ledger; its directory exists.
            key: of its secret, in another directory.
            new: whether there may be none yet, because the node has never contributed.

        Raises:
            RefusedError: it is missing or damaged.
            IdentityError: its secret is open to others, or can't be read.
            MachineError: it can't be read or written.
        """
        log = ChainedLog(path, key.with_suffix(".head"), _NAME, _PROBLEM, _REMEDY)
        if new and not key.exists() and log.empty:
            log.begin()
            write_atomically(key, secrets.token_bytes(_SECRET))
        for file in (path, log.head, key):
            if not file.exists():
                raise log.missing(file)
        return cls(log, read_private(key, missing=_REMEDY))

    @property
    def steps(self) -> Mapping[Step, Collection[Contribution]]:
        """All contributions, by step."""
        return {step: epochs.values() for step, epochs in self._memory.steps.items()}

    def contributions(self, run: int) -> Iterator[Contribution]:
        """Those to one run."""
        for epochs in self._memory.steps.values():
            yield from (each for each in epochs.values() if each.run == run)

    @property
    def consents(self) -> Mapping[str, bool]:
        """What each node said last."""
        return self._memory.consents

    def newest_epoch(self, node: str) -> int:
        """The newest epoch in which both this node and ``node`` have contributed; 0: none."""
        return self._memory.epochs.get(node, 0)

    def version(self, file: Path) -> bytes:
        """A name for a file's content, 32 bytes, that says nothing else of it. Raises MachineError.

        HMAC-SHA256 of the content's SHA-256, under this ledger's secret.
        """
        try:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").digest()
        except OSError as error:
            raise MachineError("the file can't be read", where=str(file)) from error
        return hmac.digest(self._secret, _VERSION + digest, "sha256")

    def contribute(self, cohort: Cohort, sequence: int, step: Step) -> None:
        """Note that words for a step are about to leave, once an epoch. Raises MachineError."""
        members = {
            node: (claim.version.hex(), claim.consents)
            for node, claim in sorted(cohort.claims.items())
        }
        if (cohort.run, cohort.epoch) in self._memory.steps.get(step, ()):
            return
        lines: list[_Line] = [] if members == self._memory.members else [_Cohort(members)]
        lines.append(_Contributed(step, sequence, cohort.run, cohort.epoch, cohort.root))
        self._append(lines)

    def settle(self, run: int, epoch: int, frontier: int, cohort: Collection[str]) -> None:
        """Note how far the nodes of a new epoch have come.

        A step that none of them has completed has no total among those who are left. If the root of
        its epoch is one of them, the total was never formed; if not, that root alone may know it.
        Raises MachineError.
        """
        line = _Settled(run, epoch, frontier, tuple(sorted(cohort)))
        if any(self._memory.settled(line)):
            self._append([line])

    def consent(self, node: str) -> None:
        """Note that a node has consented; the caller has verified it. Raises MachineError."""
        if not self._memory.consents.get(node):
            self._append([_Consented(node)])

    def _append(self, lines: Collection[_Line]) -> None:
        """All of the lines, or none; on return they are on disk. Raises MachineError."""
        self._end = self._log.append(map(msgspec.json.encode, lines), after=self._end)
        for line in lines:
            self._memory.take(line)


def _parse(log: ChainedLog, number: int, text: bytes) -> _Line:
    """A line's event. Raises RefusedError."""
    try:
        line: _Line = _decoder.decode(text)
        if isinstance(line, _Cohort):
            for version, _ in line.members.values():
                bytes.fromhex(version)
    except (ValueError, msgspec.MsgspecError) as error:
        raise log.damaged(number, f"it can't be read: {error}") from error
    return line
