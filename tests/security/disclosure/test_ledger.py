"""What the ledger remembers, through crashes and restarts, and what damage it doesn't overlook."""

import hashlib
from pathlib import Path

import pytest

from edge_node.errors import IdentityError, MachineError, RefusedError
from edge_node.security import chained_log
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.contribution import (
    NOTHING,
    Beginning,
    Contribution,
    Fate,
    Telling,
)
from edge_node.security.disclosure.ledger import Ledger
from edge_node.step import Content, Step


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
    return {each.epoch: each.fate for each in ledger.steps.get(Step(step), ())}


def test_what_was_contributed_is_remembered(tmp_path: Path) -> None:
    """With cohort and consents, in another process as in this one."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abC"), 0, Step("s"))
    ledger.contribute(cohort("abC"), 1, Step("t"))
    ledger.contribute(cohort("abcd", run=2, epoch=3, root="b"), 0, Step("s"))
    for each in (ledger, opened(tmp_path, new=False)):
        rows = {str(step): [c.row for c in found] for step, found in each.steps.items()}
        abc, abcd = cohort("abc").row, cohort("abcd").row
        assert rows == {"s": [abc, abcd], "t": [abc]}
        assert list(each.steps[Step("t")]) == [
            Contribution(Step("t"), 1, 1, 1, "a", abc, Fate.RELEASED)
        ]
        assert each.consents == dict.fromkeys("abcd", False)
        assert [each.newest_epoch(node) for node in "adx"] == [3, 3, 0]


def test_what_a_step_is_of_is_remembered(tmp_path: Path) -> None:
    """With its attempt: the text of a step says neither for certain."""
    steps = [Step("s", Content.COUNTS, 2), Step("t"), Step("u", attempt=1)]
    ledger = opened(tmp_path)
    for sequence, step in enumerate(steps):
        ledger.contribute(cohort("abc"), sequence, step)
    found = list(opened(tmp_path, new=False).steps)
    assert found == steps
    assert [each.content for each in found] == [each.content for each in steps]


def test_what_is_told_is_remembered(tmp_path: Path) -> None:
    """With what the run began with, in another process as in this one."""
    ledger = opened(tmp_path)
    claims = {
        node: Claim(version(), told=told) for node, told in zip("abc", (3, 4, 5), strict=True)
    }
    telling = Telling(820, 5285, b"digest of words", silent=False)
    step = Step("kmeans/0/sums", Content.PARTITION)
    ledger.contribute(Cohort(1, 1, "a", claims), 0, step, telling, b"basis")
    ledger.contribute(Cohort(1, 1, "a", claims), 1, Step("t"), NOTHING, b"basis")
    for each in (ledger, opened(tmp_path, new=False)):
        (told,) = each.steps[step]
        assert (told.telling, told.nodes) == (telling, frozenset("abc"))
        assert [known.step.content for known in each.life.contributions] == [
            Content.PARTITION,
            Content.STATISTICS,
        ]
        assert each.life.runs == {1: Beginning(b"basis", {"a": 3, "b": 4, "c": 5})}
        assert each.life.told() == 820


def test_repeating_it_adds_nothing(tmp_path: Path) -> None:
    """A node that restarts within an epoch contributes the same again."""
    opened(tmp_path).contribute(cohort("abc"), 0, Step("s"))
    size = (tmp_path / "ledger").stat().st_size
    again = opened(tmp_path)
    again.contribute(cohort("abc"), 0, Step("s"))
    assert (tmp_path / "ledger").stat().st_size == size


def test_a_lost_node(tmp_path: Path) -> None:
    """If the root is left, what wasn't completed is void; if not, the root may know the total."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcde", epoch=1), 0, Step("done"))
    ledger.contribute(cohort("abcde", epoch=1), 1, Step("s"))
    ledger.settle(1, 2, 1, "abcd")
    ledger.contribute(cohort("abcd", epoch=2), 1, Step("s"))
    ledger.settle(1, 3, 1, "bcd")
    ledger.contribute(cohort("bcd", epoch=3, root="b"), 1, Step("s"))
    for each in (ledger, opened(tmp_path)):
        assert fates(each) == {1: Fate.VOID, 2: Fate.ROOT, 3: Fate.RELEASED}
        assert fates(each, "done") == {1: Fate.RELEASED}


