"""At the end of a run all nodes compare transcripts: each signs its own, and reads the others'.

Totals and choices come down the tree, and nobody signs them. A root, or any parent, could pass one
thing to some nodes and another to the rest. A node's transcript says all that it was told. Masks
depend on the transcript of the steps before (`network.tree.tree`), so nobody gets a true total
after a lie; what comes after the last sum is compared here, before a model is kept.
"""

from collections.abc import Iterable, Mapping

from edge_node.errors import NetworkError
from edge_node.network.tree.tree import TreeNetwork
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, SignedBody, Statement
from edge_node.step import Content, Step

__all__ = ["check_testimonies", "confirm", "testimony"]


async def confirm(network: TreeNetwork) -> None:
    """The last step of a run: check that all nodes have the same transcript.

    Raises:
        NetworkError, IdentityError: as ``check_testimonies``.
    """
    identity, run = network.identity(), network.run
    transcript = network.records.transcript_before(len(network.steps))
    step = Step("confirm", Content.PUBLIC)
    testimonies = await network.gather(step, testimony(identity, run, transcript))
    plan = network.feed.current
    nodes = plan.cohort if plan is not None and plan.run == run else ()  # a newer run has begun
    check_testimonies(testimonies, nodes, identity=identity, run=run, transcript=transcript)


def testimony(identity: Identity, run: int, transcript: bytes) -> bytes:
    """A node's transcript of the run, with its certificate and signature."""
    statement = Statement(Purpose.TRANSCRIPT, (identity.node, run), transcript)
    return SignedBody.of(statement, identity).encode()


def check_testimonies(
    testimonies: Mapping[str, bytes],
    nodes: Iterable[str],
    *,
    identity: Identity,
    run: int,
    transcript: bytes,
) -> None:
    """Check that all nodes' transcripts are this one's.

    Args:
        testimonies: every node's, as they came down the tree.
        nodes: those whose testimony must be among them.
        identity: this node's; its authority must have issued the others' certificates.
        run: the run.
        transcript: this node's.

    Raises:
        NetworkError: a transcript is another one, or missing.
        IdentityError: a testimony can't be read, or the node in whose name it came has not signed
            it.
    """
    if missing := sorted(set(nodes) - set(testimonies)):
        raise _differ(run, f"nothing from {', '.join(missing)}")
    transcripts = {
        node: _transcript(node, content, identity, run) for node, content in testimonies.items()
    }
    if others := sorted(node for node, each in transcripts.items() if each != transcript):
        raise _differ(run, f"something else at {', '.join(others)}")


def _transcript(node: str, content: bytes, identity: Identity, run: int) -> bytes:
    """The transcript that a node testifies to."""
    signed = SignedBody.decode(content, Purpose.TRANSCRIPT, node=node)
    return signed.verify(Purpose.TRANSCRIPT, (node, run), node=node, reader=identity)


def _differ(run: int, found: str) -> NetworkError:
    return NetworkError(
        "not all nodes were told the same totals and choices",
        where=f"run {run}",
        found=found,
        remedy="The model is not kept. Ask who operates the tree's inner nodes: one of them passed "
        "on different things",
    )
