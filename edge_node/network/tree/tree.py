"""The network of a daemon: sums and gathers along the spanning tree of the newest plan.

A step survives changes of epoch: it is repeated under each new plan with the contribution it was
given, until it is complete. The program doesn't notice. `epoch` says what an epoch begins with,
`relay` how one message goes up the tree and the result comes down.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TypeAlias, TypeVar, Unpack

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.base import (
    CohortChanged,
    Steps,
    Terms,
    check_next,
    demanded_cohort,
    demanded_noise,
)
from edge_node.network.decision import Decider
from edge_node.network.epoch.claims import claims_in
from edge_node.network.epoch.epoch import Epoch
from edge_node.network.epoch.guard import Guard
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.exchange.feed import EpochOver, PlanFeed
from edge_node.network.exchange.records import RecordStore, RunRecords
from edge_node.network.exchange.relay import Decide, Progress, Relay, uninterrupted
from edge_node.network.exchange.sweep import Board
from edge_node.network.tree.contribution import fixed_words, noisy_words, telling_of
from edge_node.network.wire.check_word import read_total, sealed, step_label
from edge_node.network.wire.combine import (
    Combination,
    Nothing,
    RingSum,
    Union,
    gathered,
    parse_gathered,
)
from edge_node.network.wire.fixed_point import Limbs, to_bytes
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from edge_node.security.disclosure.cohort import Claim
from edge_node.security.pki.identity import Identity
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
from edge_node.step import Step
from tangentmesh.v1 import exchange_pb2

__all__ = ["RunSuperseded", "TreeNetwork"]

T = TypeVar("T")

_Message: TypeAlias = tuple[Combination, bytes, Decide | None]
"""How an operation's messages are combined, what a node gives, and what it decides as the root."""

_GATHERED_BYTES = 64 << 10  # the most that one node may give to a gather: signatures


class RunSuperseded(Exception):
    """The newest plan begins another run: the program of this one is over."""


