"""The masking keys of an epoch: what a node announces, and what it makes of all announcements.

A key is announced for the claims that its node was told: a member that has claimed different things
to different nodes gets no sum.
"""

import hashlib

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.epoch.signed import sign_for_cohort, verify_from_cohort
from edge_node.network.exchange.records import RunRecords
from edge_node.network.wire.combine import parse_gathered
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.security.masks import PUBLIC_BYTES, MaskingKey, PairwiseMasks
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose

__all__ = ["announcement", "masked_cohort", "masking_key", "pairwise_masks"]


def masking_key(records: RunRecords, epoch: int) -> MaskingKey:
    """The node's own key for the epoch, on disk before it is announced. Raises MachineError.

    A node that restarts within the epoch goes on with it: its peers have its public key already.
    """
    if (kept := records.masking_key(epoch)) is not None:
        return MaskingKey(kept)
    key = MaskingKey.generate()
    records.keep_masking_key(epoch, key.private)
    return key


def masked_cohort(records: RunRecords, run: int, epoch: int) -> tuple[str, ...]:
    """The nodes whose keys masked an epoch's sums, from this node's records; empty if none was.

    Raises:
        NetworkError: the record was damaged.
    """
    operation = Operation.of_epoch(run, epoch, Kind.KIND_KEYS)
    if not records.has(operation):
        return ()
    record = parse_record(records.find(operation), where=str(operation))
    return tuple(parse_gathered(record.payload))


def announcement(key: MaskingKey, identity: Identity, plan: Plan, claims: bytes) -> bytes:
    """The payload that tells the cohort this node's public key; ``claims`` are the epoch's."""
    return sign_for_cohort(key.public, Purpose.MASKING_KEY, identity, plan, _digest(claims))


def pairwise_masks(
    key: MaskingKey, identity: Identity, plan: Plan, claims: bytes, payload: bytes
) -> PairwiseMasks:
    """The masks of ``identity.node`` in the plan's epoch.

    Args:
        key: the node's own.
        identity: the node's.
        plan: of the epoch.
        claims: as they came to this node.
        payload: everybody's announcement.

    Raises:
        NetworkError: a certificate is not the planned one.
        IdentityError: a key is missing, malformed or not signed by its node for these claims, or a
            certificate is not the authority's, another node's, or out of date.
    """
    publics = verify_from_cohort(payload, Purpose.MASKING_KEY, identity, plan, _digest(claims))
    for node, public in publics.items():
        if len(public) != PUBLIC_BYTES:
            raise IdentityError(
                "not an X25519 public key",
                where=f"node {node}",
                expected=f"{PUBLIC_BYTES} bytes",
                found=f"{len(public)} bytes",
            )
    return PairwiseMasks(identity.node, key, publics, plan.epoch, plan.hash)


def _digest(claims: bytes) -> bytes:
    return hashlib.sha256(claims).digest()
