"""What an epoch of a run begins with, before any step.

    frontier    how many steps has each node completed?
    catch-up    only if they differ: those who have a total pass it on; it is final
    claims      before the first sum: the versions of everybody's rows, and who consents, signed
    keys        and then: fresh masking keys, signed

docs/design.md, section 4, says why that is enough for every crash.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_node.federation.plan import Plan
from edge_node.network.epoch.claims import claim_of, cohort_of
from edge_node.network.epoch.guard import Guard
from edge_node.network.epoch.keys import announcement, masking_key, pairwise_masks
from edge_node.network.exchange.relay import Relay, uninterrupted
from edge_node.network.wire.combine import RecordUnion, Union, gathered, parse_gathered
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
    _agreed: tuple[Cohort, PairwiseMasks] | None = field(default=None, repr=False)

    async def begin(self, plan: Plan) -> None:
        """Bring all nodes to the same step: nodes that lack a total are given it.

        Does nothing if the plan's epoch has begun here. Raises NetworkError, MachineError.
        """
        if self.number == plan.epoch:
            return
        records = self.relay.records
        records.begin_epoch(plan.epoch)
        self._agreed = None
        own = gathered({self.relay.node: records.frontier.to_bytes(8, "big")})
        operation = Operation.of_epoch(plan.run, plan.epoch, Kind.KIND_FRONTIER)
        answer = await self.relay.operate(plan, operation, Union(8), own)
        frontiers = [
            int.from_bytes(each, "big") for each in parse_gathered(answer.payload).values()
        ]
        if min(frontiers) < max(frontiers):
            await self._catch_up(plan, min(frontiers))
        settle = asyncio.to_thread(
            self.guard.settle, plan.run, plan.epoch, records.frontier, plan.cohort
        )
        await uninterrupted(settle)
        self.number = plan.epoch

    async def agree(self, plan: Plan) -> tuple[Cohort, PairwiseMasks]:
        """The epoch's cohort, from all nodes' signed claims, and its masks, from their signed keys.

        Raises:
            CohortRefusedError: the guard refuses the cohort; this node's key was not announced.
            IdentityError, NetworkError: a claim or key is not its node's.
        """
        if self._agreed is not None:
            return self._agreed
        records, identity = self.relay.records, self.identity()
        own = claim_of(self.guard.claim, identity, plan)
        announced = await self._announced(plan, Kind.KIND_CLAIMS, own)
        cohort = cohort_of(identity, plan, announced)
        await uninterrupted(asyncio.to_thread(self.guard.check, cohort, records.completed))
        key = masking_key(records, plan.epoch)
        announced = await self._announced(plan, Kind.KIND_KEYS, announcement(key, identity, plan))
        self._agreed = cohort, pairwise_masks(key, identity, plan, announced)
        return self._agreed

    async def _catch_up(self, plan: Plan, first: int) -> None:
        records = self.relay.records
        kept = [parse_record(each, where="records") for each in records.since(first)]
        own = exchange_pb2.Records(records=kept).SerializeToString(deterministic=True)
        operation = Operation.of_epoch(plan.run, plan.epoch, Kind.KIND_CATCH_UP)
        combination = RecordUnion(plan.run, first, _CATCH_UP_BYTES)
        answer = await self.relay.operate(plan, operation, combination, own)
        for record in exchange_pb2.Records.FromString(answer.payload).records:
            if record.sequence >= records.frontier:
                plan.check_cohort(record.epoch, record.cohort)
                records.commit(record.SerializeToString(deterministic=True))

    async def _announced(self, plan: Plan, kind: Kind, own: bytes) -> bytes:
        """Everybody's announcement of a kind, gathered."""
        operation = Operation.of_epoch(plan.run, plan.epoch, kind)
        return (await self.relay.operate(plan, operation, Union(_ANNOUNCEMENT_BYTES), own)).payload
