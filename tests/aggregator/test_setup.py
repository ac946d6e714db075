"""`aggregator init`, all or nothing; and one process at a time in a directory."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator import setup
from aggregator.directory import draft
from aggregator.directory.config import load_config
from aggregator.directory.layout import Directory
from aggregator.registry.registry import Registry
from aggregator.server import serve
from edge_node.errors import ConfigurationError, MachineError
from edge_node.security.lock import locked
from edge_node.security.pki.authority import Authority
from edge_node.security.pki.identity import load_identity
from tests.aggregator.created import SPEC, create


def entries(path: Path) -> set[str]:
    """What is in a directory."""
    return {each.name for each in path.iterdir()}


def test_a_new_federation(tmp_path: Path, spec: Path) -> None:
    """Everything is in its place, belongs together, and nothing else is there."""
    facts = create(tmp_path / "deep" / "aggregator", spec)
    directory = Directory(tmp_path / "deep" / "aggregator")
    assert entries(directory.path) == {
        "aggregator.toml", "ca", "federation.toml", "identity", "lock", "registry.sqlite",
    }  # fmt: skip
    authority = Authority.load(directory.authority)
    assert facts["ca_fingerprint"] == authority.fingerprint.hex()
    assert load_identity(directory.identity, remedy="").ca_pem == authority.certificate_pem
    assert load_config(directory).hosts == ("localhost",)
    assert directory.spec.read_text() == SPEC
    assert directory.path.stat().st_mode & 0o777 == 0o700


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """The disk is full when the ``number``-th file is written; gives the files' descriptors."""
    tried: list[int] = []
    change_mode = os.fchmod

    def once(descriptor: int, mode: int) -> None:
        tried.append(descriptor)
        if len(tried) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        change_mode(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", once)
    return tried


@pytest.mark.parametrize("number", range(1, 9))
def test_a_full_disk(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Wherever it strikes nothing stays, not even the directories on the way; then it works."""
    with monkeypatch.context() as patch:
        tried = fail_at(patch, number)
        with pytest.raises(MachineError, match="No space left"):
            create(tmp_path / "deep" / "aggregator", spec)
        assert len(tried) == number
    assert entries(tmp_path) == {"spec.toml"}
    create(tmp_path / "deep" / "aggregator", spec)


def test_every_file_is_one_of_those(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above has stopped at each of them."""
    tried = fail_at(monkeypatch, 0)
    create(tmp_path / "aggregator", spec)
    assert len(tried) == 8


def fail(*_: object, **__: object) -> None:
    """Like a program that is interrupted here."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["issue_own", "save_config"])
def test_an_interrupt_leaves_what_was_there(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """An existing directory stays, with its other files and a spec that was there before."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "federation.toml").write_text(SPEC)
    with monkeypatch.context() as patch:
        patch.setattr(setup, where, fail)
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path, tmp_path / "federation.toml")
    assert entries(tmp_path) == {"spec.toml", "notes.txt", "federation.toml"}
    create(tmp_path, tmp_path / "federation.toml")
    assert (tmp_path / "federation.toml").read_text() == SPEC


@pytest.mark.parametrize("moved", range(5))
def test_a_kill_on_the_way(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    """Nothing can be undone then; but what is left is known for what it is, and replaced."""
    path = tmp_path / "aggregator"

    def die(*_: object, **__: object) -> None:
        shutil.copytree(path, tmp_path / "killed")  # what a kill would leave
        raise KeyboardInterrupt

    def stop(source: Path, target: Path, rename: Callable[..., Path] = Path.rename) -> Path:
        if len(entries(path) - {".init", "lock"}) == moved:
            die()
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        if moved == 4:
            patch.setattr(draft, "write_atomically", die)
        with pytest.raises(KeyboardInterrupt):
            create(path, spec)
    left = Directory(tmp_path / "killed")
    with pytest.raises(ConfigurationError, match="no aggregator in this directory"):
        load_config(left)
    facts = create(left.path, spec)
    assert not (left.path / ".init").exists()
    assert Authority.load(left.authority).fingerprint.hex() == facts["ca_fingerprint"]


def test_an_existing_federation(tmp_path: Path, spec: Path) -> None:
    """It is refused by its directory's name, and stays as it was."""
    path = tmp_path / "aggregator"
    create(path, spec)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(ConfigurationError, match=f"^{path}: there is a federation"):
        create(path, spec)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("part", ["ca", "identity", "registry.sqlite", "ports.json"])
def test_a_part_of_another_federation(tmp_path: Path, spec: Path, part: str) -> None:
    """A directory whose aggregator.toml is lost is not overwritten: its key made the members."""
    path = tmp_path / "aggregator"
    path.mkdir()
    (path / part).write_text("precious")
    with pytest.raises(ConfigurationError, match=f"^{path / part}: a part of another federation"):
        create(path, spec)
    assert entries(path) == {part}
    assert (path / part).read_text() == "precious"


def test_another_spec_in_the_directory(tmp_path: Path, spec: Path) -> None:
    """Somebody's federation.toml is not overwritten by another one."""
    (tmp_path / "federation.toml").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"federation\.toml: a part of another federation"):
        create(tmp_path, spec)
    assert (tmp_path / "federation.toml").read_text() == "mine"


def test_a_second_aggregator(tmp_path: Path, spec: Path) -> None:
    """It names the process that is there already, and takes nothing from it."""
    directory = Directory(tmp_path / "aggregator")
    create(directory.path, spec)
    program = (
        "import sys; from pathlib import Path\n"
        "from aggregator.directory.layout import Directory\n"
        "from edge_node.security.lock import locked\n"
        "path = Directory(Path(sys.argv[1])).lock\n"
        "with locked(path, who='aggregator'): print('locked', flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout.readline() == b"locked\n"
        with pytest.raises(MachineError, match=rf"found process {first.pid}\)") as caught:
            asyncio.run(serve(directory))
        assert caught.value.where == str(directory.path)
        with Registry.open(directory.registry) as registry:  # other commands may go on
            assert registry.nodes() == []
        first.kill()  # no farewell of any kind
    with locked(directory.lock, who="aggregator"):
        assert directory.lock.read_text() == f"{os.getpid()}\n"
