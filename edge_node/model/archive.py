"""NumPy archives without pickles: written whole, and refused where they are damaged."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node.errors import DataError
from edge_node.security.files import write_atomically

__all__ = ["FORMAT", "read_archive", "refusing_damage", "write_archive"]

FORMAT = 5
"""The version of a model's archive."""

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    msgspec.MsgspecError,
)


def write_archive(path: Path, arrays: Mapping[str, Any]) -> None:
    """Replace the file at ``path`` atomically. Raises MachineError."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays, by name. Raises what NumPy raises: see `refusing_damage`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@contextmanager
def refusing_damage(path: Path) -> Iterator[None]:
    """Whatever a missing, damaged or foreign file raises inside, as a DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            "this node holds no posterior yet",
            where=str(path),
            remedy="Run `edge-node run` until `edge-node status` says complete",
        ) from error
    except _DAMAGE as error:
        raise DataError(
            "the posterior file is damaged or of another version",
            where=str(path),
            expected=f"a model of format {FORMAT}",
            found=str(error),
            remedy="Delete it; the node learns it again in the next run",
        ) from error