def test_another_run_settles_nothing(tmp_path: Path) -> None:
    """Nor does the same epoch again: whoever was lost may know a total."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcde"), 0, Step("s"))
    size = (tmp_path / "ledger").stat().st_size
    ledger.settle(2, 2, 0, "abcd")
    ledger.settle(1, 1, 0, "abcd")
    assert fates(ledger) == {1: Fate.RELEASED}
    assert (tmp_path / "ledger").stat().st_size == size


def test_consent_is_what_was_said_last(tmp_path: Path) -> None:
    """In a cohort, or when leaving."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abcd"), 0, Step("s"))
    ledger.consent("d")
    assert opened(tmp_path).consents["d"]
    ledger.contribute(cohort("abcd", epoch=2), 0, Step("s"))
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
    ledger.contribute(cohort("abcd"), 0, Step("s"))
    ledger.settle(1, 2, 0, "abc")
    ledger.contribute(cohort("abc", epoch=2), 0, Step("s"))
    return (directory / "ledger").read_bytes()


@pytest.mark.parametrize("damage", ["a byte", "an old copy"])
def test_a_damaged_ledger_is_refused(tmp_path: Path, damage: str) -> None:
    """As `tests/security/test_chained_log.py` has it; the reason says what to do."""
    content = written(tmp_path)
    assert fates(opened(tmp_path)) == {1: Fate.VOID, 2: Fate.RELEASED}  # the control
    lines = content.splitlines(keepends=True)
    changed = content.replace(b'"epoch":1', b'"epoch":3')
    damaged = changed if damage == "a byte" else b"".join(lines[:-1])
    (tmp_path / "ledger").write_bytes(damaged)
    with pytest.raises(RefusedError, match=r"not whole.*Restore it from a backup"):
        opened(tmp_path)


LINES = [
    b"",
    b"{}",
    b"\xff",
    b'{"type":"released"}',
    b'{"type":"cohort","members":{"a":{"version":"no base64"}}}',
    b'{"type":"consented","node":"a","more":1}',
]


@pytest.mark.parametrize("text", LINES)
def test_a_line_that_says_nothing_is_refused(tmp_path: Path, text: bytes) -> None:
    """Its chain is right: another version of the program may have written it."""
    written(tmp_path)
    ledger, head = tmp_path / "ledger", tmp_path / "ledger.head"
    lines = ledger.read_bytes().splitlines()
    for line, readable in ((b'{"type":"consented","node":"a"}', True), (text, False)):
        chain = hashlib.sha256(lines[-1][:64] + b" " + line).hexdigest().encode()
        ledger.write_bytes(b"\n".join([*lines, chain + b" " + line, b""]))
        head.write_bytes(chain)
        if readable:
            assert opened(tmp_path).consents["a"]
        else:
            with pytest.raises(RefusedError, match=rf"line {len(lines) + 1}: .*can't be read"):
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


def test_a_site_may_decide_to_begin_another(tmp_path: Path) -> None:
    """By removing ledger and key, as docs/operations.md says; the old head doesn't matter."""
    written(tmp_path)
    (tmp_path / "ledger").unlink()
    (tmp_path / "ledger.key").unlink()
    with pytest.raises(RefusedError, match="it is missing"):
        opened(tmp_path, new=False)
    assert opened(tmp_path).steps == {}
    opened(tmp_path).contribute(cohort("abc"), 0, Step("s"))
    assert fates(opened(tmp_path, new=False)) == {1: Fate.RELEASED}


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered that is not on disk, and later lines follow those that are."""
    ledger = opened(tmp_path)
    ledger.contribute(cohort("abc"), 0, Step("s"))

    def full(*_: object, **__: object) -> None:
        raise MachineError("the file can't be written", found="No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(chained_log, "append_durably", full)
        with pytest.raises(MachineError, match="No space left"):
            ledger.contribute(cohort("abc", epoch=2), 0, Step("s"))
    assert fates(ledger) == {1: Fate.RELEASED}
    ledger.contribute(cohort("abc", epoch=3), 0, Step("s"))
    assert fates(opened(tmp_path)) == {1: Fate.RELEASED, 3: Fate.RELEASED}
