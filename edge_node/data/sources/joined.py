"""The rows of several sources, as one: what a machine would hold that had all of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_node.data.sources.source import Batch, Source

__all__ = ["JoinedRows"]


@dataclass(frozen=True)
class JoinedRows:
    """All rows of each source, one source after the other."""

    sources: tuple[Source, ...]

    def batches(self) -> Iterator[Batch]:
        """The sources' batches."""
        for source in self.sources:
            yield from source.batches()
