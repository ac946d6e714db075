"""Which groups of rows have an input of their own: none so small that a sum gives its rows away.

A column divides the rows into those of each label, those without a value, and the rest. Sums over
all rows less sums over groups are sums over the rest: so it must not be small, either.
"""

from collections.abc import Mapping

__all__ = ["MISSING", "Group", "kept_groups"]

Group = str | None
MISSING = None
"""The group of the rows in which a column has no value."""


def kept_groups(
    rows: int, labels: Mapping[str, int], missing: int, fewest: int
) -> frozenset[Group]:
    """The groups that are told apart; the smallest joins the rest, as long as that is too small.

    Args:
        rows: of the federation.
        labels: of the column, with their rows.
        missing: rows without a value.
        fewest: rows that each group, and the rest unless it is empty, must have.
    """
    groups: list[tuple[Group, int]] = [*labels.items(), (MISSING, missing)]
    kept = {group: size for group, size in groups if size >= fewest}
    while kept and 0 < rows - sum(kept.values()) < fewest:
        del kept[min(kept, key=lambda group: (kept[group], group or ""))]
    return frozenset(kept)
