"""The masking keys of an epoch: what a node announces, and what it makes of all announcements.

A plan carries fingerprints of certificates, not certificates; so each node sends its own along. It
is believed if it has the planned fingerprint, the federation's authority has issued it to that
node, and the key in it has signed. The fingerprint alone would not do: whoever makes the plan could
name certificates of its own making, announce their keys, and know all masks of an honest node.
"""

from edge_node.errors import IdentityError
from edge_node.network.tree.records import RunRecords
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.network.wire.plan import Plan
from edge_node.security.masks import PUBLIC_BYTES, MaskingKey, PairwiseMasks
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, SignedBody, Statement

__all__ = ["announcement", "masked_cohort", "masking_key", "pairwise_masks", "said_in_plan"]


def masking_key(records: RunRecords, epoch: int) -> MaskingKey:
    """The node's own key for the epoch, on disk before anybody hears of it. Raises MachineError.

    A node that restarts within the epoch goes on with it: its peers have its public key already.
    """
    if (kept := records.masking_key(epoch)) is not None:
        return MaskingKey(kept)
    key = MaskingKey.generate()
    records.keep_masking_key(epoch, key.private)
    return key


def masked_cohort(records: RunRecords, run: int, epoch: int) -> tuple[str, ...]:
    """The nodes whose keys masked an epoch's sums, from this node's records; none: no sum was.

    Raises:
        NetworkError: the record was damaged.
    """
    operation = Operation.of_epoch(run, epoch, Kind.KIND_KEYS)
    if not records.has(operation):
        return ()
    record = parse_record(records.find(operation), where=str(operation))
    return tuple(parse_gathered(record.payload))


def announcement(key: MaskingKey, identity: Identity, plan: Plan) -> bytes:
    """The payload that tells the cohort this node's public key."""
    statement = Statement(Purpose.MASKING_KEY, (identity.node, plan.epoch, plan.hash), key.public)
    return gathered({identity.node: SignedBody.of(statement, identity).encode()})


def pairwise_masks(
    key: MaskingKey, identity: Identity, plan: Plan, payload: bytes
) -> PairwiseMasks:
    """The masks of ``identity.node`` in the plan's epoch, from everybody's announcement.

    Raises:
        NetworkError: a certificate has not the fingerprint in the plan.
        IdentityError: a key is missing, malformed or not signed by its node, or a certificate is
            not the authority's, another node's, or out of date.
    """
    announcements = parse_gathered(payload)
    if tuple(announcements) != plan.cohort:
        raise IdentityError(
            "masking keys are not those of the cohort",
            where=f"epoch {plan.epoch}",
            expected=", ".join(plan.cohort),
            found=", ".join(announcements),
        )
    publics = {
        node: _read_public(content, node, identity, plan) for node, content in announcements.items()
    }
    return PairwiseMasks(identity.node, key, publics, plan.epoch, plan.hash)


def said_in_plan(
    content: bytes, purpose: Purpose, *, node: str, identity: Identity, plan: Plan
) -> bytes:
    """What a member of a plan has said for a purpose, in this epoch and under this plan.

    Args:
        content: an encoded ``SignedBody`` that is said to come from ``node``.
        purpose: what it must have been signed for.
        node: the member's name.
        identity: of the node that reads; its authority is the only one that is believed.
        plan: of the epoch.

    Raises:
        NetworkError: the certificate has not the fingerprint in the plan.
        IdentityError: it can't be read, or is not signed by that member for this epoch and plan.
    """
    signed = SignedBody.decode(content, purpose, node=node)
    plan.check_certificate(node, signed.certificate)
    check_certificate(
        signed.certificate, identity.ca_pem, name=node, federation=identity.federation
    )
    return signed.verify(purpose, (node, plan.epoch, plan.hash))


def _read_public(content: bytes, node: str, identity: Identity, plan: Plan) -> bytes:
    """The X25519 public key that a node has announced, 32 bytes."""
    public = said_in_plan(content, Purpose.MASKING_KEY, node=node, identity=identity, plan=plan)
    if len(public) != PUBLIC_BYTES:
        raise IdentityError(
            "not an X25519 public key",
            where=f"node {node}",
            expected=f"{PUBLIC_BYTES} bytes",
            found=f"{len(public)} bytes",
        )
    return public
