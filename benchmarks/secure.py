"""A secure sum against a plain one: bytes, wall time, processor time.

The plain sum exists here only: float64 numbers, 8 bytes each, added along the same tree, over the
same mutual TLS, with the same records on disk. Both sums are of a node's statistics, m (m + 1) / 2
+ m + 5 numbers, of whose totals a bound is known, as the trace of a kernel matrix is. All nodes run
in this process, so wall times are those of one machine that does everybody's work. A *round* is
what all sites do for one total: the statistics of their rows (timed for one site, times their
number), then the sum.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from aggregator.planning.tree import draw_tree
from benchmarks.result import result
from benchmarks.statistics import measure_statistics
from edge_node.arrays import Vector
from edge_node.federation.plan import Plan
from edge_node.network.base import Terms
from edge_node.network.epoch.guard import Unguarded
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.operation import Kind, Operation
from edge_node.security.pki.authority import Authority
from edge_node.step import Step
from tests.support.mesh import Mesh

__all__ = ["measure_secure"]

_BYTES_LIMIT, _WALL_LIMIT, _NODES = 1.02, 1.3, 10
_WARM_UP = 2  # sums: connections, keys, first use of memory


def measure_secure(landmarks: int, nodes: Sequence[int], rows: int, repeats: int) -> dict[str, Any]:
    """What a secure sum costs beside a plain one, for each number of nodes.

    ``bytes_ratio`` and ``wall_ratio`` are those of ten nodes, or of the first number asked for.
    ``bytes_ratio`` counts all tree edges in both directions, and everything that an epoch with one
    sum needs, masking keys included. ``wall_ratio`` is over a round. ``transport_wall_ratio`` and
    ``transport_cpu_ratio`` are over the sum alone, by the best of interleaved repeats.
    """
    statistics = measure_statistics(rows, landmarks, 2)["figure"]
    length = landmarks * (landmarks + 1) // 2 + landmarks + 5
    results = [_measure(length, count, rows, repeats, statistics) for count in nodes]
    told = next((each for each in results if each["nodes"] == _NODES), results[0])
    ratios = {name: told[name] for name in ("nodes", "bytes_ratio", "wall_ratio")}
    return {"benchmark": "secure", **ratios, "results": results}


def _measure(length: int, nodes: int, rows: int, repeats: int, statistics: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        secure, plain = asyncio.run(_costs(Path(folder), length, nodes, repeats))
    return result(
        "secure",
        nodes * statistics + secure.wall,
        _WALL_LIMIT * (nodes * statistics + plain.wall),
        "s",
        nodes=nodes,
        numbers=length,
        rows=rows,
        repeats=repeats,
        bytes_ratio=secure.bytes / plain.bytes,
        bytes_limit=_BYTES_LIMIT,
        wall_ratio=(nodes * statistics + secure.wall) / (nodes * statistics + plain.wall),
        transport_wall_ratio=secure.wall / plain.wall,
        transport_cpu_ratio=secure.cpu / plain.cpu,
        statistics_seconds=statistics,
        secure_seconds=secure.wall,
        plain_seconds=plain.wall,
        secure_cpu_seconds_a_node=secure.cpu / nodes,
        plain_cpu_seconds_a_node=plain.cpu / nodes,
        secure_bytes=secure.bytes,
        plain_bytes=plain.bytes,
    )


@dataclass(frozen=True)
class _Cost:
    """Of one sum over the cohort: seconds, processor seconds of all nodes, bytes on all edges."""

    wall: float
    cpu: float
    bytes: int


async def _costs(folder: Path, length: int, nodes: int, repeats: int) -> tuple[_Cost, _Cost]:
    """The secure sum's and the plain one's, taken in turn."""
    authority = Authority.create(folder / "ca", "benchmark")
    async with AsyncExitStack() as stack:
        federations = []
        for kind in (TreeNetwork, _PlainNetwork):
            mesh = await stack.enter_async_context(Mesh(authority, folder / kind.__name__))
            federations.append(await _Federation.start(mesh, kind, nodes, length))
        turns = [
            [await each.sum(Step(f"s{number}")) for each in federations]
            for number in range(_WARM_UP + repeats)
        ]
    secure, plain = zip(*turns[_WARM_UP:], strict=True)
    first_secure, first_plain = turns[0]
    return _best(secure, first_secure.bytes), _best(plain, first_plain.bytes)


def _best(costs: Sequence[_Cost], bytes_of_an_epoch: int) -> _Cost:
    return _Cost(min(c.wall for c in costs), min(c.cpu for c in costs), bytes_of_an_epoch)


class _Federation:
    """Nodes of one kind, along the tree that the aggregator would draw."""

    def __init__(self, mesh: Mesh, networks: Sequence[TreeNetwork], vectors: Vector) -> None:
        self._mesh, self._networks, self._vectors = mesh, networks, vectors
        self._bound = float(np.abs(vectors).sum(axis=0).max())

    @classmethod
    async def start(
        cls, mesh: Mesh, kind: type[TreeNetwork], nodes: int, length: int
    ) -> "_Federation":
        names = [f"n{i:02d}" for i in range(nodes)]
        tree = draw_tree(names, ())
        assert tree is not None  # noqa: S101 - everybody can be dialled
        await mesh.start(names)
        mesh.offer(mesh.plan(1, {tree.root: "", **tree.parents}))
        networks = [
            kind(
                run=1,
                identity=lambda identity=peer.identity: identity,  # type: ignore[misc]
                feed=peer.feed,
                store=peer.store,
                board=peer.board,
                link=peer.link,
                guard=Unguarded(),
            )
            for peer in mesh.peers.values()
        ]
        return cls(mesh, networks, np.random.default_rng(0).normal(size=(nodes, length)))

    async def sum(self, step: Step) -> _Cost:
        """The cost of one sum of everybody's vector; checked against NumPy's."""
        before, wall, cpu = self._bytes(), time.perf_counter(), time.process_time()
        totals = await asyncio.gather(
            *(
                n.sum(step, v, bounds=[(len(v), self._bound)])
                for n, v in zip(self._networks, self._vectors, strict=True)
            )
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        np.testing.assert_allclose(totals[-1], self._vectors.sum(axis=0), rtol=1e-9, atol=1e-12)
        return _Cost(wall, cpu, self._bytes() - before)

    def _bytes(self) -> int:
        edges = (e for p in self._mesh.peers.values() for e in p.traffic.edges.values())
        return sum(edge.sent for edge in edges)


class _PlainNetwork(TreeNetwork):
    """Float64 numbers on the wire, for everybody to read; sums depend on the tree's order."""

    async def sum(self, step: Step, vector: Vector, **_: Unpack[Terms]) -> Vector:
        sequence, payload = len(self.steps), vector.tobytes()
        await asyncio.to_thread(self.records.keep_contribution, sequence, payload)

        async def message(_plan: Plan, _operation: Operation) -> tuple["_PlainSum", bytes, None]:
            return _PlainSum(len(payload)), payload, None

        record = await self._complete(step, Kind.KIND_SUM, message)
        return np.frombuffer(record.payload)


@dataclass(frozen=True)
class _PlainSum:
    """Adds numbers; ``length`` is the payload's, in bytes."""

    length: int

    def limit(self, nodes: int) -> int:
        return self.length

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        assert len(payload) == self.length  # noqa: S101 - all nodes are ours

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        return sum(map(np.frombuffer, payloads), np.zeros(self.length // 8)).tobytes()
