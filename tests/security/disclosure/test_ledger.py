"""What the ledger remembers, through crashes and restarts, and what damage it doesn't overlook."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import IdentityError, MachineError, RefusedError
from edge_node.security.disclosure import ledger as module
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.ledger import Contribution, Fate, Ledger


def version(text: str = "1") -> bytes:
    """Of some node's rows."""
    return text.encode().ljust(32, b"\0")


def cohort(nodes: str, *, run: int = 1, epoch: int = 1, root: str = "a") -> Cohort:
    """Nodes with the same version; those in capitals consent."""
    claims = {node.lower(): Claim(version(), node.isupper()) for node in nodes}
    return Cohort(run, epoch, root, claims)


def opened(directory: Path, *, new: bool = True) -> Ledger:
    """The ledger of a directory."""
    return Ledger.open(directory / "ledger", directory / "ledger.key", new=new)


def fates(ledger: Ledger, step: str = "s") -> dict[int, Fate]:
    """By epoch."""
    return {each.epoch: each.fate for each in ledger.steps.get(step, ())}


def test_what_was_contributed_is_remembered(tmp_path: Path) -> None:
    """With cohort and consents, in another process as in this one."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abC"), 0, "s")
    ledger.contribute(cohort("abC"), 1, "t")
    ledger.contribute(cohort("abcd", run=2, epoch=3, root="b"), 0, "s")
    for each in (ledger, opened(tmp_path, new=False)):
        rows = {step: [c.row for c in found] for step, found in each.steps.items()}
        abc, abcd = cohort("abc").row, cohort("abcd").row
        assert rows == {"s": [abc, abcd], "t": [abc]}
        assert list(each.steps["t"]) == [Contribution("t", 1, 1, 1, "a", abc, Fate.RELEASED)]
        assert each.consents == dict.fromkeys("abcd", False)
        assert [each.newest_epoch(node) for node in "adx"] == [3, 3, 0]


def test_repeating_it_adds_nothing(tmp_path: Path) -> None:
    """A node that restarts within an epoch contributes the same again."""
    opened(tmp_path).contribute(cohort("abc"), 0, "s")
    size = (tmp_path / "ledger").stat().st_size
    again = opened(tmp_path)
    again.contribute(cohort("abc"), 0, "s")
    assert (tmp_path / "ledger").stat().st_size == size


def test_a_lost_node(tmp_path: Path) -> None:
    """If the root is left, what wasn't completed is void; if not, the root may know the total."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcde", epoch=1), 0, "done")
    ledger.contribute(cohort("abcde", epoch=1), 1, "s")
    ledger.settle(1, 2, 1, "abcd")
    ledger.contribute(cohort("abcd", epoch=2), 1, "s")
    ledger.settle(1, 3, 1, "bcd")
    ledger.contribute(cohort("bcd", epoch=3, root="b"), 1, "s")
    for each in (ledger, opened(tmp_path)):
        assert fates(each) == {1: Fate.VOID, 2: Fate.ROOT, 3: Fate.RELEASED}
        assert fates(each, "done") == {1: Fate.RELEASED}


def test_another_run_settles_nothing(tmp_path: Path) -> None:
    """Nor does the same epoch again: whoever was lost may know a total."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcde"), 0, "s")
    size = (tmp_path / "ledger").stat().st_size
    ledger.settle(2, 2, 0, "abcd")
    ledger.settle(1, 1, 0, "abcd")
    assert fates(ledger) == {1: Fate.RELEASED}
    assert (tmp_path / "ledger").stat().st_size == size


def test_consent_is_what_was_said_last(tmp_path: Path) -> None:
    """In a cohort, or when leaving."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcd"), 0, "s")
    ledger.consent("d")
    assert opened(tmp_path).consents["d"]
    ledger.contribute(cohort("abcd", epoch=2), 0, "s")
    assert not opened(tmp_path).consents["d"]


def test_versions(tmp_path: Path) -> None:
    """The same for the same content, after a restart, too; and another under another secret."""
    file = tmp_path / "rows.csv"
    file.write_text("x\n1\n")
    first = opened(tmp_path).version(file)
    (tmp_path / "copy.csv").write_text("x\n1\n")
    assert len(first) == 32
    assert opened(tmp_path).version(tmp_path / "copy.csv") == first
    file.write_text("x\n2\n")
    assert opened(tmp_path).version(file) != first
    (tmp_path / "other").mkdir()
    assert opened(tmp_path / "other").version(tmp_path / "copy.csv") != first


