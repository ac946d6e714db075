"""Bytes on a tree edge against the least possible.

The figure is what a leaf sends to its parent in a whole run of real processes over mutual TLS, as
gRPC hands it to HTTP/2: every step, claims and masking keys. The limit is a masked word for each
number that the node contributes to the run's sums: 8 bytes where a bound on the total is known, and
16 elsewhere.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Unpack

import msgspec

from benchmarks.federations import regression_spec, write_rows
from benchmarks.result import result
from edge_node.arrays import Vector
from edge_node.config import Floors
from edge_node.data.sources.source import open_source
from edge_node.demo.federation import LocalFederation
from edge_node.network.base import Terms
from edge_node.network.memory import MemoryFederation, MemoryNetwork
from edge_node.network.wire.segments import Segments
from edge_node.program import infer
from edge_node.program.simulation import sizes_signed
from edge_node.step import Step

__all__ = ["measure_wire"]

_NODES = 3
_DEADLINE = 600.0
_MOST_TOLD = 1000.0  # numbers per cell: so that messages are as large as the landmarks make them


def measure_wire(rows: int, landmarks: int) -> dict[str, Any]:
    """Bytes in one direction over one edge of a tree of three nodes."""
    spec = msgspec.structs.replace(regression_spec(landmarks, _NODES), most_told=_MOST_TOLD)
    with tempfile.TemporaryDirectory() as folder:
        files, _ = write_rows(Path(folder), rows, _NODES)
        with LocalFederation(Path(folder) / "federation", spec, files) as federation:
            federation.start()
            statuses = federation.wait_complete(deadline=_DEADLINE)
            parents = federation.topology().parents
        leaf = next(n for n, p in parents.items() if p and n not in parents.values())
        sources = {name: open_source(file, spec.data) for name, file in files.items()}
        tally = _Tally(list(files), sizes=sizes_signed(spec, sources, Floors.of(spec)))
        asyncio.run(tally.run(lambda network: infer(network, sources[network.node], spec)))
    return result(
        "wire",
        statuses[leaf].bytes_sent,
        tally.bytes,
        "bytes",
        rows=rows,
        landmarks=landmarks,
        nodes=_NODES,
    )


class _Tally(MemoryFederation):
    """Counts the bytes of the words that one node contributes to sums; gathers don't count."""

    bytes = 0

    def network(self, node: str) -> MemoryNetwork:
        network = super().network(node)
        sum_ = network.sum

        async def counted(step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
            if node == self.nodes[0]:
                self.bytes += Segments.of(len(vector), terms.get("bounds")).bytes
            return await sum_(step, vector, **terms)

        network.sum = counted  # type: ignore[method-assign]
        return network
