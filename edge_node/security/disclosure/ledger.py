"""What a node has contributed, to which cohorts, step by step: kept for ever, and on disk first.

    state/ledger           a chained log of events (`security.chained_log`)
    identity/ledger.head   its head
    identity/ledger.key    the secret under which versions of this node's rows are named; while it
                           is there, a ledger must be, too

A contribution is on disk before masked words leave the node. So after a crash the ledger may hold
one that was never sent, and never lacks one that was. A damaged ledger is refused: a guard that has
forgotten a total can't say what the next one would reveal.

A contribution says how many numbers it tells. `security.disclosure.lifetime` adds them up over the
life of this node's rows.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec

from edge_node.errors import MachineError
from edge_node.security.chained_log import ChainedLog
from edge_node.security.disclosure.cohort import Cohort
from edge_node.security.disclosure.contribution import NOTHING, Contribution, Telling
from edge_node.security.disclosure.history import (
    Began,
    Consented,
    Contributed,
    History,
    Line,
    Met,
    Settled,
    read_line,
)
from edge_node.security.disclosure.lifetime import Life
from edge_node.security.files import read_private, write_atomically
from edge_node.step import Step

__all__ = ["Ledger"]

_SECRET = 32  # bytes
_VERSION = b"tangentmesh/v1/rows\0"
_NAME = "tangentmesh/v1/ledger"
_PROBLEM = "the ledger of contributions is not whole, so nothing is contributed"
_REMEDY = (
    "Restore it from a backup of this moment. Without one, only this site can decide to begin"
    " another (remove state/ and identity/ledger.key), for then totals that it has contributed to"
    " could be subtracted from new ones"
)


class Ledger:
    """``Ledger.open`` makes it. One process writes it."""

    def __init__(self, log: ChainedLog, secret: bytes) -> None:
        self._log, self._secret = log, secret
        self._history = History()
        content = log.read()
        for number, text in enumerate(content.texts, start=1):
            self._history.take(_parse(log, number, text))
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
        return {step: epochs.values() for step, epochs in self._history.steps.items()}

    def contributions(self, run: int) -> Iterator[Contribution]:
        """Those to one run."""
        return (each for each in self.life.contributions if each.run == run)

    @property
    def life(self) -> Life:
        """All contributions, for questions about what they tell together."""
        epochs = self._history.steps.values()
        return Life(tuple(each for known in epochs for each in known.values()), self._history.runs)

    @property
    def consents(self) -> Mapping[str, bool]:
        """What each node said last."""
        return self._history.consents

    def newest_epoch(self, node: str) -> int:
        """The newest epoch in which both this node and ``node`` have contributed; 0: none."""
        return self._history.epochs.get(node, 0)

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

    def contribute(
        self,
        cohort: Cohort,
        sequence: int,
        step: Step,
        telling: Telling = NOTHING,
        basis: bytes = b"",
    ) -> None:
        """Note that words for a step are about to leave, once an epoch.

        Args:
            cohort: whose words are added.
            sequence: the step's position in the run.
            step: the one with which it must be compared.
            telling: what the words tell.
            basis: of the run, as `Beginning` has it.

        Raises:
            MachineError: it can't be written.
        """
        if (cohort.run, cohort.epoch) in self._history.steps.get(step, ()):
            return
        members = dict(sorted(cohort.claims.items()))
        lines: list[Line] = [] if members == self._history.members else [Met(members)]
        if cohort.run not in self._history.runs:
            lines.append(Began(cohort.run, basis))
        lines.append(Contributed(step, sequence, cohort.run, cohort.epoch, cohort.root, telling))
        self._append(lines)

    def settle(self, run: int, epoch: int, frontier: int, cohort: Collection[str]) -> None:
        """Note how far the nodes of a new epoch have come.

        A step that none of them has completed has no total among those who are left. If the root of
        its epoch is one of them, the total was never formed; if not, that root alone may know it.
        Raises MachineError.
        """
        line = Settled(run, epoch, frontier, tuple(sorted(cohort)))
        if any(self._history.settled(line)):
            self._append([line])

    def consent(self, node: str) -> None:
        """Note that a node has consented; the caller has verified it. Raises MachineError."""
        if not self._history.consents.get(node):
            self._append([Consented(node)])

    def _append(self, lines: Collection[Line]) -> None:
        """All of the lines, or none; on return they are on disk. Raises MachineError."""
        self._end = self._log.append(map(msgspec.json.encode, lines), after=self._end)
        for line in lines:
            self._history.take(line)


def _parse(log: ChainedLog, number: int, text: bytes) -> Line:
    """A line's event. Raises RefusedError."""
    try:
        return read_line(text)
    except (ValueError, msgspec.MsgspecError) as error:
        raise log.damaged(number, f"it can't be read: {error}") from error
