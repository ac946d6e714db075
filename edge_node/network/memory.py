"""A federation in one process: any number of nodes as asyncio tasks, or one with all the rows.

The pooled reference, the simulations and most tests run the same program over it as the daemons
do over gRPC. Sums are taken in the same ring, so they are the same bytes. Nothing is masked:
nothing leaves the process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, reduce
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.base import CohortChanged, Network
from edge_node.network.wire import fixed_point
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian

__all__ = ["MemoryFederation", "MemoryNetwork"]

T = TypeVar("T")
Contribution = fixed_point.Words | bytes


class MemoryFederation:
    """Nodes that run one program together; the first of them, by name, is the root.

    Args:
        nodes: their names; one is enough.
        lost: which of them are lost on the way, each as it comes to a step; not all.
        completes: is told each step's name when the step is complete.

    Attributes:
        nodes: the names, ascending.
        present: those that are not lost so far.
        log: the completed steps in order, each with the bytes a node contributed to it at most.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        lost: Mapping[str, str] | None = None,
        *,
        completes: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not nodes or len(set(nodes)) != len(nodes):
            raise NetworkError(
                "a federation's nodes need distinct names", found=", ".join(nodes) or "no node"
            )
        self.nodes = self.present = tuple(sorted(nodes))
        self.log: list[tuple[str, int]] = []
        self._lost = dict(lost or {})
        self._completes = completes
        self._rounds: dict[int, _Round] = {}

    @property
    def sweeps(self) -> int:
        """How many steps are complete."""
        return len(self.log)

    def network(self, node: str) -> "MemoryNetwork":
        """One node's view. Raises NetworkError for a node of another federation."""
        if node not in self.nodes:
            raise NetworkError("no such node", expected=", ".join(self.nodes), found=repr(node))
        return MemoryNetwork(self, node)

    async def run(self, program: Callable[[Network], Awaitable[T]]) -> dict[str, T]:
        """Run the program once per node, and return the result of each that is not lost.

        The first failure ends all: it is raised as it is, and the other nodes are cancelled.
        """

        async def result(node: str) -> dict[str, T]:
            with suppress(_Lost):
                return {node: await program(self.network(node))}
            return {}

        tasks = [asyncio.ensure_future(result(node)) for node in self.nodes]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return {node: each for task in tasks for node, each in task.result().items()}

    async def exchange(self, node: str, sequence: int, step: str, own: Contribution) -> "_Round":
        """Give a node's contribution to a step, and wait for everybody's."""
        if self._lost.get(node) == step:
            self.present = tuple(each for each in self.present if each != node)
            self._complete_rounds()
            raise _Lost
        if sequence not in self._rounds:
            self._rounds[sequence] = _Round(step, asyncio.get_running_loop().create_future())
        current = self._rounds[sequence]
        current.give(node, step, own)
        self._complete_rounds()
        await asyncio.shield(current.complete)
        self._rounds.pop(sequence, None)  # nobody comes to it any more
        return current

    def _complete_rounds(self) -> None:
        for current in self._rounds.values():
            if not current.complete.done() and set(self.present) <= set(current.contributions):
                self.log.append((current.step, max(map(_size, current.contributions.values()))))
                current.complete.set_result(tuple(sorted(current.contributions)))
                self._completes(current.step)


class MemoryNetwork:
    """One node's view of a `MemoryFederation`; implements `edge_node.network.base.Network`."""

    def __init__(self, federation: MemoryFederation, node: str) -> None:
        self._federation = federation
        self._node = node
        self._cohorts: dict[str, tuple[str, ...]] = {}  # of the steps completed, in order

    @property
    def node(self) -> str:
        """The name of the node whose view it is."""
        return self._node

    @property
    def root(self) -> str:
        """The first node by name of those that are left."""
        return self._federation.present[0]

    def cohort(self, step: str) -> tuple[str, ...]:
        """Whose contributions a step holds that this node has completed. Raises NetworkError."""
        if step not in self._cohorts:
            raise NetworkError("the step is not complete", where=f"step {step}")
        return self._cohorts[step]

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """The sum of all nodes' vectors, in the ring. Raises NumericalError, NetworkError.

        With ``noise`` each node adds its share; nobody keeps a ledger of it.
        """
        if noise is not None:
            vector = noise.rounded(vector) + noise.share(len(self._federation.present))
        counted = self.cohort(cohort_of) if cohort_of else None
        completed = await self._exchange(step, fixed_point.encode(vector))
        if counted is not None and self.cohort(step) != counted:
            raise CohortChanged(step)
        return completed.total

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name."""
        contributions = (await self._exchange(step, data)).contributions
        return MappingProxyType(dict(sorted(contributions.items())))  # type: ignore[arg-type]

    async def _exchange(self, step: str, own: Contribution) -> "_Round":
        if step in self._cohorts:
            raise NetworkError("a step's name was used twice", where=f"step {step} at {self._node}")
        completed = await self._federation.exchange(self._node, len(self._cohorts), step, own)
        self._cohorts[step] = completed.complete.result()
        await asyncio.sleep(0)  # one node alone never waits for another: let an interrupt in
        return completed


class _Lost(Exception):
    """The node is lost: its program ends here."""


class _Round:
    """One step under way: who has contributed what; once it is complete, whose total it is."""

    def __init__(self, step: str, complete: asyncio.Future[tuple[str, ...]]) -> None:
        self.step = step
        self.complete = complete
        self.contributions: dict[str, Contribution] = {}

    def give(self, node: str, step: str, own: Contribution) -> None:
        if step != self.step:
            raise NetworkError(
                "the nodes' programs differ",
                where=f"node {node}",
                expected=f"step {self.step}",
                found=f"step {step}",
            )
        self.contributions[node] = own

    @cached_property
    def total(self) -> Vector:
        """The sum of vectors, taken once for all nodes."""
        words = {node: np.asarray(each) for node, each in self.contributions.items()}
        lengths = {node: len(each) for node, each in words.items()}
        if len(set(lengths.values())) > 1:
            raise NetworkError(
                "the nodes' vectors differ in length", where=f"step {self.step}", found=str(lengths)
            )
        total = fixed_point.decode(reduce(fixed_point.add, words.values()))
        total.setflags(write=False)
        self.contributions.clear()
        return total


def _size(contribution: Contribution) -> int:
    return len(contribution) if isinstance(contribution, bytes) else contribution.nbytes
