"""How many distinct rows a site takes part with."""

from edge_node.config import DataSpec, FederationSpec, Floors, SitePolicy
from edge_node.data.sources.copies import DistinctRows
from edge_node.data.sources.rare_classes import without_rare_classes
from edge_node.data.sources.source import Source

__all__ = ["distinct_rows", "distinct_rows_given"]


def distinct_rows(source: Source, data: DataSpec) -> int:
    """At least how many distinct rows a source has, as `data` describes them.

    Raises:
        DataError: the source can't be read any more.
    """
    rows = DistinctRows()
    for batch in source.batches():
        rows.add(batch)
    return rows.count


def distinct_rows_given(source: Source, spec: FederationSpec, policy: SitePolicy) -> int:
    """At least how many distinct rows a site takes part with: what it signs, and what it counts.

    Raises:
        DataError: the source can't be read any more.
    """
    fewest = Floors.of(spec, policy).category
    return distinct_rows(without_rare_classes(source, spec.data, fewest), spec.data)
