"""A log forgets nothing unnoticed: what is appended stays, in its place, through any crash."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import MachineError, RefusedError
from edge_node.security import chained_log as module
from edge_node.security.chained_log import ChainedLog, Content, End

TEXTS = st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), max_size=5)
LINES = [b"one", b"", b"two \xff", b"three"]


def log_in(directory: Path) -> ChainedLog:
    """A log whose head is beside it."""
    return ChainedLog(directory / "log", directory / "head", "test/log", "damaged", "Restore it")


def written(directory: Path, texts: list[bytes] = LINES) -> ChainedLog:
    """A log of some lines, one at a time."""
    log = log_in(directory)
    for text in texts:
        log.append([text], after=log.read().end)
    return log


@given(st.lists(TEXTS, max_size=4))
def test_what_is_appended_is_read(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    """By whoever opens it, in order; the end that ``append`` returns is the one that is read."""
    log = log_in(tmp_path_factory.mktemp("log"))
    end = log.read().end
    for batch in batches:
        end = log.append(batch, after=end)
        assert log.read().end == end
    assert log.read() == Content(tuple(text for batch in batches for text in batch), end)


def test_a_log_that_has_not_begun(tmp_path: Path) -> None:
    """It is empty, and reading it makes no files."""
    log = log_in(tmp_path)
    assert not log.begun
    assert log.read().texts == ()
    assert list(tmp_path.iterdir()) == []
    assert log.begin() == log.read().end
    assert log.begun
    assert log.read().texts == ()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Both files."""
    log = written(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in (log.path, log.head)} == {0o600}


def test_lines_are_on_disk_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the log, then the head: a head never knows of a line that may be lost."""
    log = written(tmp_path)
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.split(".")[0])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    log.append([b"four"], after=log.read().end)
    assert synced == ["log", "", tmp_path.name]  # the head's temporary file begins with a dot


def test_half_a_line_is_none(tmp_path: Path) -> None:
    """However far it was written; the next one takes its place."""
    log = written(tmp_path, LINES[:3])
    before, head, end = log.path.read_bytes(), log.head.read_bytes(), log.read().end
    log.append(LINES[3:], after=end)
    content = log.path.read_bytes()
    for cut in range(len(before), len(content)):
        log.path.write_bytes(content[:cut])
        log.head.write_bytes(head)
        assert log.read() == Content(tuple(LINES[:3]), end)
    log.append(LINES[3:], after=end)
    assert log.path.read_bytes() == content


def test_lines_that_the_head_does_not_know_of_count(tmp_path: Path) -> None:
    """A crash may come between the two files: the log is written first."""
    log = log_in(tmp_path)
    heads = [log.begin().chain]
    heads += [log.append([text], after=log.read().end).chain for text in LINES]
    for head in heads:
        log.head.write_text(head)
        assert log.read().texts == tuple(LINES)


@settings(max_examples=200)
@given(st.data())
def test_damage_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte changed, any line left out, moved or repeated: the reason says which."""
    log = written(tmp_path_factory.mktemp("damaged"))
    content = log.path.read_bytes()
    lines = content.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(content) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b not in (content[place], ord("\n"))))
    missing = data.draw(st.integers(0, len(lines) - 2))
    damaged = data.draw(
        st.sampled_from(
            [
                content[:place] + bytes([byte]) + content[place + 1 :],
                b"".join(lines[:missing] + lines[missing + 1 :]),
                b"".join(reversed(lines)),
                content + lines[-1],
            ]
        )
    )
    assert log.read().texts == tuple(LINES)  # the control
    log.path.write_bytes(damaged)
    with pytest.raises(RefusedError, match=r"line \d: damaged .*not follow.*Restore it"):
        log.read()


def test_an_old_copy_is_refused(tmp_path: Path) -> None:
    """Each of its lines follows from those before; what came later is missing."""
    log = written(tmp_path)
    lines = log.path.read_bytes().splitlines(keepends=True)
    for kept in range(len(lines)):
        log.path.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(RefusedError, match="the last line that its head knows of is not in it"):
            log.read()


@pytest.mark.parametrize("file", ["log", "head"])
def test_a_missing_file_is_refused(tmp_path: Path, file: str) -> None:
    """The other one says that there was a log; even if nothing was written yet."""
    log = written(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(RefusedError, match=f"{file}: damaged .*it is missing"):
        log.read()
    (tmp_path / "empty").mkdir()
    begun = log_in(tmp_path / "empty")
    begun.begin()
    begun.path.unlink()
    with pytest.raises(RefusedError, match="it is missing"):
        begun.read()


def test_a_log_that_was_just_begun(tmp_path: Path) -> None:
    """Killed between its two files, whoever opens it begins again."""
    log = log_in(tmp_path)
    log.path.touch()
    assert not log.begun
    assert log.append([b"one"], after=log.read().end) == log.read().end


@pytest.mark.parametrize("head", [b"", b"{}", bytes(64), b"0" * 64])
def test_a_head_that_is_none(tmp_path: Path, head: bytes) -> None:
    """Garbage, or that of another log."""
    log = written(tmp_path)
    log.head.write_bytes(head)
    with pytest.raises(RefusedError, match="its head"):
        log.read()


def test_one_log_does_not_stand_in_for_another(tmp_path: Path) -> None:
    """Chains begin with the log's name."""
    log = written(tmp_path)
    with pytest.raises(RefusedError, match="line 1: damaged"):
        replace(log, name="test/other").read()


def test_a_file_that_cannot_be_read_is_the_machines_fault(tmp_path: Path) -> None:
    """Not a change to the log."""
    log = written(tmp_path)
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(MachineError, match="can't be read"):
        log.read()


def test_a_line_has_one_end(tmp_path: Path) -> None:
    """A text with another would be two lines."""
    log = written(tmp_path)
    with pytest.raises(ValueError, match="end of line"):
        log.append([b"four", b"fi\nve"], after=log.read().end)
    assert log.read().texts == tuple(LINES)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is where it was, whichever file can't be written; the next lines go there."""
    log = written(tmp_path)
    end = log.read().end

    def full(*_: object, **__: object) -> None:
        raise MachineError("the file can't be written", found="No space left on device")

    for function in ("append_durably", "write_atomically"):
        with monkeypatch.context() as patched:
            patched.setattr(module, function, full)
            with pytest.raises(MachineError, match="No space left"):
                log.append([b"lost"], after=end)
        assert isinstance(log.append([b"four"], after=end), End)
        assert log.read().texts == (*LINES, b"four")


def test_a_killed_writer(tmp_path: Path) -> None:
    """Killed with -9 at any moment, whatever it had said to have written is there."""
    program = textwrap.dedent("""
        import sys, itertools
        from pathlib import Path
        from tests.security.test_chained_log import log_in
        log = log_in(Path(sys.argv[1]))
        end = log.read().end
        for number in itertools.count():
            end = log.append([b"%d" % number], after=end)
            print(number, flush=True)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    said += [int(line) for line in rest if "\n" in line]
    assert log_in(tmp_path).read().texts[: len(said)] == tuple(b"%d" % number for number in said)
