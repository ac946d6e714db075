"""A plan: who takes part in which run, and along which edges.

The aggregator draws plans and keeps them; nodes act on the newest one. The value checks nothing:
a node checks what it receives (`edge_node.network.wire.plan`). ``Plan.hash`` stands in every
message between nodes, so two nodes that exchange one agree on cohort, certificates and tree.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeAlias

import msgspec

from edge_node.errors import NetworkError
from edge_node.federation.report import Phase, Report

__all__ = ["Edge", "Member", "Plan", "path_to_root", "unusable"]

Edge: TypeAlias = tuple[str, str]

_UNDATED = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cohort: where it is dialled, how it is recognised, and which node it dials.

    Args:
        node: its name.
        address: host:port that peers dial; empty: a leaf that only dials.
        fingerprint: SHA-256 of its certificate (DER), 32 bytes.
        parent: the next node towards the root; empty at the root.
        certificate: DER. Each node is given its own parent's and no other, so a certificate is no
            part of what members agree on.
    """

    node: str
    address: str
    fingerprint: bytes
    parent: str
    certificate: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Plan:
    """A cohort, its neighbour graph and a spanning tree in it, valid until the next epoch.

    Args:
        epoch: grows with every plan.
        run: grows when the program starts anew.
        spec_hash: SHA-256 of the federation spec, 32 bytes.
        root: the node where totals are formed.
        members: by name, in ascending order.
        edges: the neighbour graph.
        created: when the plan was issued (UTC).
    """

    epoch: int
    run: int
    spec_hash: bytes
    root: str
    members: tuple[Member, ...]
    edges: tuple[Edge, ...]
    created: datetime = _UNDATED

    @cached_property
    def cohort(self) -> tuple[str, ...]:
        """The members' names, ascending."""
        return tuple(member.node for member in self.members)

    @cached_property
    def by_node(self) -> dict[str, Member]:
        """The members by name."""
        return {member.node: member for member in self.members}

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 (32 bytes) of everything that members agree on: all but certificates."""
        facts = (
            self.epoch,
            self.run,
            self.spec_hash,
            self.root,
            [(m.node, m.address, m.fingerprint, m.parent) for m in self.members],
            sorted(tuple(sorted(edge)) for edge in self.edges),
            self.created,
        )
        return hashlib.sha256(b"tangentmesh/v1/plan\0" + msgspec.json.encode(facts)).digest()

    @cached_property
    def parents(self) -> dict[str, str]:
        """Each member's parent; the root has none and is left out."""
        return {member.node: member.parent for member in self.members if member.parent}

    @cached_property
    def neighbours(self) -> dict[str, set[str]]:
        """Each member's neighbours in the graph."""
        found: dict[str, set[str]] = {}
        for a, b in self.edges:
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
        return found

    def parent(self, node: str) -> str:
        """The next node towards the root; empty at the root. Raises KeyError."""
        return self.by_node[node].parent

    def children(self, node: str) -> tuple[str, ...]:
        """The nodes that dial ``node``, ascending."""
        return tuple(member.node for member in self.members if member.parent == node)

    def subtree(self, node: str) -> frozenset[str]:
        """``node`` and all nodes whose path to the root passes it."""
        return frozenset(name for name in self.cohort if node in path_to_root(name, self.by_node))

    def fingerprint(self, node: str) -> bytes:
        """SHA-256 of the member's certificate. Raises KeyError."""
        return self.by_node[node].fingerprint

    def completed_by(self, report: Report) -> bool:
        """Whether the node that reports this holds the posterior of the plan's run."""
        return (report.phase, report.run) == (Phase.COMPLETE, self.run)

    def check_certificate(self, node: str, certificate: bytes) -> None:
        """Check that a certificate (DER) is the one planned for ``node``. Raises NetworkError."""
        if hashlib.sha256(certificate).digest() != self.fingerprint(node):
            raise unusable(f"the certificate shown for {node} is not the planned one", self.epoch)

    def check_cohort(self, epoch: int, cohort: Sequence[str]) -> None:
        """Check that a completed step can be of ``cohort``.

        A step of this epoch has all members. One of an earlier epoch may also have nodes that were
        lost since.

        Raises:
            NetworkError: it is of another cohort, or of an epoch that is still to come.
        """
        lost = set(cohort) - set(self.cohort) if epoch < self.epoch else set()
        if epoch > self.epoch or set(cohort) - lost != set(self.cohort):
            raise NetworkError(
                "a completed step is not of the plan's cohort",
                where=f"epoch {epoch}",
                expected=", ".join(self.cohort),
                found=", ".join(cohort),
                remedy="Ask who operates the tree's inner nodes: one of them changed it",
            )


def path_to_root(node: str, members: dict[str, Member]) -> list[str]:
    """``node``, its parent, and so on. It stops at the root, a stranger, or a circle's end."""
    path: list[str] = []
    while node in members and node not in path:
        path.append(node)
        node = members[node].parent
    return path


def unusable(problem: str, epoch: int) -> NetworkError:
    """The error of a plan on which no node can act."""
    return NetworkError(
        f"the aggregator's plan can't be used: {problem}",
        where=f"plan of epoch {epoch}",
        remedy="Update node and aggregator to the same version; if they are, report this",
    )
