"""How the demonstration ends: its folder goes, whatever ends it.

The folder holds copies of rows. SIGTERM, SIGHUP and SIGQUIT would end the process at once, so they
become exceptions, as SIGINT does anyway. No signal interrupts the cleaning itself.
"""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["EndingSignals", "working_directory"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def working_directory(*, keep: bool) -> Iterator[Path]:
    """A private folder for the federation; it is removed at the end, unless it is to be kept."""
    directory = Path(tempfile.mkdtemp(prefix="tangent-mesh-"))
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


class EndingSignals:
    """Signals that end the process, held back except where they are heeded.

    Use it as a context manager around everything that is to be cleaned up, and `heeded` around
    the work inside. There a signal raises KeyboardInterrupt (SIGINT), or SystemExit with 128 plus
    the signal's number. A signal that comes before the work is raised when the work begins.
    """

    def __init__(self) -> None:
        self._heeding = False
        self._received = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "EndingSignals":
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what `signal` has returned

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Raise for a signal inside, and for one that came before."""
        self._heeding = True
        try:
            self.raise_received()
            yield
            self.raise_received()
        finally:
            self._heeding = False

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = number
        if self._heeding:
            self._heeding = False
            self.raise_received()

    def raise_received(self) -> None:
        """Raise for a signal that came; a library's bare ``except`` may have swallowed it."""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received:
            raise SystemExit(128 + self._received)