def written(directory: Path) -> bytes:
    """A ledger of a few lines."""
    ledger = opened(directory)
    ledger.contribute(cohort("abcd"), 0, "s")
    ledger.settle(1, 2, 0, "abc")
    ledger.contribute(cohort("abc", epoch=2), 0, "s")
    return (directory / "ledger").read_bytes()


def test_a_torn_line_is_none(tmp_path: Path) -> None:
    """However far it was written; the next one takes its place."""
    content = written(tmp_path)
    whole = content[: content.rstrip(b"\n").rfind(b"\n") + 1]
    for end in range(len(whole), len(content)):
        (tmp_path / "ledger").write_bytes(content[:end])
        (tmp_path / "ledger.head").write_bytes(whole.splitlines()[-1][:64])  # not told of it yet
        ledger = opened(tmp_path)
        assert fates(ledger) == {1: Fate.VOID}
        ledger.contribute(cohort("abc", epoch=2), 0, "s")
        assert fates(opened(tmp_path)) == {1: Fate.VOID, 2: Fate.RELEASED}
        assert (tmp_path / "ledger").read_bytes() == content


@settings(max_examples=200)
@given(st.data())
def test_damage_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte changed, any line left out or moved: the reason says which, and what to do."""
    directory = tmp_path_factory.mktemp("damaged")
    content = written(directory)
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
    (directory / "ledger").write_bytes(damaged)
    with pytest.raises(RefusedError, match=r"not whole.*line \d.*Restore it from a backup"):
        opened(directory)


def test_a_line_that_the_head_has_not_heard_of(tmp_path: Path) -> None:
    """A crash may come between the two files: the ledger is the first to be written."""
    lines = written(tmp_path).splitlines()
    for line in lines:
        (tmp_path / "ledger.head").write_bytes(line[:64])
        assert fates(opened(tmp_path)) == {1: Fate.VOID, 2: Fate.RELEASED}


def test_an_old_copy_is_refused(tmp_path: Path) -> None:
    """Each of its lines follows from those before; what came later is missing."""
    lines = written(tmp_path).splitlines(keepends=True)
    for kept in range(len(lines)):
        (tmp_path / "ledger").write_bytes(b"".join(lines[:kept]))
        with pytest.raises(RefusedError, match="it ends before the last contribution"):
            opened(tmp_path)


@pytest.mark.parametrize("file", ["ledger", "ledger.key", "ledger.head"])
def test_a_missing_file_is_refused(tmp_path: Path, file: str) -> None:
    """The other one says that there was a ledger; or other things do."""
    written(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(RefusedError, match="it is missing"):
        opened(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="it is missing"):
        opened(tmp_path / "empty", new=False)


def test_a_ledger_that_was_just_begun(tmp_path: Path) -> None:
    """Killed between its two files, the node begins it again."""
    (tmp_path / "ledger").touch()
    assert opened(tmp_path).steps == {}
    assert (tmp_path / "ledger.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "ledger.key").chmod(0o644)
    with pytest.raises(IdentityError, match="open to other users"):
        opened(tmp_path)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered that is not on disk, and later lines follow those that are."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abc"), 0, "s")

    def full(*_: object, **__: object) -> None:
        raise MachineError("the file can't be written", found="No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "append_durably", full)
        with pytest.raises(MachineError, match="No space left"):
            ledger.contribute(cohort("abc", epoch=2), 0, "s")
    assert fates(ledger) == {1: Fate.RELEASED}
    ledger.contribute(cohort("abc", epoch=3), 0, "s")
    assert fates(opened(tmp_path)) == {1: Fate.RELEASED, 3: Fate.RELEASED}


def test_a_killed_writer(tmp_path: Path) -> None:
    """Killed with -9 at any moment, whatever it had said to have written is there."""
    program = textwrap.dedent("""
        import sys, itertools
        from pathlib import Path
        from tests.security.disclosure.test_ledger import cohort, opened
        ledger = opened(Path(sys.argv[1]))
        for epoch in itertools.count(1):
            ledger.contribute(cohort("abcd", epoch=epoch), 0, "s")
            print(epoch, flush=True)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    said += [int(line) for line in rest if "\n" in line]
    assert set(fates(opened(tmp_path, new=False))) >= set(said)
