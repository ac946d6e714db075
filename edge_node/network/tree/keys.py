"""The masking keys of an epoch: what a node announces, and what it makes of all announcements.

A plan carries fingerprints of certificates, not certificates; so each node sends its own along. It
is believed if it has the planned fingerprint, the federation's authority has issued it to that
node, and the key in it has signed. The fingerprint alone would not do: whoever makes the plan could
name certificates of its own making, announce their keys, and know all masks of an honest node.
"""

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.tree.records import RunRecords
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.network.wire.operation import Kind, Operation, parse_record
from edge_node.security.masks import MaskingKey, PairwiseMasks, Verify, announce, read_announcement
from edge_node.security.pki.identity import Identity, check_certificate, verify_signature

__all__ = ["announcement", "masked_cohort", "masking_key", "pairwise_masks", "verifier"]


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
    announced = announce(
        key,
        node=identity.node,
        epoch=plan.epoch,
        plan_hash=plan.hash,
        certificate_der=identity.certificate_der,
        sign=identity.sign,
    )
    return gathered({identity.node: announced})


def pairwise_masks(
    key: MaskingKey, identity: Identity, plan: Plan, payload: bytes
) -> PairwiseMasks:
    """The masks of ``identity.node`` in the plan's epoch, from everybody's announcement.

    Raises:
        NetworkError: a certificate has not the fingerprint in the plan.
        IdentityError: a key is missing, malformed or not signed by its node, or a certificate is
            not the authority's, another node's, or out of date.
    """
    verify = verifier(identity, plan)
    announcements = parse_gathered(payload)
    if tuple(announcements) != plan.cohort:
        raise IdentityError(
            "masking keys are not those of the cohort",
            where=f"epoch {plan.epoch}",
            expected=", ".join(plan.cohort),
            found=", ".join(announcements),
        )
    publics = {
        name: read_announcement(
            content, node=name, epoch=plan.epoch, plan_hash=plan.hash, verify=verify
        )
        for name, content in announcements.items()
    }
    return PairwiseMasks(identity.node, key, publics, plan.epoch, plan.hash)


def verifier(identity: Identity, plan: Plan) -> Verify:
    """Checks what members of a plan sign, as ``identity``'s authority and the plan know them."""

    def verify(name: str, certificate: bytes, message: bytes, signature: bytes) -> None:
        plan.check_certificate(name, certificate)
        check_certificate(certificate, identity.ca_pem, name=name, federation=identity.federation)
        verify_signature(certificate, message, signature)

    return verify
