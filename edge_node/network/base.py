"""What the federation program needs of a network: two primitives, ``sum`` and ``gather``.

Every node runs the same program and takes the same steps (`edge_node.step`) in the same order.
``edge_node.network.memory`` serves any number of nodes in one process;
``edge_node.network.tree.tree`` is the spanning tree over gRPC. What is chosen from a total is
chosen once, at the root, and rides in the sum's record: ``sum_and_decide``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np

from edge_node.arrays import Vector
from edge_node.errors import NetworkError
from edge_node.network.decision import Choose
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.step import Content, Step

__all__ = [
    "CohortChanged",
    "Network",
    "NetworkLayer",
    "Steps",
    "Terms",
    "check_next",
    "decide",
    "demanded_cohort",
    "demanded_noise",
    "sum_and_decide",
]

T = TypeVar("T")
Steps: TypeAlias = Mapping[Step, tuple[str, ...]]
"""Completed steps in order, each with the nodes, sorted, whose contributions its total holds. A
step that ended in `CohortChanged` has no total, and so no nodes."""


class CohortChanged(Exception):
    """A sum was asked for over the nodes of an earlier step, and some of them are gone.

    The total was not formed, and never will be: every node is told so at the same step.
    """


class Terms(TypedDict, total=False):
    """What may be demanded of a total; a network that wraps another one passes it on.

    Attributes:
        cohort_of: an earlier step, which counted what is summed now: the total is formed of
            exactly its nodes, or not at all.
        noise: what the total must hold beside the vectors, which are of whole numbers: each node
            adds a share of it.
        bounds: of the total's numbers, in absolute value, run by run: so many numbers, and their
            bound; None where none is known.
        features: of how many features outer products are summed; 0: of none.
        most_numbers: how many numbers the nodes' rows may tell in their life, with these; without
            it, any number.
        choose: what the root of the total's epoch chooses from it (``decision``).
    """

    cohort_of: Step
    noise: DiscreteGaussian
    bounds: Sequence[tuple[int, float | None]]
    features: int
    most_numbers: int
    choose: Choose


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

    @property
    def steps(self) -> Steps:
        """What this node's program has completed in the run."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Distinct rows of each node of the cohort: a power of two, rounded down, as it signed it.

        Known from the first sum on. Empty: the nodes are one process, and hide nothing.
        """
        ...

    @property
    def told(self) -> Mapping[str, int]:
        """How many numbers each node's rows have told before this run, as it signed it."""
        ...

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """The sum of all nodes' vectors: the same bytes at every node, whatever the tree.

        Args:
            step: a new one; its content says what is summed.
            vector: shape (k,), float64, finite, within the bounds of the terms, and below 2**53 in
                absolute value where there are none; k is the same at all nodes.
            terms: what is demanded of the total.

        Raises:
            CohortChanged: not all nodes of ``cohort_of`` are left; nothing was summed.
            NumericalError: a value is not finite or too large; nothing was sent.
            RefusedError: the site's privacy budget doesn't allow it; nothing was sent.
            NetworkError: the step was taken before, ``cohort_of`` is not complete, or the step
                could not be completed (the message names the nodes that are waited for).
        """
        ...

    def decision(self, step: Step) -> bytes:
        """What the root chose from the total of a step with ``choose`` in its terms.

        Raises:
            TangentMeshError: what was raised there; NetworkError: the step has no decision.
        """
        ...

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """Every node's bytes, by node name; the same mapping at every node.

        Never used for anything derived from a site's rows: for what all may know only, such as
        signatures. So the step's content is public. Raises NetworkError, as ``sum`` does.
        """
        ...

    def once(self, compute: Callable[[], T]) -> T:
        """A value that all nodes compute alike, from what they share: spec, totals, choices.

        A node computes it. Nodes in one process may do so once for all of them (`simulation`): so
        it depends on nothing of the node's own, all nodes ask for the same values in the same
        order, and nobody changes a value afterwards.
        """
        ...


