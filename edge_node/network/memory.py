"""A federation in one process: any number of nodes as asyncio tasks, or one with all the rows.

The pooled reference, the simulations and most tests run the same program over it as the daemons
do over gRPC. Sums are taken in the same ring, so they are the same bytes. Nothing is masked:
nothing leaves the process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Self, TypeVar, Unpack

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
from edge_node.network.shared import Shared
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

    @classmethod
    def of(cls, vector: Vector, bounds: Sequence[tuple[int, float | None]] | None) -> Self:
        segments = Segments.of(len(vector), bounds)
        return cls(segments, segments.encode(vector))


Contribution = _Words | bytes


class MemoryFederation:
    """Nodes that run one program together; the first of them, by name, is the root.

    Args:
        nodes: their names; one is enough.
        lost: for nodes that are lost on the way, but not for all, the step at which each is lost.
        completes: is called with each step's name when the step is complete.
        sizes: each node's distinct rows, as `Network.sizes`; None: the nodes hide nothing.
        told: what each node's rows have told before, as `Network.told`.
        shares: whether what all nodes compute alike is computed once for all (`Network.once`).
            False: each computes for itself, so that nodes which come apart are found out.

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
        shares: bool = False,
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
        self._shared = Shared() if shares else None

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

    def exchange(
        self, node: str, sequence: int, step: str, own: Contribution
    ) -> Awaitable["_Round"]:
        """Give a node's contribution to a step; what comes back waits for everybody's."""
        if self._lost.get(node) == step:
            self.present = tuple(each for each in self.present if each != node)
            self._complete_rounds()
            raise _Lost
        if sequence not in self._rounds:
            self._rounds[sequence] = _Round(step, asyncio.get_running_loop().create_future())
        self._rounds[sequence].give(node, step, own)
        self._complete_rounds()
        return self._completed(sequence)

    async def _completed(self, sequence: int) -> "_Round":
        current = self._rounds[sequence]
        await asyncio.shield(current.complete)
        self._rounds.pop(sequence, None)  # no node will ask for it again
        return current

    def _complete_rounds(self) -> None:
        for current in self._rounds.values():
            if not current.complete.done() and set(self.present) <= set(current.given):
                self.log.append((current.step, max(current.given.values())))
                current.root = self.present[0]
                current.complete.set_result(tuple(sorted(current.given)))
                if self._shared:
                    self._shared.forget()
                self._completes(current.step)

    def once(self, index: int, compute: Callable[[], T]) -> T:
        """What the nodes ask for as number ``index`` since the last step."""
        return self._shared.value(index, compute) if self._shared else compute()


class MemoryNetwork:
    """One node's view of a `MemoryFederation`; implements `edge_node.network.base.Network`."""

    def __init__(self, federation: MemoryFederation, node: str) -> None:
        self._federation = federation
        self._node = node
        self._steps: dict[Step, tuple[str, ...]] = {}
        self._decisions: dict[Step, Callable[[], bytes]] = {}
        self._asked = 0  # values since the last step

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
        completed = await self._exchange(step, _Words.of(vector, terms.get("bounds")))
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
        gathered = (await self._exchange(step, data)).gathered
        return MappingProxyType(dict(sorted(gathered.items())))

    def once(self, compute: Callable[[], T]) -> T:
        """What all nodes compute alike: here, by the first that asks, if the federation shares."""
        self._asked += 1
        return self._federation.once(self._asked - 1, compute)

    def _exchange(self, step: Step, own: Contribution) -> Awaitable["_Round"]:
        """Not a coroutine itself: nothing holds a node's own words while it waits."""
        return self._completed(
            step, self._federation.exchange(self._node, len(self._steps), str(step), own)
        )

    async def _completed(self, step: Step, exchanged: Awaitable["_Round"]) -> "_Round":
        completed = await exchanged
        self._steps[step], self._asked = completed.complete.result(), 0
        await asyncio.sleep(0)  # a node that is alone never waits: let an interrupt in
        return completed


class _Lost(Exception):
    """The node is lost: its program ends here."""


class _Round:
    """One step under way: who has contributed; once it is complete, whose total it is.

    Each node's words are added as they come, and not kept: the ring's sum has no order.
    """

    def __init__(self, step: str, complete: asyncio.Future[tuple[str, ...]]) -> None:
        self.step = step
        self.complete = complete
        self.given: dict[str, int] = {}  # each node's bytes
        self.gathered: dict[str, bytes] = {}
        self.root = ""  # once it is complete
        self._labels: dict[str, str] = {}
        self._words: _Words | None = None  # those of all nodes that have contributed
        self._decision: asyncio.Future[bytes] = complete.get_loop().create_future()

    def give(self, node: str, step: str, own: Contribution) -> None:
        if step != self.step:
            raise NetworkError(
                "the nodes' programs differ",
                where=f"node {node}",
                expected=f"step {self.step}",
                found=f"step {step}",
            )
        if isinstance(own, bytes):
            self.given[node], self.gathered[node] = len(own), own
            return
        self.given[node], self._labels[node] = own.segments.bytes, own.segments.label
        if self._words is None:
            self._words = own
        elif own.segments.label == self._words.segments.label:
            own.segments.add_to(self._words.limbs, own.limbs)

    @cached_property
    def total(self) -> Vector:
        """The sum of vectors, taken once for all nodes."""
        if self._words is None or len(set(self._labels.values())) > 1:
            raise NetworkError(
                "the nodes' vectors differ in length or scale",
                where=f"step {self.step}",
                found=str(self._labels),
            )
        total = self._words.segments.decode(self._words.limbs, len(self._labels))
        total.setflags(write=False)
        self._words = None
        return total

    async def decided(self, node: str, decider: Decider) -> bytes:
        """What the root has decided, which waits for nobody."""
        if node == self.root:
            self._decision.set_result(decider.decide(self.total))
        return await asyncio.shield(self._decision)
