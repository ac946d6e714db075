"""Which groups of its rows a site gives: none so small that a sum gives its rows away.

A column divides the rows into those of each label, those without a value, and the rest. The sum
over all rows less the groups' sums is a sum over the rest, so the rest must not be small, either.
"""

from collections.abc import Mapping

__all__ = ["MISSING", "Group", "kept_groups"]

Group = str | None
MISSING = None
"""The group of the rows in which a column has no value."""


def kept_groups(
    rows: int, labels: Mapping[str, int], missing: int, fewest: int
) -> frozenset[Group]:
    """The groups that are told apart. While the rest is too small, the smallest group joins it.

    Args:
        rows: how many rows the site has.
        labels: how many rows have each label of the column.
        missing: how many rows have no value.
        fewest: how many rows each group must have, and the rest, unless it is empty.
    """
    groups: list[tuple[Group, int]] = [*labels.items(), (MISSING, missing)]
    kept = {group: size for group, size in groups if size >= fewest}
    while kept and 0 < rows - sum(kept.values()) < fewest:
        del kept[min(kept, key=lambda group: (kept[group], group or ""))]
    return frozenset(kept)
