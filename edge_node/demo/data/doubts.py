"""Where a column may not be what it seems, and the ways out.

A federation's spec says which columns are numbers and which are labels. The demonstration has to
guess this from the cells, and one misread cell can turn a column of numbers into hundreds of
labels. So it refuses a doubtful column, and names the options that settle the question. If a
column is merely peculiar, it says so and goes on.
"""

import shlex
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_node.data.sources.cells import CellColumn, Mask
from edge_node.errors import DataError

__all__ = [
    "Way",
    "doubt_about",
    "doubt_about_labels",
    "doubt_about_numbers",
    "peculiarities",
    "ways_for_an_input",
]

_MOSTLY = 0.5  # a column is meant as numbers if this share of its cells looks like numbers
_MOST_LABELS = 100
_FEW_LABELS = 10  # so many are no sign of one label a row, however few rows there are
_FEW_TEXTS = 3  # so many different texts among numbers are named one by one
_FEWEST_REPEATS = 3  # of one number far from all others: a mark rather than a measurement
_FEWEST_ROWS = 10  # that are counted up by one: fewer may be so by chance
_LIKE_A_NUMBER = r"[-+]?\s?[$€£]?\s?\d[\d., ']*\s?[%$€£]?"
_MISSING = frozenset(
    {"?", "-", ".", "#n/a", "n/a", "na", "<na>", "nan", "nil", "none", "null", "missing", "unknown"}
)


@dataclass(frozen=True)
class Way:
    """A way out: an option of the command line, and what it does."""

    option: str
    effect: str

    def __str__(self) -> str:
        """For people."""
        return f"`{self.option}` ({self.effect})"


def ways_for_an_input(name: str) -> tuple[Way, ...]:
    """What settles any doubt about an input column."""
    column = shlex.quote(name)
    return (
        Way(f"--categorical {column}", "take each cell as a label"),
        Way(f"--ignore {column}", "leave the column out"),
    )


def doubt_about(path: Path, column: CellColumn, ways: Sequence[Way]) -> DataError | None:
    """Why a column with cells that are no numbers may be no column of labels; None: it is one.

    Args:
        path: the user's file.
        column: its cells.
        ways: what settles the question.
    """
    return (
        doubt_about_numbers(path, column, ways)
        or doubt_about_labels(path, column, ways)
        or _twins(path, column, ways)
    )


def doubt_about_numbers(
    path: Path, column: CellColumn, ways: Sequence[Way], *, share: float = _MOSTLY
) -> DataError | None:
    """Some cells are no numbers, though at least ``share`` of them look like numbers."""
    wrong = column.present & ~column.is_number
    alike = column.is_number | (column.matches(_LIKE_A_NUMBER) & ~column.is_time)
    cells = int(column.present.sum())
    if not wrong.any() or alike.sum() < share * cells:
        return None
    row, text = column.first(wrong)
    others = int(wrong.sum()) - 1
    more = f" and {others} other{'s' * (others > 1)}" if others else ""
    return DataError(
        "a column of numbers has cells that can't be read as numbers",
        where=f"{path}: column {column.name!r}, row {row}",
        expected="numbers such as -1234.5, and empty cells where one is missing",
        found=f"{text[:80]!r}{more} among {cells} cells",
        remedy=_remedy("Correct the file", (*_missing_texts(column, wrong), *ways)),
    )


def _missing_texts(column: CellColumn, wrong: Mask) -> Iterator[Way]:
    """Options that read each of a few texts as a missing cell."""
    texts = list(column.taken(wrong & ~column.matches(_LIKE_A_NUMBER)).labels)
    if 0 < len(texts) <= _FEW_TEXTS:
        options = " ".join(f"--missing {shlex.quote(text[:80])}" for text in texts)
        yield Way(options, "read such a cell as missing")


def doubt_about_labels(path: Path, column: CellColumn, ways: Sequence[Way]) -> DataError | None:
    """The column has very many labels, or nearly as many as rows."""
    labels, rows = column.labels, int(column.present.sum())
    own = len(labels) > max(_FEW_LABELS, rows / 2)
    if not own and len(labels) <= _MOST_LABELS:
        return None
    examples = ", ".join(repr(label[:40]) for label in list(labels)[:3])
    row, _ = column.first(column.present)
    return DataError(
        "nearly every row has a label of its own" if own else "the column has very many labels",
        where=f"{path}: column {column.name!r}, row {row}",
        expected=f"numbers, or at most {_MOST_LABELS} labels that rows share",
        found=f"{len(labels)} labels in {rows} rows, for example {examples}",
        remedy=_remedy("Correct the file", ways),
    )


def _twins(path: Path, column: CellColumn, ways: Sequence[Way]) -> DataError | None:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in column.labels:
        groups[" ".join(unicodedata.normalize("NFKC", label).casefold().split())].append(label)
    twins = next((group for group in groups.values() if len(group) > 1), None)
    if twins is None:
        return None
    rare = twins[-1]  # labels come with the most frequent first
    row, _ = column.first(_equals(column, rare))
    return DataError(
        "labels differ only in upper and lower case, or in space",
        where=f"{path}: column {column.name!r}, row {row}",
        expected="one spelling of each label",
        found=" and ".join(f"{each!r} ({column.labels[each]})" for each in twins),
        remedy=_remedy("Correct the file", ways),
    )


def _remedy(first: str, ways: Sequence[Way]) -> str:
    *others, last = map(str, ways)
    return f"{first}, or give {', '.join(others)}{' or ' if others else ''}{last}"


def peculiarities(column: CellColumn, *, numeric: bool) -> list[str]:
    """What a person should know of a column that is taken as it is."""
    found = _numeric_peculiarities(column) if numeric else _label_peculiarities(column)
    return list(found)


def _numeric_peculiarities(column: CellColumn) -> Iterator[str]:
    known = column.numbers[np.isfinite(column.numbers)]
    values, counts = np.unique(known, return_counts=True)
    if len(values) < 4:  # too few for the rest to have a range
        return
    for end, nearest, others in (
        (0, 1, values[-1] - values[1]),
        (-1, -2, values[-2] - values[0]),
    ):
        if counts[end] >= _FEWEST_REPEATS and abs(values[end] - values[nearest]) > others:
            _, text = column.first(column.numbers == values[end])
            yield (
                f"column {column.name!r} has {text} in {counts[end]} rows, far from all other "
                f"numbers; if it means a missing value, give `--missing {shlex.quote(text)}`"
            )
    if len(values) == len(column.rows) >= _FEWEST_ROWS and np.all(np.diff(values) == 1):
        yield (
            f"column {column.name!r} numbers the rows; if it says nothing else, give "
            f"`--ignore {shlex.quote(column.name)}`"
        )


def _label_peculiarities(column: CellColumn) -> Iterator[str]:
    for label, rows in column.labels.items():
        if label.casefold() in _MISSING:
            yield (
                f"column {column.name!r} has the label {label!r} in {rows} rows; if it means a "
                f"missing value, give `--missing {shlex.quote(label)}`"
            )


def _equals(column: CellColumn, label: str) -> Mask:
    return np.array([text == label for text in column.text.to_pylist()])
