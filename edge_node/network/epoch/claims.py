"""What the nodes of an epoch say of their own contributions: gathered before its first sum, signed.

Whether a total would isolate a site depends on whose rows have changed, and on who consents
(`security.disclosure.guard`). Each node speaks for itself, for this epoch and plan, and signs it:
no node between them, and no aggregator, can speak for it.
"""

import msgspec

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.epoch.signed import sign_for_cohort, verify_from_cohort
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim, Cohort
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose

__all__ = ["claim_of", "cohort_of"]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A claim as it is signed."""

    version: bytes
    consents: bool


def claim_of(claim: Claim, identity: Identity, plan: Plan) -> bytes:
    """The payload that tells the cohort what this node claims."""
    body = msgspec.msgpack.encode(_Body(claim.version, claim.consents))
    return sign_for_cohort(body, Purpose.CLAIM, identity, plan)


def cohort_of(identity: Identity, plan: Plan, payload: bytes) -> Cohort:
    """The cohort of the plan's epoch, from everybody's claim.

    Args:
        identity: of the node that reads; its authority is the only one that is believed.
        plan: of the epoch.
        payload: all that was gathered.

    Raises:
        NetworkError: a certificate is not the planned one.
        IdentityError: a claim is missing, malformed or not signed by its node for this plan.
    """
    bodies = verify_from_cohort(payload, Purpose.CLAIM, identity, plan)
    return Cohort(
        run=plan.run,
        epoch=plan.epoch,
        root=plan.root,
        claims={node: _read(body, node) for node, body in bodies.items()},
    )


def _read(content: bytes, node: str) -> Claim:
    try:
        body = msgspec.msgpack.decode(content, type=_Body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IdentityError(
            "a node's claim can't be read", where=f"node {node}", found=str(error)
        ) from error
    if len(body.version) != VERSION_BYTES:
        raise IdentityError(
            "not a version of a node's rows",
            where=f"node {node}",
            expected=f"{VERSION_BYTES} bytes",
            found=f"{len(body.version)} bytes",
        )
    return Claim(body.version, body.consents)