class NetworkLayer:
    """A network over another one, which does everything that a subclass doesn't do itself."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def node(self) -> str:
        """As the network's."""
        return self._network.node

    @property
    def root(self) -> str:
        """As the network's."""
        return self._network.root

    @property
    def steps(self) -> Steps:
        """As the network's."""
        return self._network.steps

    @property
    def sizes(self) -> Mapping[str, int]:
        """As the network's."""
        return self._network.sizes

    @property
    def told(self) -> Mapping[str, int]:
        """As the network's."""
        return self._network.told

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """As the network's."""
        return await self._network.sum(step, vector, **terms)

    def decision(self, step: Step) -> bytes:
        """As the network's."""
        return self._network.decision(step)

    async def gather(self, step: Step, data: bytes) -> Mapping[str, bytes]:
        """As the network's."""
        return await self._network.gather(step, data)

    def once(self, compute: Callable[[], T]) -> T:
        """As the network's."""
        return self._network.once(compute)


def check_next(step: Step, steps: Steps, *, node: str, is_sum: bool) -> None:
    """Check that ``step`` may follow the ``steps`` that ``node`` has completed.

    Raises:
        NetworkError: it is among them, or its content is not for this primitive.
    """
    where = f"step {step} at {node}"
    if step in steps:
        raise NetworkError("a step's name was used twice", where=where)
    if step.is_sum is not is_sum:
        raise NetworkError(
            "the step's content can't be summed" if is_sum else "the step's content isn't gathered",
            where=where,
            expected="counts, statistics or a noisy sum" if is_sum else "what is public",
            found=step.content.value,
        )


def demanded_cohort(steps: Steps, terms: Terms) -> tuple[str, ...] | None:
    """The nodes that a total must be formed of; None: any. Raises NetworkError."""
    if (counted := terms.get("cohort_of")) is None:
        return None
    if counted not in steps:
        raise NetworkError("the step is not complete", where=f"step {counted}")
    return steps[counted]


def demanded_noise(step: Step, terms: Terms) -> DiscreteGaussian | None:
    """The noise that a total must hold; None: the sum is exact.

    Raises:
        NetworkError: a noisy sum has no noise, or noise is for a sum that isn't said to be noisy:
            a site's guard goes by what the step says.
    """
    noise = terms.get("noise")
    if step.is_noisy is (noise is None):
        raise NetworkError(
            "a step and its sum differ about noise",
            where=f"step {step}",
            expected="noise" if step.is_noisy else "no noise",
            found="no noise" if step.is_noisy else "noise",
        )
    return noise


async def sum_and_decide(
    network: Network, step: Step, vector: Vector, choose: Choose, /, **terms: Unpack[Terms]
) -> tuple[Vector, bytes]:
    """A sum, and the choice that the root takes from its total: the same bytes at every node.

    Rounding differs between processors, so a choice made from totals (which kernel, which metric)
    must not be made twice.

    Args:
        network: the network.
        step: of the sum, as are ``vector`` and ``terms``.
        vector: this node's, (k,).
        choose: from the total to the choice. It runs at the root only; after a failure it may run
            again, at another root or for another total. So it changes nothing.
        terms: what is demanded of the total.

    Raises:
        TangentMeshError: what ``choose`` raised at the root is raised at every node. If it is no
            TangentMeshError, the other nodes raise a NumericalError instead.
        CohortChanged, NumericalError, NetworkError, RefusedError: as ``Network.sum``.
    """
    terms["choose"] = choose
    total = await network.sum(step, vector, **terms)
    return total, network.decision(step)


async def decide(network: Network, choice: str, choose: Callable[[], bytes]) -> bytes:
    """A choice that needs no total: it rides on a sum of nothing, for which no site is asked.

    Otherwise as ``sum_and_decide``.
    """
    step = Step(choice, Content.NOTHING)
    _, chosen = await sum_and_decide(network, step, np.empty(0), lambda _: choose())
    return chosen
