"""What the members of a plan tell each other before its first sum, each signed by its node.

A plan carries fingerprints of certificates, not certificates, so each node sends its own with its
statement. The statement is believed if the certificate has the planned fingerprint and was issued
to that node by the federation's authority, and if its key has signed for this purpose, epoch and
plan. The fingerprint alone would not do: an aggregator could plan with certificates of its own
making, and speak for all peers of an honest node.
"""

from edge_node.errors import IdentityError
from edge_node.federation.plan import Plan
from edge_node.network.wire.combine import gathered, parse_gathered
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Fact, Purpose, SignedBody, Statement

__all__ = ["sign_for_cohort", "verify_from_cohort"]


def sign_for_cohort(
    body: bytes, purpose: Purpose, identity: Identity, plan: Plan, *facts: Fact
) -> bytes:
    """The payload by which ``identity`` tells the cohort of a plan something.

    Args:
        body: what is told.
        purpose: what for.
        identity: who tells it.
        plan: whose cohort is told.
        facts: what else it is said of, beside epoch and plan.
    """
    statement = Statement(purpose, _context(identity.node, plan, facts), body)
    return gathered({identity.node: SignedBody.of(statement, identity).encode()})


def verify_from_cohort(
    payload: bytes, purpose: Purpose, identity: Identity, plan: Plan, *facts: Fact
) -> dict[str, bytes]:
    """What each member of a plan has said, by node.

    Args:
        payload: everybody's, gathered along the tree.
        purpose: what it must have been signed for.
        identity: of the node that reads; its authority is the only one that is believed.
        plan: of the epoch.
        facts: as in ``sign_for_cohort``.

    Raises:
        NetworkError: a certificate is not the planned one.
        IdentityError: a member's part is missing, can't be read, or is not signed by that member
            for this purpose, epoch and plan.
    """
    parts = parse_gathered(payload)
    if tuple(parts) != plan.cohort:
        raise IdentityError(
            f"{purpose} statements are not those of the cohort",
            where=f"epoch {plan.epoch}",
            expected=", ".join(plan.cohort),
            found=", ".join(parts),
        )
    bodies = {}
    for node, part in parts.items():
        signed = SignedBody.decode(part, purpose, node=node)
        plan.check_certificate(node, signed.certificate)
        context = _context(node, plan, facts)
        bodies[node] = signed.verify(purpose, context, node=node, reader=identity)
    return bodies


def _context(node: str, plan: Plan, facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    return node, plan.epoch, plan.hash, *facts
