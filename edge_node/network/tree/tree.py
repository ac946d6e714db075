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
from types import MappingProxyType
from typing import TypeAlias, Unpack

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
from edge_node.network.epoch.claims import claims_in
from edge_node.network.epoch.epoch import Epoch
from edge_node.network.epoch.guard import Guard
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.exchange.feed import EpochOver, PlanFeed
from edge_node.network.exchange.records import RecordStore, RunRecords
from edge_node.network.exchange.relay import Progress, Relay, uninterrupted
from edge_node.network.exchange.sweep import Board
from edge_node.network.tree.contribution import fixed_words, noisy_words, telling_of
from edge_node.network.wire import fixed_point
from edge_node.network.wire.combine import Combination, RingSum, Union, gathered, parse_gathered
from edge_node.network.wire.operation import Kind, Operation
from edge_node.security.disclosure.cohort import Claim
from edge_node.security.pki.identity import Identity
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
from edge_node.step import Step
from tangentmesh.v1 import exchange_pb2

__all__ = ["RunSuperseded", "TreeNetwork"]

_Message: TypeAlias = tuple[Combination, bytes]
"""What a node gives to an operation, and how it is combined."""

_CHOICE_BYTES = 16 << 20  # the most that one node may give to a gather


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
        """
        check_next(step, self._steps, node=self.node, is_sum=True)
        demanded, noise = demanded_cohort(self._steps, terms), demanded_noise(step, terms)
        words = await asyncio.to_thread(self._words, vector, noise)
        telling = await asyncio.to_thread(telling_of, step, vector, words, terms)

        async def message(plan: Plan, operation: Operation) -> _Message:
            if demanded is not None and plan.cohort != demanded:
                return RingSum(0), b""
            cohort, masks = await self.epoch.agree(plan)
            await uninterrupted(
                asyncio.to_thread(self.guard.admit, cohort, operation.sequence, step, telling)
            )

            def masked() -> bytes:
                own = words if noise is None else self._with_noise(words, noise, plan, operation)
                return fixed_point.to_bytes(masks.mask(own, self._mask_label(operation)))

            return RingSum(words.nbytes), await uninterrupted(asyncio.to_thread(masked))

        record = await self._complete(step, Kind.KIND_SUM, message)
        if demanded is not None and tuple(record.cohort) != demanded:
            self._steps[step] = ()
            raise CohortChanged(step)
        RingSum(words.nbytes).check(record.payload, frozenset(record.cohort))
        total = fixed_point.decode(fixed_point.from_bytes(record.payload))
        fixed_point.check_total(total, len(record.cohort))
        total.setflags(write=False)
        return total

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name."""
        check_next(step, self._steps, node=self.node, is_sum=False)

        choices = Union(_CHOICE_BYTES)

        async def message(_plan: Plan, _operation: Operation) -> _Message:
            return choices, gathered({self.node: data})

        record = await self._complete(step, Kind.KIND_GATHER, message)
        choices.check(record.payload, frozenset(record.cohort))
        return parse_gathered(record.payload)

    async def hand_over(self, plan: Plan) -> None:
        """After the program has ended here: take part in the beginning of a new epoch of the run.

        A member whose program has not ended may lack the last total, and only a node that has it
        can pass it on. Returns when all have it, or a newer plan has come. Raises NetworkError.
        """
        with suppress(EpochOver):
            await self.feed.while_newest(plan.epoch, self.epoch.begin(plan))

    def _words(self, vector: Vector, noise: DiscreteGaussian | None) -> fixed_point.Words:
        """The node's words for its next step, so far without noise."""
        if noise is not None:
            noise.check(vector)
            return fixed_point.encode(vector)
        return fixed_words(vector, len(self._steps), self.records)

    def _with_noise(
        self, words: fixed_point.Words, noise: DiscreteGaussian, plan: Plan, operation: Operation
    ) -> fixed_point.Words:
        """The words with this node's share of the noise in the plan's epoch."""
        return noisy_words(words, noise, operation, plan, records=self.records, ledger=self.ledger)

    def _mask_label(self, operation: Operation) -> str:
        """The step, bound to the transcript: nodes that were told different things before it have
        different labels, and their masks don't cancel.
        """
        transcript = self.records.transcript_before(operation.sequence)
        return f"{operation.sequence}/{operation.step}/{transcript.hex()}"

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
