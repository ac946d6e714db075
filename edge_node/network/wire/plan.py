"""Who takes part, and along which edges: the aggregator's plan, read and checked.

A plan is refused unless it is a tree: one root, every member's parent a member, no circle, and an
address wherever somebody has to dial. Nodes act on the newest epoch only. ``Plan.hash`` stands in
every message, so two nodes that exchange one have agreed on cohort, certificates and tree.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

import msgspec

from edge_node.config import LARGEST_COHORT
from edge_node.config.names import check_node_name, split_address
from edge_node.errors import ConfigurationError, NetworkError
from tangentmesh.v1 import discovery_pb2

__all__ = ["Member", "Plan"]

_DIGEST = 32  # bytes of a SHA-256
_LARGEST = 2**63  # epochs and runs stay below


@dataclass(frozen=True)
class Member:
    """One node of the cohort: where it is dialled, how it is recognised, whom it dials.

    ``fingerprint`` is the SHA-256 of its certificate (DER). ``certificate`` (DER) is given for the
    receiver's own parent only and is no part of what members agree on.
    """

    node: str
    address: str
    fingerprint: bytes
    parent: str
    certificate: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Plan:
    """A cohort, its neighbour graph and the spanning tree in it, valid for one epoch.

    Raises:
        NetworkError: at construction, if it is not a tree over its members.
    """

    epoch: int
    run: int
    spec_hash: bytes
    root: str
    members: tuple[Member, ...]
    edges: tuple[tuple[str, str], ...]
    created: datetime

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise _broken(complaint, self.epoch)

    @classmethod
    def from_message(cls, message: discovery_pb2.Plan, *, node: str) -> Self:
        """Read the copy of a plan that ``node`` received.

        Raises:
            NetworkError: the plan is no tree, ``node`` is no member, or the certificate to be
                pinned is not the parent's.
        """
        try:
            created = message.created.ToDatetime(tzinfo=UTC)
        except ValueError as error:
            raise _broken("its time of creation is out of range", message.epoch) from error
        plan = cls(
            epoch=message.epoch,
            run=message.run,
            spec_hash=message.spec_hash,
            root=message.root,
            members=tuple(_member(member) for member in message.members),
            edges=tuple((edge.a, edge.b) for edge in message.edges),
            created=created,
        )
        plan.check_receiver(node)
        return plan

    def to_message(self, *, receiver: str) -> discovery_pb2.Plan:
        """The copy for one member: with the certificate of its own parent, and no other."""
        message = discovery_pb2.Plan(
            epoch=self.epoch, run=self.run, spec_hash=self.spec_hash, root=self.root
        )
        message.created.FromDatetime(self.created)
        for member in self.members:
            message.members.add(
                node=member.node,
                address=member.address,
                fingerprint=member.fingerprint,
                parent=member.parent,
                certificate=member.certificate if member.node == self.parent(receiver) else b"",
            )
        for a, b in self.edges:
            message.edges.add(a=a, b=b)
        return message

    def check_receiver(self, node: str) -> None:
        """Check that ``node`` can act on this copy. Raises NetworkError."""
        if node not in self._by_name:
            raise _broken(f"it does not name {node}, which received it", self.epoch)
        parent = self.parent(node)
        if not parent:
            return
        self.check_certificate(parent, self.member(parent).certificate)

    @cached_property
    def cohort(self) -> tuple[str, ...]:
        """The members' names, ascending."""
        return tuple(member.node for member in self.members)

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

    def member(self, node: str) -> Member:
        """The member of this name. Raises KeyError."""
        return self._by_name[node]

    def fingerprint(self, node: str) -> bytes:
        """SHA-256 of the member's certificate."""
        return self._by_name[node].fingerprint

    def check_certificate(self, node: str, certificate: bytes) -> None:
        """Check that a certificate (DER) is the one planned for ``node``. Raises NetworkError."""
        if hashlib.sha256(certificate).digest() != self.fingerprint(node):
            raise _broken(f"a certificate shown for {node} has not its fingerprint", self.epoch)

    def check_cohort(self, epoch: int, cohort: Sequence[str]) -> None:
        """Check that a record can be of ``cohort``: of all members, and in earlier epochs of those
        who were lost since.

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

    def parent(self, node: str) -> str:
        """The next node towards the root; empty at the root."""
        return self._by_name[node].parent

    def children(self, node: str) -> tuple[str, ...]:
        """The nodes that dial ``node``, ascending."""
        return tuple(member.node for member in self.members if member.parent == node)

    def subtree(self, node: str) -> frozenset[str]:
        """``node`` and all nodes whose path to the root passes it."""
        return frozenset(name for name in self.cohort if node in _path_to_root(name, self._by_name))

    @cached_property
    def _by_name(self) -> dict[str, Member]:
        return {member.node: member for member in self.members}


def _member(message: discovery_pb2.Member) -> Member:
    return Member(
        node=message.node,
        address=message.address,
        fingerprint=message.fingerprint,
        parent=message.parent,
        certificate=message.certificate,
    )


def _path_to_root(node: str, members: dict[str, Member]) -> list[str]:
    """``node``, its parent, and so on; stops at the root, a stranger, or where a circle closes."""
    path: list[str] = []
    while node in members and node not in path:
        path.append(node)
        node = members[node].parent
    return path


def _complaints(plan: Plan) -> Iterator[str]:
    """What is wrong with a plan, worst first; a later check may rely on the earlier ones."""
    if not 0 < plan.epoch < _LARGEST or not 0 < plan.run < _LARGEST:
        yield f"epoch {plan.epoch} and run {plan.run} must be positive"
    if len(plan.spec_hash) != _DIGEST:
        yield f"its spec hash has {len(plan.spec_hash)} bytes, not {_DIGEST}"
    if (size := len(plan.members)) > LARGEST_COHORT:
        yield f"its {size} members are more than the {LARGEST_COHORT} that can be summed"
    names = [member.node for member in plan.members]
    if not names or names != sorted(set(names)):
        yield f"its members are not distinct and in ascending order: {', '.join(names) or 'none'}"
    members = dict(zip(names, plan.members, strict=True))
    roots = [member.node for member in plan.members if not member.parent]
    if roots != [plan.root]:
        yield f"it has the root {plan.root!r}, but no parent at {', '.join(roots) or 'no member'}"
    yield from _member_complaints(members, plan.root)
    yield from _edge_complaints(plan, members)


def _member_complaints(members: dict[str, Member], root: str) -> Iterator[str]:
    parents = {member.parent for member in members.values()}
    if len({member.fingerprint for member in members.values()}) != len(members):
        yield "two members have the same certificate"
    for node, member in members.items():
        if len(member.fingerprint) != _DIGEST:
            yield f"the fingerprint of {node} has {len(member.fingerprint)} bytes, not {_DIGEST}"
        if _path_to_root(node, members)[-1] != root:
            yield f"there is no path from {node} to the root {root}"
        if node in parents and not member.address:
            yield f"{node} has children, but no address to dial"
        try:
            check_node_name(node)
            split_address(member.address or "leaf:1")
        except ConfigurationError as error:
            yield f"{node!r}: {error}"


def _edge_complaints(plan: Plan, members: dict[str, Member]) -> Iterator[str]:
    edges = {frozenset(edge) for edge in plan.edges}
    for a, b in plan.edges:
        if a == b or a not in members or b not in members:
            yield f"the edge {a} - {b} does not join two members"
    for node, member in members.items():
        if member.parent and frozenset((node, member.parent)) not in edges:
            yield f"the tree's edge {node} - {member.parent} is not in the neighbour graph"


def _broken(problem: str, epoch: int) -> NetworkError:
    return NetworkError(
        f"the aggregator's plan can't be used: {problem}",
        where=f"plan of epoch {epoch}",
        remedy="Update node and aggregator to the same version; if they are, report this",
    )
