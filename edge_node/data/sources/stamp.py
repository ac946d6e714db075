"""Whether a file is still the one that was checked.

A run passes over its rows again and again, and each pass must see the same rows: a file that was
replaced or has grown in between would give sums that belong to no data at all.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from edge_node.errors import DataError

__all__ = ["Stamp", "changed", "check_file"]


def check_file(path: Path) -> None:
    """Raise DataError if there is no file that can be read."""
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises below a locked folder
        raise DataError(
            "no such file",
            where=str(path),
            found="a folder" if os.path.isdir(path) else "",  # noqa: PTH112
            remedy="Check the path",
        )
    if not os.access(path, os.R_OK):
        raise DataError("the file can't be read", where=str(path), remedy="Check who may read it")


@dataclass(frozen=True)
class Stamp:
    """A file's size in bytes, and when it was last written, in nanoseconds since 1970."""

    size: int
    written: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file's present stamp. Raises DataError if the file can't be read."""
        try:
            facts = path.stat()
        except OSError as error:
            raise DataError(
                "the file can't be read",
                where=str(path),
                found=error.strerror or str(error),
                remedy="Check the path, and who may read it",
            ) from error
        return cls(facts.st_size, facts.st_mtime_ns)

    def check(self, path: Path) -> None:
        """Raise DataError if the file's stamp has changed."""
        now = Stamp.of(path)
        if now != self:
            raise changed(path, expected=str(self), found=str(now))

    def __str__(self) -> str:
        """For people."""
        written = datetime.fromtimestamp(self.written / 1e9, UTC)
        return f"{self.size} bytes of {written:%Y-%m-%d %H:%M:%S.%f}"


def changed(path: Path, *, expected: str, found: str) -> DataError:
    """The error for a file that is not the one that was checked."""
    return DataError(
        "the file has changed since it was checked",
        where=str(path),
        expected=expected,
        found=found,
        remedy="Leave it as it is during a run; start the node again to use the new rows",
    )
