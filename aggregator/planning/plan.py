"""A plan: who takes part in which run, and along which edges.

The value that the planner draws, the registry keeps and the discovery service hands out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Self, TypeAlias

from aggregator.planning.presence import Phase, Report
from tangentmesh.v1 import discovery_pb2

__all__ = ["Edge", "Member", "Plan"]

Edge: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cohort.

    Args:
        node: its name.
        address: host:port that peers dial; empty: a leaf that only dials.
        fingerprint: SHA-256 of its certificate, 32 bytes.
        parent: the next node towards the root; empty at the root.
    """

    node: str
    address: str
    fingerprint: bytes
    parent: str


@dataclass(frozen=True)
class Plan:
    """A cohort and its spanning tree, valid until an epoch with a greater number.

    Args:
        epoch: grows with every plan.
        run: grows when the program starts anew.
        spec_hash: SHA-256 of the federation spec, 32 bytes.
        root: the node where totals are formed.
        members: by name, in ascending order.
        edges: the neighbour graph, each edge and all of them in ascending order.
        created: UNIX seconds.
    """

    epoch: int
    run: int
    spec_hash: bytes
    root: str
    members: tuple[Member, ...]
    edges: tuple[Edge, ...]
    created: float = field(default=0.0, compare=False)

    @cached_property
    def by_node(self) -> dict[str, Member]:
        """The members by name."""
        return {member.node: member for member in self.members}

    @cached_property
    def parents(self) -> dict[str, str]:
        """Each member's parent, the root's left out."""
        return {member.node: member.parent for member in self.members if member.parent}

    @cached_property
    def neighbours(self) -> dict[str, set[str]]:
        """Each member's neighbours in the graph."""
        found: dict[str, set[str]] = {}
        for a, b in self.edges:
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
        return found

    def completed_by(self, report: Report) -> bool:
        """Whether a node that reports so holds the posterior of this plan's run."""
        return (report.phase, report.run) == (Phase.COMPLETE, self.run)

    @cached_property
    def message(self) -> discovery_pb2.Plan:
        """The wire form, without certificates; nobody changes it.

        For ten thousand members it takes a tenth of a second, so it is made once.
        """
        message = discovery_pb2.Plan(
            epoch=self.epoch,
            run=self.run,
            spec_hash=self.spec_hash,
            root=self.root,
            members=[
                discovery_pb2.Member(
                    node=member.node,
                    address=member.address,
                    fingerprint=member.fingerprint,
                    parent=member.parent,
                )
                for member in self.members
            ],
            edges=[discovery_pb2.Edge(a=a, b=b) for a, b in self.edges],
        )
        message.created.FromDatetime(datetime.fromtimestamp(self.created, UTC))
        return message

    def copy_to(self, message: discovery_pb2.Plan, certificates: Mapping[str, bytes]) -> None:
        """Fill the wire form in, with some members' certificates (DER)."""
        message.CopyFrom(self.message)
        for name, certificate in certificates.items():
            message.members[self._places[name]].certificate = certificate

    @cached_property
    def _places(self) -> dict[str, int]:
        return {member.node: place for place, member in enumerate(self.members)}

    @classmethod
    def from_message(cls, message: discovery_pb2.Plan) -> Self:
        """The inverse of ``message``."""
        return cls(
            epoch=message.epoch,
            run=message.run,
            spec_hash=message.spec_hash,
            root=message.root,
            members=tuple(
                Member(member.node, member.address, member.fingerprint, member.parent)
                for member in message.members
            ),
            edges=tuple((edge.a, edge.b) for edge in message.edges),
            created=message.created.ToNanoseconds() / 1e9,
        )
