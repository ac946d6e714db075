"""What an epoch of a run begins with, before any step.

    claims      how many steps has each node completed, and what does it say of its rows? signed
    catch-up    only if they are not equally far: those who have a total pass it on; it is final.
                With it go the claims of the epoch that it is from: the program goes by them
    keys        before the first sum: fresh masking keys, signed

Keys are not gathered with the claims. That a node tells its key says that its guard accepts the
cohort, and nobody contributes before all have. If one refused after others had contributed, their
ledgers would have to count a total that was never formed.

docs/design.md, section 4, says why that is enough for every crash.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_node.federation.plan import Plan
from edge_node.network.epoch.claims import check_passed_on, claim_of, cohort_of
from edge_node.network.epoch.guard import Guard
from edge_node.network.epoch.keys import announcement, masking_key, pairwise_masks
from edge_node.network.exchange.relay import Relay, uninterrupted
from edge_node.network.wire.combine import RecordUnion, Union
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.security.disclosure.cohort import Cohort
from edge_node.security.masks import PairwiseMasks
from edge_node.security.pki.identity import Identity
from tangentmesh.v1 import exchange_pb2

__all__ = ["Epoch"]

_ANNOUNCEMENT_BYTES = 8 << 10
_CATCH_UP_BYTES = 1 << 30


@dataclass
class Epoch:
    """The newest epoch that has begun here; `begin` replaces it.

    Attributes:
        relay: takes this node through the epoch's operations.
        guard: is asked about the cohort.
        identity: signs what this node announces.
        number: the epoch's; 0: none has begun.
    """

    relay: Relay
    guard: Guard
    identity: Callable[[], Identity]
    number: int = 0
    _claims: bytes = field(default=b"", repr=False)
    _cohort: Cohort | None = field(default=None, repr=False)
    _masks: PairwiseMasks | None = field(default=None, repr=False)

    async def begin(self, plan: Plan) -> None:
        """Bring all nodes to the same step: nodes that lack a total are given it.

        Does nothing if the plan's epoch has begun here.

        Raises:
            IdentityError, NetworkError: a claim is not its node's.
            MachineError: the disk is full or not writable.
        """
        if self.number == plan.epoch:
            return
        records, identity = self.relay.records, self.identity()
        records.begin_epoch(plan.epoch)
        self._masks = None
        claim = self.guard.claim(plan.run, plan.cohort)
        own = claim_of(claim, records.frontier, identity, plan)
        self._claims = await self._announced(plan, Kind.KIND_CLAIMS, own)
        self._cohort = cohort_of(identity, plan, self._claims)
        completed = self._cohort.completed.values()
        if min(completed) < max(completed):
            await self._catch_up(plan, min(completed))
        settle = asyncio.to_thread(
            self.guard.settle, plan.run, plan.epoch, records.frontier, plan.cohort
        )
        await uninterrupted(settle)
        self.number = plan.epoch

    async def agree(self, plan: Plan) -> tuple[Cohort, PairwiseMasks]:
        """The cohort of the epoch, once it has begun here, and its masks, from all signed keys.

        Raises:
            CohortRefusedError: the guard refuses the cohort; this node's key was not announced.
            IdentityError, NetworkError: a key is not its node's.
        """
        assert self._cohort is not None  # noqa: S101 - `begin` comes first
        if self._masks is None:
            records, identity = self.relay.records, self.identity()
            check = asyncio.to_thread(self.guard.check, self._cohort, records.completed)
            await uninterrupted(check)
            key = masking_key(records, plan.epoch)
            own = announcement(key, identity, plan, self._claims)
            announced = await self._announced(plan, Kind.KIND_KEYS, own)
            self._masks = pairwise_masks(key, identity, plan, self._claims, announced)
        return self._cohort, self._masks

    async def _catch_up(self, plan: Plan, first: int) -> None:
        records = self.relay.records
        kept = [parse_record(each, where="records") for each in records.since(first)]
        claims = [records.claims_record(epoch) for epoch in sorted({each.epoch for each in kept})]
        passed_on = exchange_pb2.Records(records=kept, claims=claims)
        own = passed_on.SerializeToString(deterministic=True)
        operation = Operation.of_epoch(plan.run, plan.epoch, Kind.KIND_CATCH_UP)
        combination = RecordUnion(plan.run, first, _CATCH_UP_BYTES)
        answer = await self.relay.operate(plan, operation, combination, own)
        told = exchange_pb2.Records.FromString(answer.payload)
        lacking = [each for each in told.records if each.sequence >= records.frontier]
        cohorts = {each.epoch: each.cohort for each in lacking}
        for each in lacking:
            plan.check_cohort(each.epoch, each.cohort)
        for claimed in told.claims:
            epoch = claimed.epoch
            if epoch in cohorts and not records.has_claims(epoch):
                check_passed_on(claimed.payload, epoch, cohorts[epoch], self.identity())
                records.commit(claimed.SerializeToString(deterministic=True))
        for each in lacking:
            records.commit(each.SerializeToString(deterministic=True))

    async def _announced(self, plan: Plan, kind: Kind, own: bytes) -> bytes:
        """Everybody's announcement of a kind, gathered."""
        operation = Operation.of_epoch(plan.run, plan.epoch, kind)
        return (await self.relay.operate(plan, operation, Union(_ANNOUNCEMENT_BYTES), own)).payload
