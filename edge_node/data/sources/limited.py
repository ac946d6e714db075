"""Some of a source's rows: a private spec may limit how many a site takes part with."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_node.config import FederationSpec
from edge_node.data.sources.source import Batch, Source

__all__ = ["LimitedRows", "limited_rows"]


def limited_rows(source: Source, spec: FederationSpec) -> Source:
    """The rows with which a site takes part: all of them, or `privacy.rows_per_site`."""
    most = spec.privacy.rows_per_site if spec.privacy is not None else None
    return source if most is None else LimitedRows(source, most, spec.model.seed)


@dataclass(frozen=True)
class LimitedRows:
    """A limited number of a source's rows, taken from all over it; the same ones each time.

    A row is chosen by a hash of its place and the public seed. Neither its content nor chance
    decides, so that a restart contributes the same rows.

    Attributes:
        source: the source.
        most: how many rows at most.
        seed: the spec's.
    """

    source: Source
    most: int
    seed: int

    def batches(self) -> Iterator[Batch]:
        """The chosen rows, in the source's order; batches without any are empty."""
        chosen = self._chosen()
        start = 0
        for batch in self.source.batches():
            inside = chosen[(chosen >= start) & (chosen < start + len(batch))] - start
            target = None if batch.target is None else batch.target[inside]
            yield Batch(batch.numeric[inside], batch.categorical[inside], target)
            start += len(batch)

    def _chosen(self) -> NDArray[np.intp]:
        """The places of the chosen rows, ascending: those whose hashes are lowest."""
        rows = sum(len(batch) for batch in self.source.batches())
        key = hashlib.sha256(f"tangentmesh/v1/rows/{self.seed}".encode()).digest()
        hashes = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))
        order = np.argsort(hashes.random(rows), kind="stable")
        return np.sort(order[: self.most])
