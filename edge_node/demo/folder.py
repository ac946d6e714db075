"""The folder that a demonstration writes to."""

from pathlib import Path

from edge_node.errors import MachineError

__all__ = ["make_folder"]


def make_folder(path: Path, name: str) -> None:
    """Make the folder, and see whether the file of that name can be written; none is left there.

    Raises:
        MachineError: it can't be written.
    """
    file = path / name
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        file.touch()
        if is_new:
            file.unlink()
    except OSError as error:
        raise MachineError(
            "the report folder can't be written",
            where=str(path),
            found=error.strerror or str(error),
            remedy="Choose another folder with --report",
        ) from error
