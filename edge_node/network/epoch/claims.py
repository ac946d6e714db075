"""What the nodes of an epoch say of themselves: gathered when it begins, signed.

Each says how far it is in the run. And it says what others must know of its contributions: whether
a total would isolate a site depends on whose rows have changed, and on who consents
(`security.disclosure.guard`); how much totals may say depends on how many rows there are, and on
what was told over them (`security.disclosure.allowance`). Each node speaks for itself, for this
epoch and plan, and signs it: no node between them, and no aggregator, can speak for it.
"""

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from edge_node.errors import IdentityError, NetworkError
from edge_node.federation.plan import Plan
from edge_node.network.epoch.signed import sign_for_cohort, verify_from_cohort
from edge_node.network.wire.combine import parse_gathered
from edge_node.security.disclosure.cohort import LARGEST_SIZE, VERSION_BYTES, Claim, Cohort
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, SignedBody

__all__ = ["check_passed_on", "claim_of", "claims_in", "cohort_of"]

_Number = Annotated[int, msgspec.Meta(ge=0)]


class _Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A claim as it is signed. It names its plan, which who catches up later has never seen."""

    plan: bytes
    completed: _Number
    version: bytes
    consents: bool
    size: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SIZE)]
    told: _Number

    @property
    def claim(self) -> Claim:
        return Claim(self.version, self.consents, self.size, self.told)


def claim_of(claim: Claim, completed: int, identity: Identity, plan: Plan) -> bytes:
    """The payload that tells the cohort what this node claims.

    Args:
        claim: of its contributions.
        completed: how many steps of the run are complete at this node.
        identity: its own.
        plan: of the epoch.
    """
    body = msgspec.msgpack.encode(
        _Body(plan.hash, completed, claim.version, claim.consents, claim.size, claim.told)
    )
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
    signed = verify_from_cohort(payload, Purpose.CLAIM, identity, plan)
    bodies = {node: _read(body, node) for node, body in signed.items()}
    for node, body in bodies.items():
        if body.plan != plan.hash:
            raise IdentityError(
                "a node's claim names another plan",
                where=f"node {node}",
                expected=plan.hash.hex(),
                found=body.plan.hex(),
            )
    return Cohort(
        run=plan.run,
        epoch=plan.epoch,
        root=plan.root,
        claims={node: body.claim for node, body in bodies.items()},
        completed={node: body.completed for node, body in bodies.items()},
    )


def claims_in(payload: bytes) -> Mapping[str, Claim]:
    """The claims in a record of this node, which has verified them when the epoch began.

    Raises:
        NetworkError, IdentityError: it was damaged since.
    """
    parts = parse_gathered(payload).items()
    signed = {node: SignedBody.decode(part, Purpose.CLAIM, node=node) for node, part in parts}
    return {node: _read(each.body, node).claim for node, each in signed.items()}


def check_passed_on(
    payload: bytes, epoch: int, cohort: Collection[str], identity: Identity
) -> None:
    """Check the claims of an epoch in which this node had no part, or that it has lost.

    Each must be signed by its node, for that epoch and one plan. Which plan that was, the nodes say
    themselves: this one never saw it.

    Args:
        payload: everybody's claim, as another node passed it on.
        epoch: in which steps were completed that are passed on, too.
        cohort: whose contributions these steps hold.
        identity: of the node that reads; its authority is the only one that is believed.

    Raises:
        NetworkError: they are not the cohort's.
        IdentityError: a claim is malformed, or not signed by its node for that epoch.
    """
    parts = parse_gathered(payload)
    if set(parts) != set(cohort):
        raise NetworkError(
            "the claims passed on are not those of the cohort",
            where=f"epoch {epoch}",
            expected=", ".join(cohort),
            found=", ".join(parts),
        )
    plans = set()
    for node, part in parts.items():
        signed = SignedBody.decode(part, Purpose.CLAIM, node=node)
        plan = _read(signed.body, node).plan
        signed.verify(Purpose.CLAIM, (node, epoch, plan), node=node, reader=identity)
        plans.add(plan)
    if len(plans) > 1:
        raise NetworkError("the claims passed on are of several plans", where=f"epoch {epoch}")


def _read(content: bytes, node: str) -> _Body:
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
    return body
