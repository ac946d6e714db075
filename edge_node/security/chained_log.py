"""An append-only log that can't be changed or shortened unnoticed; each ledger is one.

    log     lines, each of a chain (64 characters), a space and a text. The chain is SHA-256 over
            the chain of the line before, a space and the text, in hexadecimal
    head    the chain of the last line, kept in another directory: an old copy of the log alone
            would look whole

A line is on disk before ``append`` returns, and the head is written after it. So a crash may leave
half a line, which was never acted on and is cut off; or whole lines that the head doesn't know of,
which count. Anything else that doesn't fit is damage, and is refused. (A user who may write both
files can write another history: a log guards against mistakes and losses, not against the site's
own administrator.)
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_node.errors import MachineError, RefusedError
from edge_node.security.files import append_durably, write_atomically

__all__ = ["ChainedLog", "Content", "End"]

_CHAIN = 64  # characters


@dataclass(frozen=True)
class End:
    """Where the next line goes: the chain of the last one, and the size of all lines, in bytes."""

    chain: str
    size: int = 0


@dataclass(frozen=True)
class Content:
    """What is in a log: the texts of its lines, without their chains, and its end."""

    texts: tuple[bytes, ...]
    end: End


@dataclass(frozen=True)
class ChainedLog:
    """A log's two files, and what is said when they are damaged. One process appends.

    Attributes:
        path: of the log.
        head: of its head, which belongs in another directory.
        name: begins the chain, so that one log can't stand in for another.
        problem: what a damaged log means, for people.
        remedy: what they can do.
    """

    path: Path
    head: Path
    name: str
    problem: str
    remedy: str

    @property
    def empty(self) -> bool:
        """Whether no line is there, whatever the head says."""
        return not self.path.exists() or self.path.stat().st_size == 0

    @property
    def begun(self) -> bool:
        """Whether ``begin`` was called: an empty log without a head was never written to."""
        return self.head.exists() or not self.empty

    def begin(self) -> End:
        """Make the files of an empty log, the head last; what was in them is gone.

        Raises MachineError.
        """
        append_durably(self.path, b"", after=0)
        write_atomically(self.head, self._first.encode())
        return End(self._first)

    def read(self) -> Content:
        """All lines, checked; none, if the log has not begun.

        Raises:
            RefusedError: a line was changed, moved or left out, or a file is missing.
            MachineError: a file can't be read.
        """
        if not self.begun:
            return Content((), End(self._first))
        head = self._read(self.head)  # first: an append that runs meanwhile writes it last
        texts, size, chain, known = [], 0, self._first, head == self._first.encode()
        for number, line in enumerate(self._read(self.path).split(b"\n")[:-1], start=1):
            text = line[_CHAIN + 1 :]
            chain = _next(chain, text)
            if line != chain.encode() + b" " + text:
                raise self.damaged(number, "it does not follow from the lines before it")
            texts.append(text)
            size += len(line) + 1
            known = known or head == chain.encode()
        if not known:
            raise self._damage(self.path, "the last line that its head knows of is not in it")
        return Content(tuple(texts), End(chain, size))

    def append(self, texts: Iterable[bytes], *, after: End) -> End:
        """Write lines behind the others; on return they are on disk.

        Args:
            texts: of the lines, each without an end of line.
            after: the log's end, as it was read or returned last; half a line behind it is cut off.

        Returns:
            The new end.

        Raises:
            MachineError: the disk is full or not writable; ``after`` is still the end.
        """
        if not self.begun:
            self.begin()
        chain, lines = after.chain, b""
        for text in texts:
            if b"\n" in text:
                raise ValueError("a line of a log can't hold an end of line")
            chain = _next(chain, text)
            lines += chain.encode() + b" " + text + b"\n"
        append_durably(self.path, lines, after=after.size)
        write_atomically(self.head, chain.encode())
        return End(chain, after.size + len(lines))

    def damaged(self, number: int, found: str) -> RefusedError:
        """The error for a line that can't be used; the first line has number 1."""
        return self._damage(f"{self.path}, line {number}", found)

    def missing(self, path: Path) -> RefusedError:
        """The error for a file that should be there."""
        return self._damage(path, "it is missing")

    @property
    def _first(self) -> str:
        """The chain before the first line."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise self.missing(path) from error
        except OSError as error:
            raise MachineError(
                "the file can't be read",
                where=str(path),
                found=error.strerror or str(error),
                remedy="Run the program as the user that owns the file",
            ) from error

    def _damage(self, where: Path | str, found: str) -> RefusedError:
        return RefusedError(self.problem, where=str(where), found=found, remedy=self.remedy)


def _next(chain: str, text: bytes) -> str:
    return hashlib.sha256(chain.encode() + b" " + text).hexdigest()
