"""The network of a daemon: sums and gathers along the spanning tree of the newest plan.

A step survives changes of epoch: it is repeated under each new plan with the contribution it was
given, until it is complete. The program doesn't notice. What an epoch begins with, before any step:

    frontier    how many steps has each node completed?
    catch-up    only if they differ: those who have a total pass it on; it is final
    claims      before the first sum: the versions of everybody's rows, and who consents, signed
    keys        and then: fresh masking keys, signed

docs/design.md, section 4, says why that is enough for every crash.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edge_node.arrays import Vector
from edge_node.errors import NetworkError, RefusedError
from edge_node.federation.plan import Plan
from edge_node.network.base import CohortChanged
from edge_node.network.tree.claims import claim_of, cohort_of
from edge_node.network.tree.exchange_client import ParentLink
from edge_node.network.tree.feed import EpochOver, PlanFeed
from edge_node.network.tree.guard import Guard
from edge_node.network.tree.keys import announcement, masking_key, pairwise_masks
from edge_node.network.tree.noisy import noisy_words
from edge_node.network.tree.records import RecordStore
from edge_node.network.tree.step_log import log_step
from edge_node.network.tree.sweep import Board, Sweep
from edge_node.network.wire import fixed_point
from edge_node.network.wire.combine import (
    Combination,
    RecordUnion,
    RingSum,
    Union,
    gathered,
    parse_gathered,
)
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.security.disclosure.cohort import Cohort
from edge_node.security.masks import PairwiseMasks
from edge_node.security.pki.identity import Identity
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger
from tangentmesh.v1 import exchange_pb2

__all__ = ["Progress", "RunSuperseded", "TreeNetwork"]

T = TypeVar("T")
_Message = tuple[Combination, bytes]  # what a node gives to an operation, and how it is combined

_CHOICE_BYTES = 16 << 20  # the most that one node may give to a gather
_ANNOUNCEMENT_BYTES = 8 << 10
_CATCH_UP_BYTES = 1 << 30
_RECORD_BYTES = 1 << 20  # what a record may hold beside its payload: the names of the cohort


class RunSuperseded(Exception):
    """The newest plan begins another run: the program of this one is over."""


@dataclass(frozen=True)
class Progress:
    """How far a run is at this node. ``since`` is when the waiting began (monotonic seconds)."""

    step: str = ""
    waiting_for: tuple[str, ...] = ()
    since: float = 0.0


@dataclass
class TreeNetwork:
    """One run at one node; implements `edge_node.network.base.Network`.

    Everything it needs is given: nothing is opened or closed here.
    """

    run: int
    identity: Callable[[], Identity]
    feed: PlanFeed
    store: RecordStore
    board: Board
    link: ParentLink
    guard: Guard
    ledger: PrivacyLedger | None = None  # without one, no sum with noise is taken part in
    clock: Callable[[], float] = time.monotonic
    _steps: list[str] = field(default_factory=list)  # what the program has completed, in order
    _epoch: int = 0  # the newest one begun
    _agreed: tuple[Cohort, PairwiseMasks] | None = None  # in that epoch
    _current: tuple[Sweep, Plan, float] | None = field(default=None, repr=False)

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
    def epoch(self) -> int:
        """The newest epoch that has begun here; 0: none."""
        return self._epoch

    @property
    def progress(self) -> Progress:
        """What is waited for, and since when."""
        if self._current is None:
            return Progress()
        sweep, plan, since = self._current
        waiting = sweep.missing or tuple(filter(None, [plan.parent(self.node)]))
        return Progress(sweep.operation.step, waiting, since)

    def cohort(self, step: str) -> tuple[str, ...]:
        """The nodes whose contributions a completed step holds. Raises NetworkError."""
        found = self.store.run(self.run).cohort(step)
        if found is None:
            raise NetworkError("the step is not complete", where=f"step {step}")
        return found

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """The masked sum over the tree. Raises NumericalError before anything is sent.

        Under a plan without some node of ``cohort_of`` the step is completed by messages of no
        words. So it is final like any other, for those who come late or start again, too.
        """
        sequence = self._next(step)
        counted = self.cohort(cohort_of) if cohort_of else None
        if noise is None:
            words = await asyncio.to_thread(self._contribution, sequence, vector)
        else:
            words = fixed_point.encode(noise.rounded(vector))

        async def message(plan: Plan) -> _Message:
            if counted is not None and plan.cohort != counted:
                return RingSum(0), b""
            cohort, masks = await self._agree(plan)
            await _wholly(asyncio.to_thread(self.guard.admit, cohort, sequence, step))
            told = self.store.run(self.run).told_before(step).hex()  # if it isn't the same at all
            mask = f"{sequence}/{step}/{told}"  # nodes, their masks don't cancel

            def masked() -> bytes:
                own = words if noise is None else self._with_noise(words, noise, plan, step)
                return fixed_point.to_bytes(masks.mask(own, mask))

            return RingSum(words.nbytes), await asyncio.to_thread(masked)

        record = await self._complete(sequence, step, Kind.KIND_SUM, message)
        if counted is not None and tuple(record.cohort) != counted:
            raise CohortChanged(step)
        total = fixed_point.decode(fixed_point.from_bytes(record.payload))
        fixed_point.check_total(total, len(record.cohort))
        total.setflags(write=False)
        return total

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name."""

        async def message(_: Plan) -> _Message:
            return Union(_CHOICE_BYTES), gathered({self.node: data})

        record = await self._complete(self._next(step), step, Kind.KIND_GATHER, message)
        return parse_gathered(record.payload)

    async def hand_over(self, plan: Plan) -> None:
        """After the program has ended here: take part in the beginning of a new epoch of the run.

        A member that has not ended may lack the last total, and can only get it from those who do.
        Returns when everybody has it, or a newer plan has come. Raises NetworkError.
        """
        with suppress(EpochOver):
            await self.feed.while_newest(plan.epoch, self._begin_epoch(plan))

    def _next(self, step: str) -> int:
        """The step's position in the run. Raises NetworkError if its name was used before."""
        if step in self._steps:
            raise NetworkError("a step's name was used twice", where=f"step {step} at {self.node}")
        return len(self._steps)

    def _contribution(self, sequence: int, vector: Vector) -> fixed_point.Words:
        """The node's words for a step: fixed once, so that no mask ever covers two vectors."""
        words = fixed_point.encode(vector)
        records = self.store.run(self.run)
        if sequence < records.frontier:
            return words
        if (kept := records.contribution(sequence)) is not None:
            if len(kept) == words.nbytes:
                return fixed_point.from_bytes(kept)
            raise RefusedError(
                "this node's contribution to the step has another length than before the restart",
                where=f"step {sequence} of run {self.run}",
                expected=f"{len(kept)} bytes",
                found=f"{words.nbytes} bytes",
                remedy="Two vectors under one mask would be readable: join the next run",
            )
        records.keep_contribution(sequence, fixed_point.to_bytes(words))
        return words

    def _with_noise(
        self, words: fixed_point.Words, noise: DiscreteGaussian, plan: Plan, step: str
    ) -> fixed_point.Words:
        """Words with the node's share of the noise in this epoch."""
        operation = Operation(self.run, plan.epoch, Kind.KIND_SUM, self._next(step), step)
        records, cohort = self.store.run(self.run), len(plan.cohort)
        return noisy_words(words, noise, operation, cohort, records=records, ledger=self.ledger)

    async def _complete(
        self,
        sequence: int,
        step: str,
        kind: Kind,
        message: Callable[[Plan], Awaitable[_Message]],
    ) -> exchange_pb2.Record:
        """Repeat a step under each new plan until it is complete."""
        epoch = 0
        while True:
            plan = await self.feed.wait_newer(epoch)
            if plan.run != self.run:
                raise RunSuperseded
            epoch = plan.epoch
            operation = Operation(self.run, epoch, kind, sequence, step)
            try:
                record = await self.feed.while_newest(
                    epoch, self._attempt(plan, operation, message)
                )
            except EpochOver:
                continue
            self._steps.append(step)
            return record

    async def _attempt(
        self,
        plan: Plan,
        operation: Operation,
        message: Callable[[Plan], Awaitable[_Message]],
    ) -> exchange_pb2.Record:
        if self._epoch != plan.epoch:
            await self._begin_epoch(plan)
        if self.store.run(self.run).has(operation):
            return await self._recorded(operation)
        return await self._operate(plan, operation, *await message(plan))

    async def _begin_epoch(self, plan: Plan) -> None:
        """Bring all nodes to the same step: whoever lacks a total is given the first one."""
        records = self.store.run(self.run)
        records.begin_epoch(plan.epoch)
        self._agreed = None
        operation = Operation.of_epoch(self.run, plan.epoch, Kind.KIND_FRONTIER)
        own = gathered({self.node: records.frontier.to_bytes(8, "big")})
        answer = await self._operate(plan, operation, Union(8), own)
        frontiers = [
            int.from_bytes(each, "big") for each in parse_gathered(answer.payload).values()
        ]
        if min(frontiers) < max(frontiers):
            await self._catch_up(plan, min(frontiers))
        settle = asyncio.to_thread(
            self.guard.settle, self.run, plan.epoch, records.frontier, plan.cohort
        )
        await _wholly(settle)
        self._epoch = plan.epoch

    async def _catch_up(self, plan: Plan, first: int) -> None:
        records = self.store.run(self.run)
        kept = [parse_record(each, where="records") for each in records.since(first)]
        own = exchange_pb2.Records(records=kept).SerializeToString(deterministic=True)
        operation = Operation.of_epoch(self.run, plan.epoch, Kind.KIND_CATCH_UP)
        combination = RecordUnion(self.run, first, _CATCH_UP_BYTES)
        answer = await self._operate(plan, operation, combination, own)
        for record in exchange_pb2.Records.FromString(answer.payload).records:
            if record.sequence >= records.frontier:
                records.commit(record.SerializeToString(deterministic=True))

    async def _agree(self, plan: Plan) -> tuple[Cohort, PairwiseMasks]:
        """The epoch's cohort, from everybody's signed claim, and masks, from its signed key.

        Raises CohortRefusedError before a key is told.
        """
        if self._agreed is not None:
            return self._agreed
        records, identity = self.store.run(self.run), self.identity()
        own = claim_of(self.guard.claim, identity, plan)
        said = await self._announced(plan, Kind.KIND_CLAIMS, own)
        cohort = cohort_of(identity, plan, said)
        await _wholly(asyncio.to_thread(self.guard.check, cohort, records.completed))
        key = masking_key(records, plan.epoch)
        said = await self._announced(plan, Kind.KIND_KEYS, announcement(key, identity, plan))
        self._agreed = cohort, pairwise_masks(key, identity, plan, said)
        return self._agreed

    async def _announced(self, plan: Plan, kind: Kind, own: bytes) -> bytes:
        """Everybody's announcement of a kind, gathered."""
        operation = Operation.of_epoch(self.run, plan.epoch, kind)
        return (await self._operate(plan, operation, Union(_ANNOUNCEMENT_BYTES), own)).payload

    async def _operate(
        self, plan: Plan, operation: Operation, combination: Combination, own: bytes
    ) -> exchange_pb2.Record:
        """One operation: collect, combine, hand up, keep, pass down."""
        records = self.store.run(self.run)
        if records.has(operation):
            return await self._recorded(operation)
        combination.check(own, frozenset({self.node}))
        subtrees = {child: plan.subtree(child) for child in plan.children(self.node)}
        with self.board.open(Sweep(operation, combination, subtrees)) as sweep:
            self._current = (sweep, plan, began := self.clock())
            try:
                messages = await sweep.collected()
                child, collected = sweep.last, self.clock()
                combined = await asyncio.to_thread(combination.combine, [own, *messages])
                content = await self._hand_up(plan, operation, combination, combined)
                times = began, collected, self.clock()
                record = await _wholly(asyncio.to_thread(records.commit, content))
                sweep.finish(content)
                log_step(operation, child=child, parent=plan.parent(self.node), times=times)
            finally:
                self._current = None
        return record

    async def _hand_up(
        self, plan: Plan, operation: Operation, combination: Combination, combined: bytes
    ) -> bytes:
        """The completed operation's record: the parent's, or at the root a new one."""
        if not plan.parent(self.node):
            record = operation.record(plan.cohort, combined)
            return record.SerializeToString(deterministic=True)
        limit = combination.limit(len(plan.cohort)) + _RECORD_BYTES
        content = await self.link.exchange(plan, operation, combined, limit, node=self.node)
        record = parse_record(content, where=f"answer of {plan.parent(self.node)}")
        operation.check(record)
        plan.check_cohort(record.epoch, record.cohort)
        combination.check(record.payload, frozenset(record.cohort))
        return content

    async def _recorded(self, operation: Operation) -> exchange_pb2.Record:
        content = await asyncio.to_thread(self.store.run(self.run).find, operation)
        return parse_record(content, where=str(operation))


async def _wholly(work: Coroutine[Any, Any, T]) -> T:
    """Do something that must not be left half done: a cancellation takes effect at its end.

    A total that is being written when a newer plan comes is complete, or not, before this node
    tells others how many steps it has completed.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
