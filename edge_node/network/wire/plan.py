"""Plans as messages, and the check of a plan that a node receives.

A node refuses a plan that is no tree: it must have one root, every member's parent must be a
member, there must be no circle, and every member that has children must have an address.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property

from edge_node.config import LARGEST_COHORT
from edge_node.config.names import check_node_name, split_address
from edge_node.errors import ConfigurationError
from edge_node.federation.plan import Member, Plan, path_to_root, unusable
from tangentmesh.v1 import discovery_pb2

__all__ = ["PlanCopies", "check_plan", "parse_plan", "plan_message", "receive_plan"]

_DIGEST = 32  # bytes of a SHA-256
_LARGEST = 2**63  # epochs and runs stay below


def plan_message(plan: Plan) -> discovery_pb2.Plan:
    """The wire form of a plan, without certificates."""
    message = discovery_pb2.Plan(
        epoch=plan.epoch,
        run=plan.run,
        spec_hash=plan.spec_hash,
        root=plan.root,
        members=[
            discovery_pb2.Member(
                node=member.node,
                address=member.address,
                fingerprint=member.fingerprint,
                parent=member.parent,
            )
            for member in plan.members
        ],
        edges=[discovery_pb2.Edge(a=a, b=b) for a, b in plan.edges],
    )
    message.created.FromDatetime(plan.created)
    return message


@dataclass(frozen=True)
class PlanCopies:
    """The copies of a plan that its members get: each with the certificate of its own parent.

    The wire form is made once. For ten thousand members it takes a tenth of a second.
    """

    plan: Plan

    def write(self, copy: discovery_pb2.Plan, *, node: str, certificate: bytes) -> None:
        """Make ``copy`` the one for ``node``; ``certificate`` (DER) is its parent's."""
        copy.CopyFrom(self._message)
        if parent := self.plan.parent(node):
            copy.members[self._places[parent]].certificate = certificate

    @cached_property
    def _message(self) -> discovery_pb2.Plan:
        return plan_message(self.plan)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {node: place for place, node in enumerate(self.plan.cohort)}


def parse_plan(message: discovery_pb2.Plan) -> Plan:
    """Read a plan as it stands. Raises NetworkError if its time of creation is out of range."""
    try:
        created = message.created.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise unusable("its time of creation is out of range", message.epoch) from error
    return Plan(
        epoch=message.epoch,
        run=message.run,
        spec_hash=message.spec_hash,
        root=message.root,
        members=tuple(_member(member) for member in message.members),
        edges=tuple((edge.a, edge.b) for edge in message.edges),
        created=created,
    )


def receive_plan(message: discovery_pb2.Plan, *, node: str) -> Plan:
    """Read and check the copy of a plan that ``node`` received.

    Raises:
        NetworkError: the plan is no tree, ``node`` is no member, or the certificate to be pinned is
            not the parent's.
    """
    plan = parse_plan(message)
    check_plan(plan)
    if node not in plan.by_node:
        raise unusable(f"it does not name {node}, which received it", plan.epoch)
    if parent := plan.parent(node):
        plan.check_certificate(parent, plan.by_node[parent].certificate)
    return plan


def check_plan(plan: Plan) -> None:
    """Check that a plan is a tree over its members. Raises NetworkError, which says why not."""
    for complaint in _complaints(plan):
        raise unusable(complaint, plan.epoch)


def _member(message: discovery_pb2.Member) -> Member:
    return Member(
        node=message.node,
        address=message.address,
        fingerprint=message.fingerprint,
        parent=message.parent,
        certificate=message.certificate,
    )


def _complaints(plan: Plan) -> Iterator[str]:
    """What is wrong with a plan, worst first; a later check may rely on the earlier ones."""
    if not 0 < plan.epoch < _LARGEST or not 0 < plan.run < _LARGEST:
        yield f"epoch {plan.epoch} and run {plan.run} must be positive"
    if len(plan.spec_hash) != _DIGEST:
        yield f"its spec hash has {len(plan.spec_hash)} bytes, not {_DIGEST}"
    if (size := len(plan.members)) > LARGEST_COHORT:
        yield f"its {size} members are more than the {LARGEST_COHORT} that can be summed"
    names = list(plan.cohort)
    if not names or names != sorted(set(names)):
        yield f"its members are not distinct and in ascending order: {', '.join(names) or 'none'}"
    roots = [member.node for member in plan.members if not member.parent]
    if roots != [plan.root]:
        yield f"it has the root {plan.root!r}, but no parent at {', '.join(roots) or 'no member'}"
    yield from _member_complaints(plan.by_node, plan.root)
    yield from _edge_complaints(plan, plan.by_node)


def _member_complaints(members: dict[str, Member], root: str) -> Iterator[str]:
    parents = {member.parent for member in members.values()}
    if len({member.fingerprint for member in members.values()}) != len(members):
        yield "two members have the same certificate"
    for node, member in members.items():
        if len(member.fingerprint) != _DIGEST:
            yield f"the fingerprint of {node} has {len(member.fingerprint)} bytes, not {_DIGEST}"
        if path_to_root(node, members)[-1] != root:
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
