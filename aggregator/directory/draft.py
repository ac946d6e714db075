"""A new aggregator's directory comes into being wholly or not at all.

Everything is written into ``.init/`` below it, moved to its place, and sealed by aggregator.toml,
which is written last. Whatever fails on the way is undone. A process that is killed on the way
leaves ``.init/`` and no aggregator.toml, which tells the next one that the rest is no federation.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aggregator.directory.layout import Directory
from edge_node.errors import ConfigurationError, MachineError
from edge_node.security.files import make_private_directory, write_atomically
from edge_node.security.lock import locked

__all__ = ["drafted"]

_DRAFT = ".init"


@contextmanager
def drafted(directory: Directory, spec: bytes) -> Iterator[Directory]:
    """A place to write a federation to, spec and configuration included; at the end it is moved.

    Args:
        directory: where it will be; it is made if it is missing.
        spec: what ``federation.toml`` will hold; the same file may be there already.

    Raises:
        ConfigurationError: there is a federation, or something that would be overwritten.
        MachineError: the directory can't be written, or is being worked in.
    """
    check_free(directory, spec)
    made = _missing(directory.path)
    try:
        make_private_directory(directory.path)
        with locked(directory.lock, who="aggregator"):
            check_free(directory, spec)
            with _undone(directory, keep_spec=directory.spec.exists()):
                draft = Directory(directory.path / _DRAFT)
                _remove(draft.path)
                make_private_directory(draft.path)
                yield draft
                _move(draft, directory)
    except BaseException:
        for path in made:
            with suppress(OSError):
                path.rmdir()
        raise


def check_free(directory: Directory, spec: bytes) -> None:
    """Check that a federation may be created here. Raises ConfigurationError."""
    if directory.config.exists():
        raise ConfigurationError(
            "there is a federation in this directory already",
            where=str(directory.path),
            remedy="Use another --dir; a federation's spec can't be changed under its nodes",
        )
    taken = [] if (directory.path / _DRAFT).exists() else _parts(directory)
    if directory.spec.exists() and directory.spec.read_bytes() != spec:
        taken.append(directory.spec)
    for path in taken:
        if path.exists():
            raise ConfigurationError(
                "a part of another federation is in this directory",
                where=str(path),
                remedy="Use another --dir, or move it away",
            )


def _parts(directory: Directory) -> list[Path]:
    """What belongs to a federation and to nothing else."""
    return [directory.authority, directory.identity, directory.registry, directory.ports]


def _missing(path: Path) -> list[Path]:
    """The directories that have to be made, the deepest first."""
    return [each for each in (path, *path.parents) if not each.exists()]


@contextmanager
def _undone(directory: Directory, *, keep_spec: bool) -> Iterator[None]:
    """Remove what was begun if it isn't finished."""
    try:
        yield
    except BaseException:
        for path in (*_parts(directory), *([] if keep_spec else [directory.spec])):
            _remove(path)
        _remove(directory.path / _DRAFT)
        _remove(directory.lock)
        raise


def _move(draft: Directory, directory: Directory) -> None:
    try:
        for path in (*_parts(draft), draft.spec):
            if path.exists():
                target = directory.path / path.name
                _remove(target)
                path.rename(target)
        write_atomically(directory.config, draft.config.read_bytes(), mode=0o644)
    except OSError as error:
        raise MachineError(
            "the federation can't be moved to its place",
            where=str(directory.path),
            found=error.strerror or str(error),
            remedy="Check that the directory is on one file system, and writable",
        ) from error
    _remove(draft.path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