@dataclass
class TreeNetwork:
    """One run at one node; implements `edge_node.network.base.Network`.

    Everything it needs is given: nothing is opened or closed here.

    Attributes:
        run: its number; a plan for another run ends it.
        identity: this node's, as the newest plan names it.
        feed: plans.
        store: records of runs.
        board: where children's messages find the sweep in progress.
        link: to the parent.
        guard: decides whether this node contributes.
        ledger: where noise is paid for; without it this node takes part in no sum with noise.
        clock: monotonic seconds.
        epoch: the newest one that has begun here.
    """

    run: int
    identity: Callable[[], Identity]
    feed: PlanFeed
    store: RecordStore
    board: Board
    link: ParentLink
    guard: Guard
    ledger: PrivacyLedger | None = None
    clock: Callable[[], float] = time.monotonic
    epoch: Epoch = field(init=False, repr=False)
    _steps: dict[Step, tuple[str, ...]] = field(default_factory=dict, init=False)
    _decisions: dict[Step, Callable[[], bytes]] = field(default_factory=dict, init=False)
    _completed_in: int = field(default=0, init=False)  # the epoch of the last step

    def __post_init__(self) -> None:
        self._relay = Relay(self.node, self.records, self.board, self.link, self.clock)
        self.epoch = Epoch(self._relay, self.guard, self.identity)

    @property
    def node(self) -> str:
        """The name of the node whose view it is."""
        return self.identity().node

    @property
    def root(self) -> str:
        """The root of the newest plan. Raises NetworkError while there is none."""
        if self.feed.current is None:
            raise NetworkError("there is no plan yet", remedy="Wait for the aggregator")
        return self.feed.current.root

    @property
    def records(self) -> RunRecords:
        """What is on this node's disk of the run. Raises MachineError."""
        return self.store.run(self.run)

    @property
    def progress(self) -> Progress:
        """What is waited for, and since when."""
        return self._relay.progress

    @property
    def steps(self) -> Steps:
        """What this node's program has completed; its records may be ahead after a restart."""
        return MappingProxyType(self._steps)

    @property
    def sizes(self) -> Mapping[str, int]:
        """By node, the power of two that its number of distinct rows is at least."""
        return MappingProxyType({node: 1 << each.size for node, each in self._claims().items()})

    @property
    def told(self) -> Mapping[str, int]:
        """By node, how many numbers were told over its rows before this run."""
        return MappingProxyType({node: each.told for node, each in self._claims().items()})

    def _claims(self) -> Mapping[str, Claim]:
        """What the nodes claimed in the epoch of the program's last step.

        Not in the newest epoch, which has another at a node that was restarted. Raises NetworkError
        before the first step, or if the record was damaged.
        """
        if not self._steps:
            raise NetworkError("nodes' sizes are known after the first step only", where=self.node)
        return claims_in(self.records.claims(self._completed_in))

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """The masked sum over the tree. Raises NumericalError before anything is sent.

        Under a plan that lacks a node of ``cohort_of``, the nodes send empty messages. That
        completes the step without a total, and nodes that come late or start again learn the same.
        A sum of nothing has empty messages, too: its record holds a decision only.
        """
        check_next(step, self._steps, node=self.node, is_sum=True)
        demanded, noise = demanded_cohort(self._steps, terms), demanded_noise(step, terms)
        segments = Segments.of(len(vector), terms.get("bounds"))
        words = await asyncio.to_thread(self._words, vector, segments, noise)
        telling = await asyncio.to_thread(telling_of, step, vector, words, terms)
        label = self._label(step, segments)
        decider = Decider(terms.get("choose"))

        async def message(plan: Plan, operation: Operation) -> _Message:
            if demanded is not None and plan.cohort != demanded:
                return Nothing(), b"", None
            decide = partial(_decision, decider, segments, label, len(plan.cohort))
            if not len(vector):
                return RingSum(segments), b"", decide
            cohort, masks = await self.epoch.agree(plan)
            await uninterrupted(
                asyncio.to_thread(self.guard.admit, cohort, operation.sequence, step, telling)
            )

            def masked() -> bytes:
                own = words
                if noise is not None:
                    own = self._with_noise(words, segments, noise, plan, operation)
                return to_bytes(masks.mask(sealed(own, segments, label), segments.runs, label))

            return RingSum(segments), await uninterrupted(asyncio.to_thread(masked)), decide

        record = await self._complete(step, Kind.KIND_SUM, message)
        if demanded is not None and tuple(record.cohort) != demanded:
            self._steps[step] = ()
            raise CohortChanged(step)
        RingSum(segments).check(record.payload, frozenset(record.cohort))
        self._decisions[step] = partial(decider.read, record.decision)
        size = len(record.cohort)
        return await asyncio.to_thread(read_total, record.payload, segments, label, size)

    def decision(self, step: Step) -> bytes:
        """What the root of the step's epoch has chosen from the total."""
        if step not in self._decisions:
            raise NetworkError("the step has no total", where=f"step {step} at {self.node}")
        return self._decisions[step]()

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name."""
        check_next(step, self._steps, node=self.node, is_sum=False)

        union = Union(_GATHERED_BYTES)

        async def message(_plan: Plan, _operation: Operation) -> _Message:
            return union, gathered({self.node: data}), None

        record = await self._complete(step, Kind.KIND_GATHER, message)
        union.check(record.payload, frozenset(record.cohort))
        return parse_gathered(record.payload)

    def once(self, compute: Callable[[], T]) -> T:
        """Each node of the tree computes for itself."""
        return compute()

    async def hand_over(self, plan: Plan) -> None:
        """After the program has ended here: take part in the beginning of a new epoch of the run.

        A member whose program has not ended may lack the last total, and only a node that has it
        can pass it on. Returns when all have it, or a newer plan has come. Raises NetworkError.
        """
        with suppress(EpochOver):
            await self.feed.while_newest(plan.epoch, self.epoch.begin(plan))

    def _words(self, vector: Vector, segments: Segments, noise: DiscreteGaussian | None) -> Limbs:
        """The node's words for its next step, so far without noise."""
        if noise is not None:
            noise.check(vector)
            return segments.encode(vector)
        return fixed_words(vector, segments, len(self._steps), self.records)

    def _with_noise(
        self,
        words: Limbs,
        segments: Segments,
        noise: DiscreteGaussian,
        plan: Plan,
        operation: Operation,
    ) -> Limbs:
        """The words with this node's share of the noise in the plan's epoch."""
        records, ledger = self.records, self.ledger
        return noisy_words(words, segments, noise, operation, plan, records=records, ledger=ledger)

    def _label(self, step: Step, segments: Segments) -> str:
        """Of the program's next step."""
        sequence = len(self._steps)
        return step_label(sequence, str(step), self.records.transcript_before(sequence), segments)

    async def _complete(
        self,
        step: Step,
        kind: Kind,
        message: Callable[[Plan, Operation], Awaitable[_Message]],
    ) -> exchange_pb2.Record:
        """Repeat a step under each new plan until it is complete."""
        epoch = 0
        while True:
            plan = await self.feed.wait_newer(epoch)
            if plan.run != self.run:
                raise RunSuperseded
            epoch = plan.epoch
            operation = Operation(self.run, epoch, kind, len(self._steps), str(step))
            try:
                attempt = self._attempt(plan, operation, message)
                record = await self.feed.while_newest(epoch, attempt)
            except EpochOver:
                continue
            self._steps[step], self._completed_in = tuple(record.cohort), record.epoch
            return record

    async def _attempt(
        self,
        plan: Plan,
        operation: Operation,
        message: Callable[[Plan, Operation], Awaitable[_Message]],
    ) -> exchange_pb2.Record:
        await self.epoch.begin(plan)
        if self.records.has(operation):
            return await self._relay.recorded(operation)
        return await self._relay.operate(plan, operation, *await message(plan, operation))


def _decision(
    decider: Decider, segments: Segments, label: str, nodes: int, payload: bytes
) -> bytes:
    """What the root decides from a combined payload; nothing, if that is no total."""
    try:
        total = read_total(payload, segments, label, nodes)
    except NetworkError:
        return b""  # all nodes will find the same
    return decider.decide(total)
