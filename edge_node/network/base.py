"""What the federation program needs of a network: two primitives, ``sum`` and ``gather``.

Every node runs the same program and calls the same steps in the same order. A step has a name,
unique within a run. ``edge_node.network.memory`` serves any number of nodes in one process;
``edge_node.network.tree.tree`` is the spanning tree over gRPC. A third thing, ``decide``, is built
from them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_node import errors
from edge_node.errors import NetworkError, TangentMeshError
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian

__all__ = ["CohortChanged", "Network", "Vector", "decide"]

Vector = NDArray[np.float64]


class CohortChanged(Exception):
    """A sum was asked for over the nodes of an earlier step, and some of them are gone.

    The total was not formed, and never will be: every node is told so at the same step.
    """


class Network(Protocol):
    """One node's view of the federation during one run of the program."""

    @property
    def node(self) -> str:
        """The name of the node whose view it is."""
        ...

    @property
    def root(self) -> str:
        """The node that takes shared choices; it may change between steps, after a failure."""
        ...

    def cohort(self, step: str) -> tuple[str, ...]:
        """The nodes, sorted, whose contributions the completed ``step`` holds."""
        ...

    async def sum(
        self,
        step: str,
        vector: Vector,
        *,
        cohort_of: str = "",
        noise: DiscreteGaussian | None = None,
    ) -> Vector:
        """The sum of all nodes' vectors: the same bytes at every node, whatever the tree.

        Args:
            step: the step's name, unique within the run.
            vector: shape (k,), float64, finite, below 2**53 in absolute value; k is the same at
                all nodes.
            cohort_of: an earlier step, which counted what is summed now: the total is formed of
                exactly its nodes, or not at all.
            noise: what the total must hold beside the vectors: each node adds a share of it.

        Raises:
            CohortChanged: not all nodes of ``cohort_of`` are left; nothing was summed.
            NumericalError: a value is not finite or too large; nothing was sent.
            RefusedError: the site's privacy budget doesn't allow it; nothing was sent.
            NetworkError: the step could not be completed (the message names who is waited for).
        """
        ...

    async def gather(self, step: str, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name; the same mapping at every node. Never used for
        anything derived from a site's rows: public keys and shared choices only.
        """
        ...


async def decide(network: Network, step: str, choose: Callable[[], bytes]) -> bytes:
    """Take a choice once, at the root, and share it: the same bytes at every node.

    Rounding differs between processors, so a choice made from totals (which noise, which depth)
    must not be made twice. ``choose`` runs at the root only. If the root fails before its choice
    is shared, the next root chooses.

    Raises:
        TangentMeshError: as ``choose`` did at the root; it is raised at every node. Of other
            exceptions the root raises what it met, and the others a NumericalError.
    """
    attempt = 0
    while True:
        own, failure = _chosen(choose) if network.root == network.node else (b"", None)
        gathered = await network.gather(f"{step}/{attempt}", own)
        if choices := [choice for choice in gathered.values() if choice]:
            if failure is not None and choices[0] == own:
                raise failure
            return _heard(choices[0])
        attempt += 1


_FACTS = ("problem", "where", "expected", "found", "remedy")


class _Choice(msgspec.Struct, frozen=True):
    """A choice; or why there is none: the name of a type of `edge_node.errors`, and its facts."""

    content: bytes = b""
    error: str = ""
    facts: dict[str, str] = {}


def _chosen(choose: Callable[[], bytes]) -> tuple[bytes, Exception | None]:
    """What to share, and the exception that the root raises once all know of it."""
    try:
        return msgspec.msgpack.encode(_Choice(choose())), None
    except TangentMeshError as error:
        told = _Choice(error=type(error).__name__, facts=vars(error))
        return msgspec.msgpack.encode(told), error
    except Exception as error:  # it is raised again; the others would wait for ever
        facts = {"problem": "a shared choice failed at the root", "found": type(error).__name__}
        return msgspec.msgpack.encode(_Choice(error="NumericalError", facts=facts)), error


def _heard(shared: bytes) -> bytes:
    """The choice. Raises the error that the root met instead, or NetworkError for neither."""
    try:
        told = msgspec.msgpack.decode(shared, type=_Choice)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NetworkError("a shared choice can't be read", found=str(error)) from error
    if not told.error:
        return told.content
    facts = {fact: told.facts.get(fact, "") for fact in _FACTS}
    problem = facts.pop("problem") or "the root failed"
    kind = told.error if told.error in errors.__all__ else TangentMeshError.__name__
    raise getattr(errors, kind)(problem, **facts)
