"""What the nodes of an epoch say of their own contributions: gathered before its first sum, signed.

Whether a total would isolate a site depends on whose rows have changed, and on who consents
(`security.disclosure.guard`). Each node says it of itself, for this epoch and plan, and signs it:
no node between them, and no aggregator, can say it for another.
"""

import msgspec

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.tree.keys import verifier
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim, Cohort
from edge_node.security.pki.identity import Identity

__all__ = ["claim_of", "cohort_of"]

_PURPOSE = b"tangentmesh/v1/claim\0"


class _Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: bytes
    consents: bool
    certificate: bytes
    signature: bytes


def claim_of(claim: Claim, identity: Identity, plan: Plan) -> bytes:
    """The payload that tells the cohort what this node claims."""
    signed = _Signed(
        claim.version,
        claim.consents,
        identity.certificate_der,
        identity.sign(_statement(claim, identity.node, plan)),
    )
    return gathered({identity.node: msgspec.msgpack.encode(signed)})


def cohort_of(identity: Identity, plan: Plan, payload: bytes) -> Cohort:
    """The cohort of the plan's epoch, from everybody's claim.

    Args:
        identity: of the node that reads; its authority is the only one that is believed.
        plan: of the epoch.
        payload: all that was gathered.

    Raises:
        NetworkError: a certificate has not the fingerprint in the plan.
        IdentityError: a claim is missing, malformed or not signed by its node for this plan.
    """
    said = parse_gathered(payload)
    if tuple(said) != plan.cohort:
        raise IdentityError(
            "claims are not those of the cohort",
            where=f"epoch {plan.epoch}",
            expected=", ".join(plan.cohort),
            found=", ".join(said),
        )
    return Cohort(
        run=plan.run,
        epoch=plan.epoch,
        root=plan.root,
        claims={node: _read(content, node, identity, plan) for node, content in said.items()},
    )


def _read(content: bytes, node: str, identity: Identity, plan: Plan) -> Claim:
    try:
        signed = msgspec.msgpack.decode(content, type=_Signed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IdentityError(
            "a node's claim can't be read", where=f"node {node}", found=str(error)
        ) from error
    if len(signed.version) != VERSION_BYTES:
        raise IdentityError(
            "not a version of a node's rows",
            where=f"node {node}",
            expected=f"{VERSION_BYTES} bytes",
            found=f"{len(signed.version)} bytes",
        )
    claim = Claim(signed.version, signed.consents)
    statement = _statement(claim, node, plan)
    verifier(identity, plan)(node, signed.certificate, statement, signed.signature)
    return claim


def _statement(claim: Claim, node: str, plan: Plan) -> bytes:
    facts = (node, plan.epoch, plan.hash, claim.version, claim.consents)
    return _PURPOSE + msgspec.msgpack.encode(facts)
