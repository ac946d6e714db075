"""A federation in one process: any number of nodes as asyncio tasks, or one with all the rows.

The pooled reference, the simulations and most tests run the same program over it as the daemons
do over gRPC. Sums are taken in the same ring, so they are the same bytes. Nothing is masked:
nothing leaves the process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from types import MappingProxyType
from typing import TypeVar, Unpack

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.base import (
    CohortChanged,
    Network,
    Steps,
    Terms,
    check_next,
    demanded_cohort,
    demanded_noise,
)
from edge_node.network.decision import Decider
from edge_node.network.wire.fixed_point import Limbs
from edge_node.network.wire.segments import Segments
from edge_node.step import Step

__all__ = ["MemoryFederation", "MemoryNetwork"]

T = TypeVar("T")


@dataclass(frozen=True)
class _Words:
    """A node's vector in the ring."""

    segments: Segments
    limbs: Limbs


Contribution = _Words | bytes


class MemoryFederation:
    """Nodes that run one program together; the first of them, by name, is the root.

    Args:
        nodes: their names; one is enough.
        lost: for nodes that are lost on the way, but not for all, the step at which each is lost.
        completes: is called with each step's name when the step is complete.
        sizes: each node's distinct rows, as `Network.sizes`; None: the nodes hide nothing.
        told: what each node's rows have told before, as `Network.told`.

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
        sizes: Mapping[str, int] | None = None,
        told: Mapping[str, int] | None = None,
    ) -> None:
        if not nodes or len(set(nodes)) != len(nodes):
            raise NetworkError(
                "a federation's nodes need distinct names", found=", ".join(nodes) or "no node"
            )
        self.nodes = self.present = tuple(sorted(nodes))
        self.log: list[tuple[str, int]] = []
        self._lost = dict(lost or {})
        self._sizes, self._told = dict(sizes or {}), dict(told or {})
        self._completes = completes
        self._rounds: dict[int, _Round] = {}

    def network(self, node: str) -> "MemoryNetwork":
        """One node's view. Raises NetworkError for a node of another federation."""
        if node not in self.nodes:
            raise NetworkError("no such node", expected=", ".join(self.nodes), found=repr(node))
        return MemoryNetwork(self, node)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Of the nodes that are present."""
        return {node: size for node, size in self._sizes.items() if node in self.present}

    @property
    def told(self) -> Mapping[str, int]:
        """Of the nodes that are present."""
        return {node: told for node, told in self._told.items() if node in self.present}

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
        self._rounds.pop(sequence, None)  # no node will ask for it again
        return current

    def _complete_rounds(self) -> None:
        for current in self._rounds.values():
            if not current.complete.done() and set(self.present) <= set(current.contributions):
                self.log.append((current.step, max(map(_size, current.contributions.values()))))
                current.root = self.present[0]
                current.complete.set_result(tuple(sorted(current.contributions)))
                self._completes(current.step)


class MemoryNetwork:
    """One node's view of a `MemoryFederation`; implements `edge_node.network.base.Network`."""

    def __init__(self, federation: MemoryFederation, node: str) -> None:
        self._federation = federation
        self._node = node
        self._steps: dict[Step, tuple[str, ...]] = {}
        self._decisions: dict[Step, Callable[[], bytes]] = {}

    @property
    def node(self) -> str:
        """The name of the node whose view it is."""
        return self._node

    @property
    def root(self) -> str:
        """The first node by name of those that are left."""
        return self._federation.present[0]

    @property
    def steps(self) -> Steps:
        """What this node's program has completed."""
        return MappingProxyType(self._steps)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The federation's."""
        return self._federation.sizes

    @property
    def told(self) -> Mapping[str, int]:
        """The federation's."""
        return self._federation.told

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """The sum of all nodes' vectors, in the ring. Raises NumericalError, NetworkError.

        With noise each node adds its share; nobody keeps a ledger of it.
        """
        check_next(step, self._steps, node=self._node, is_sum=True)
        if (noise := demanded_noise(step, terms)) is not None:
            noise.check(vector)
            vector = vector + noise.share(len(self._federation.present))
        demanded = demanded_cohort(self._steps, terms)
        segments = Segments.of(len(vector), terms.get("bounds"))
        own = _Words(segments, segments.encode(vector))
        completed = await self._exchange(step, own)
        if demanded is not None and self._steps[step] != demanded:
            self._steps[step] = ()
            raise CohortChanged(step)
        decider = Decider(terms.get("choose"))
        decision = await completed.decided(self._node, decider)
        self._decisions[step] = partial(decider.read, decision)
        return completed.total

    def decision(self, step: Step) -> bytes:
        """What the root has chosen from the total."""
        if step not in self._decisions:
            raise NetworkError("the step has no total", where=f"step {step} at {self._node}")
        return self._decisions[step]()

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name."""
        check_next(step, self._steps, node=self._node, is_sum=False)
        contributions = (await self._exchange(step, data)).contributions
        return MappingProxyType(dict(sorted(contributions.items())))  # type: ignore[arg-type]

    async def _exchange(self, step: Step, own: Contribution) -> "_Round":
        sequence = len(self._steps)
        completed = await self._federation.exchange(self._node, sequence, str(step), own)
        self._steps[step] = completed.complete.result()
        await asyncio.sleep(0)  # a node that is alone never waits: let an interrupt in
        return completed


class _Lost(Exception):
    """The node is lost: its program ends here."""


class _Round:
    """One step under way: who has contributed what; once it is complete, whose total it is."""

    def __init__(self, step: str, complete: asyncio.Future[tuple[str, ...]]) -> None:
        self.step = step
        self.complete = complete
        self.contributions: dict[str, Contribution] = {}
        self.root = ""  # once it is complete
        self._decision: asyncio.Future[bytes] = complete.get_loop().create_future()

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
        given = {n: each for n, each in self.contributions.items() if isinstance(each, _Words)}
        labels, words = {n: each.segments.label for n, each in given.items()}, [*given.values()]
        if len(set(labels.values())) > 1:
            raise NetworkError(
                "the nodes' vectors differ in length or scale",
                where=f"step {self.step}",
                found=str(labels),
            )
        segments = words[0].segments
        limbs = reduce(segments.add, (each.limbs for each in words))
        total = segments.decode(limbs, len(words))
        total.setflags(write=False)
        self.contributions.clear()
        return total

    async def decided(self, node: str, decider: Decider) -> bytes:
        """What the root has decided, which waits for nobody."""
        if node == self.root:
            self._decision.set_result(decider.decide(self.total))
        return await asyncio.shield(self._decision)


def _size(contribution: Contribution) -> int:
    if isinstance(contribution, bytes):
        return len(contribution)
    return contribution.segments.bytes
