"""How the demonstration ends: nothing of a user's rows stays behind."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from edge_node.demo.ending import EndingSignals, working_directory

SIGNALS = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: SystemExit,
    signal.SIGHUP: SystemExit,
    signal.SIGQUIT: SystemExit,
}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As a process has them at first, also where the tests run in the background."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_folder_goes(number: signal.Signals) -> None:
    """Whatever signal ends the process; the exit code says which."""
    folders = []

    def work() -> None:
        with EndingSignals() as signals, working_directory(keep=False) as folder, signals.heeded():
            (folder / "rows.csv").write_text("age\n1\n")
            folders.append(folder)
            signal.raise_signal(number)

    with pytest.raises(SIGNALS[number]) as caught:
        work()
    if number != signal.SIGINT:
        assert caught.value.code == 128 + number
    assert not folders[0].exists()
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_second_signal_does_not_cut_the_cleaning_short() -> None:
    """Somebody who is impatient sends another: the cleaning is done to its end."""
    done = []

    def work() -> None:
        with EndingSignals() as signals:
            try:
                with signals.heeded():
                    signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGINT)
                done.append("cleaning")

    with pytest.raises(SystemExit):
        work()
    assert done == ["cleaning"]


def test_a_signal_before_the_work() -> None:
    """It is not lost: the work doesn't begin."""
    done = []

    def work() -> None:
        with EndingSignals() as signals:
            signal.raise_signal(signal.SIGTERM)
            done.append("prepared")
            with signals.heeded():
                done.append("worked")

    with pytest.raises(SystemExit):
        work()
    assert done == ["prepared"]


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup: the work goes on. A signal that isn't ignored would have ended it."""
    done = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with EndingSignals() as signals, signals.heeded():
        signal.raise_signal(signal.SIGHUP)
        done.append("worked")
    assert done == ["worked"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_folder_can_be_kept() -> None:
    """For ``--keep``."""
    with working_directory(keep=True) as folder:
        pass
    assert folder.is_dir()
    folder.rmdir()


def test_a_signal_that_a_library_swallows_still_ends_the_work() -> None:
    """As imports with a bare ``except`` do: it is raised again when the work ends."""
    with (
        EndingSignals() as signals,
        pytest.raises(SystemExit, match="143"),
        signals.heeded(),
        suppress(BaseException),
    ):
        signal.raise_signal(signal.SIGTERM)
