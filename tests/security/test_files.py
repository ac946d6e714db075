"""Private files: whole or not at all, and for nobody else's eyes."""

import errno
import os
import stat
from pathlib import Path

import pytest

from edge_node.errors import IdentityError, MachineError
from edge_node.security.files import make_private_directory, read_private, write_atomically


def mode(path: Path) -> int:
    """Permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wanted", [0o600, 0o644])
def test_replace(tmp_path: Path, wanted: int) -> None:
    """A file is replaced with the mode asked for whatever the umask."""
    path = tmp_path / "key.pem"
    path.write_bytes(b"a longer old content")
    before = os.umask(0o077 if wanted == 0o644 else 0)
    try:
        write_atomically(path, b"n", b"ew", mode=wanted)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert mode(path) == wanted
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full disk leaves the old file and nothing else."""
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(MachineError, match="No space left") as caught:
        write_atomically(path, b"new")
    assert caught.value.where == str(path)
    assert "Free some space" in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_directory(tmp_path: Path) -> None:
    """A missing directory is named."""
    path = tmp_path / "missing" / "file"
    with pytest.raises(MachineError, match="Create the directory first") as caught:
        write_atomically(path, b"")
    assert caught.value.where == str(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_directory(tmp_path: Path) -> None:
    """An unwritable directory is named."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(MachineError, match="Make it writable"):
            write_atomically(tmp_path / "file", b"")
        with pytest.raises(MachineError, match="Make it writable"):
            make_private_directory(tmp_path / "directory")
    finally:
        tmp_path.chmod(0o700)


def test_private_directory(tmp_path: Path) -> None:
    """Directories are private also when they existed."""
    path = tmp_path / "a" / "identity"
    make_private_directory(path)
    assert mode(path) == 0o700
    path.chmod(0o755)
    make_private_directory(path)
    assert mode(path) == 0o700


def test_file_for_directory(tmp_path: Path) -> None:
    """A file in the place of a directory is refused."""
    path = tmp_path / "identity"
    path.write_bytes(b"")
    with pytest.raises(MachineError, match="Remove the file") as caught:
        make_private_directory(path)
    assert caught.value.where == str(path)
    assert path.is_file()


@pytest.mark.parametrize("open_mode", [0o640, 0o604, 0o620, 0o666])
def test_open_key(tmp_path: Path, open_mode: int) -> None:
    """A key that others may touch is refused."""
    path = tmp_path / "key.pem"
    path.write_bytes(b"key")
    path.chmod(open_mode)
    with pytest.raises(IdentityError, match=f"mode {open_mode:04o}") as caught:
        read_private(path, missing="")
    assert f"chmod 600 {path}" in caught.value.remedy
    path.chmod(0o600)
    assert read_private(path, missing="") == b"key"


def test_missing_key(tmp_path: Path) -> None:
    """A missing key comes with the remedy."""
    with pytest.raises(IdentityError, match=r"missing.*Enrol") as caught:
        read_private(tmp_path / "key.pem", missing="Enrol")
    assert caught.value.where == str(tmp_path / "key.pem")
    with pytest.raises(IdentityError, match="can't be read"):
        read_private(tmp_path, missing="Enrol")
