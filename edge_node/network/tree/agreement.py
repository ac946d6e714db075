"""That all nodes of a run were told the same: at its end, each signs what it was told.

Totals and choices come down the tree, and nobody signs them. A root, or any parent, could pass one
thing to some nodes and another to the rest. Masks depend on the transcript of the steps before
(`network.tree.tree`), so nobody gets a true total after that; and what comes last is compared
here, before a model is kept.
"""

from collections.abc import Iterable, Mapping

from edge_node.errors import NetworkError
from edge_node.network.tree.tree import TreeNetwork
from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, SignedBody, Statement

__all__ = ["check_testimonies", "confirm", "testimony"]


async def confirm(network: TreeNetwork) -> None:
    """The last step of a run: check that all nodes were told the same.

    Raises:
        NetworkError, IdentityError: as ``check_testimonies``.
    """
    step, identity, run = "confirm", network.identity(), network.run
    told = network.store.run(run).told_before(step)
    heard = await network.gather(step, testimony(identity, run, told))
    plan = network.feed.current
    nodes = plan.cohort if plan is not None and plan.run == run else ()  # a newer run has begun
    check_testimonies(heard, nodes, identity=identity, run=run, transcript=told)


def testimony(identity: Identity, run: int, transcript: bytes) -> bytes:
    """What a node says, with its certificate and signature: this is what I was told in the run."""
    statement = Statement(Purpose.TRANSCRIPT, (identity.node, run), transcript)
    return SignedBody.of(statement, identity).encode()


def check_testimonies(
    told: Mapping[str, bytes],
    nodes: Iterable[str],
    *,
    identity: Identity,
    run: int,
    transcript: bytes,
) -> None:
    """Check that all nodes were told what this one was.

    Args:
        told: every node's testimony, as it came down the tree.
        nodes: whose must be among them.
        identity: this node's; its authority must have issued the others' certificates.
        run: the run.
        transcript: what this node was told.

    Raises:
        NetworkError: some were told something else, or theirs is missing or can't be read.
        IdentityError: one is not signed by the node that it is said to be of.
    """
    if missing := sorted(set(nodes) - set(told)):
        raise _differ(run, f"nothing from {', '.join(missing)}")
    heard = {node: _told(node, content, identity, run) for node, content in told.items()}
    if others := sorted(node for node, each in heard.items() if each != transcript):
        raise _differ(run, f"something else at {', '.join(others)}")


def _told(node: str, content: bytes, identity: Identity, run: int) -> bytes:
    """The transcript that a node testifies to."""
    signed = SignedBody.decode(content, Purpose.TRANSCRIPT, node=node)
    check_certificate(
        signed.certificate, identity.ca_pem, name=node, federation=identity.federation
    )
    return signed.verify(Purpose.TRANSCRIPT, (node, run))


def _differ(run: int, found: str) -> NetworkError:
    return NetworkError(
        "not all nodes were told the same totals and choices",
        where=f"run {run}",
        found=found,
        remedy="The model is not kept. Ask who operates the tree's inner nodes: one of them passed "
        "on different things",
    )
