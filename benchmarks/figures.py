"""Rows of figures: scores in units of the target's deviation, CSV files, Markdown tables."""

import csv
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from edge_node.arrays import Vector
from edge_node.inference.evaluation import metrics

__all__ = [
    "Row",
    "decimals",
    "markdown",
    "scaled_scores",
    "shortened",
    "wrapped",
    "write_csv",
]

Row: TypeAlias = dict[str, Any]

_WIDTH = 116


def scaled_scores(
    y: Vector, mean: Vector, sd: Vector, unit: float, half_width: Vector | None = None
) -> Row:
    """The scores of predictions (n,) of y (n,), all measured in ``unit``; ``half_width`` (n,) is
    that of 95 % intervals, None: a Gaussian's.
    """
    scaled = None if half_width is None else half_width / unit
    return metrics.regression_scores(y / unit, mean / unit, (sd / unit) ** 2, scaled)


def shortened(row: Row) -> Row:
    """Numbers to five digits."""
    return {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}


def write_csv(rows: Sequence[Row], path: Path, command: str) -> None:
    """The rows, under a comment with the command that makes them."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {command}\n")
        writer = csv.DictWriter(file, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(shortened, rows))


def decimals(value: float) -> str:
    """Three decimals, without a zero before them."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph in lines of the width that docs have; the lines after the first are indented."""
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
