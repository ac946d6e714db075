"""The site column: an input that says where a row is from. Each node fills it with its own name.

Rows that already have the column keep it. So one file can hold the rows of several sites, and any
node can predict another site's rows.
"""

from collections.abc import Iterable

import msgspec

from edge_node.config import ColumnKind, DataSpec, load_node_config
from edge_node.config.paths import NodePaths
from edge_node.data.sources.schema import categorical_columns

__all__ = ["place_to_fill", "site_of", "without_site"]


def site_of(paths: NodePaths, data: DataSpec) -> str | None:
    """The node's name, where the schema has a column for it. Raises ConfigurationError."""
    return load_node_config(paths.config).name if data.site_column else None


def place_to_fill(data: DataSpec, names: Iterable[str], site: str | None) -> tuple[int, str] | None:
    """Where among the categorical columns the site's label is to be filled in, and the label."""
    if site is None or data.site_column is None or data.site_column in names:
        return None
    return [column.name for column in categorical_columns(data)].index(data.site_column), site


def without_site(data: DataSpec) -> DataSpec:
    """The schema of rows that lack the site column."""
    columns = tuple(each for each in data.columns if each.kind is not ColumnKind.SITE)
    return msgspec.structs.replace(data, columns=columns)
