"""NumPy archives without pickles: written whole, and refused where they are damaged."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_node.errors import DataError
from edge_node.security.files import write_atomically

__all__ = ["FORMAT", "read_archive", "refusing_damage", "write_archive"]

FORMAT = 6
"""The version of a model's archive."""


def write_archive(path: Path, arrays: Mapping[str, Any]) -> None:
    """Replace the file at ``path`` atomically. Raises MachineError."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays, by name, of finite numbers. Raises what NumPy raises: see `refusing_damage`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"numbers of {name!r} that are not finite")
    return arrays


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
    except DataError:
        raise
    except Exception as error:  # NumPy, zipfile, LAPACK: each has errors of its own
        raise DataError(
            "the posterior file is damaged or of another version",
            where=str(path),
            expected=f"a model of format {FORMAT}",
            found=str(error),
            remedy="Delete it; the node learns it again in the next run",
        ) from error
