"""A plan is a tree over its members, or refused; its hash is what members agree on."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NetworkError
from edge_node.federation.plan import Member, Plan
from edge_node.network.wire.plan import check_plan, parse_plan, plan_message, receive_plan
from tangentmesh.v1 import discovery_pb2
from tests.support.mesh import copy_of


def member(node: str, parent: str, address: str = "") -> Member:
    """A member whose certificate is its name."""
    certificate = node.encode()
    return Member(node, address, hashlib.sha256(certificate).digest(), parent, certificate)


def plan_of(parents: dict[str, str], **changes: object) -> Plan:
    """The plan of a tree; nodes with children have an address."""
    inner = set(parents.values())
    members = tuple(
        member(node, parent, f"{node}:7710" if node in inner else "")
        for node, parent in sorted(parents.items())
    )
    plan = Plan(
        epoch=3,
        run=2,
        spec_hash=bytes(32),
        root=next(node for node, parent in parents.items() if not parent),
        members=members,
        edges=tuple((node, parent) for node, parent in parents.items() if parent),
        created=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


TREE = {"a": "c", "b": "c", "c": "", "d": "b", "e": "b", "f": "e"}


@st.composite
def trees(draw: st.DrawFn) -> dict[str, str]:
    """Any tree over up to ten nodes."""
    nodes = [f"n{i}" for i in draw(st.permutations(range(draw(st.integers(1, 10)))))]
    parents = {nodes[0]: ""}
    for i, node in enumerate(nodes[1:], 1):
        parents[node] = nodes[draw(st.integers(0, i - 1))]
    return parents


def test_relations() -> None:
    """Children, parent, subtree, cohort."""
    plan = plan_of(TREE)
    assert plan.cohort == ("a", "b", "c", "d", "e", "f")
    assert plan.children("b") == ("d", "e")
    assert plan.children("f") == ()
    assert (plan.parent("f"), plan.parent("c")) == ("e", "")
    assert plan.subtree("b") == {"b", "d", "e", "f"}
    assert plan.subtree("c") == set(plan.cohort)


@given(trees())
def test_each_node_is_in_the_subtrees_of_its_path_only(parents: dict[str, str]) -> None:
    """A node's subtree is itself and its children's subtrees, which don't overlap."""
    plan = plan_of(parents)
    for node in plan.cohort:
        below = [plan.subtree(child) for child in plan.children(node)]
        assert sum(map(len, below)) + 1 == len(plan.subtree(node))
        assert plan.subtree(node) == {node}.union(*below)


@given(trees(), st.data())
def test_the_wire_keeps_everything_but_other_nodes_certificates(
    parents: dict[str, str], data: st.DataObject
) -> None:
    """Every receiver has an equal plan with the same hash, and its parent's certificate only."""
    plan = plan_of(parents)
    node = data.draw(st.sampled_from(plan.cohort))
    wire = copy_of(plan, node).SerializeToString()
    copy = receive_plan(discovery_pb2.Plan.FromString(wire), node=node)
    assert (copy, copy.hash) == (plan, plan.hash)
    shown = {each.node for each in copy.members if each.certificate}
    assert shown == ({plan.parent(node)} if plan.parent(node) else set())


@given(trees())
def test_the_registry_keeps_everything_but_certificates(parents: dict[str, str]) -> None:
    """What the aggregator writes for itself is the plan, without any certificate."""
    plan = plan_of(parents)
    kept = parse_plan(plan_message(plan))
    assert (kept, kept.hash) == (plan, plan.hash)
    assert not any(each.certificate for each in kept.members)


CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "epoch": lambda p: replace(p, epoch=4),
    "run": lambda p: replace(p, run=3),
    "spec": lambda p: replace(p, spec_hash=bytes([1] * 32)),
    "created": lambda p: replace(p, created=datetime(2026, 1, 2, tzinfo=UTC)),
    "edge": lambda p: replace(p, edges=(*p.edges, ("a", "f"))),
    "tree": lambda _: plan_of({**TREE, "f": "b"}, edges=(("f", "b"), *plan_of(TREE).edges)),
    "address": lambda p: replace(p, members=(replace(p.members[0], address="x:1"), *p.members[1:])),
    "certificate": lambda p: replace(
        p, members=(replace(p.members[0], fingerprint=bytes(32)), *p.members[1:])
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_hash_covers_every_fact(change: Callable[[Plan], Plan]) -> None:
    """Nothing that members must agree on can differ under one hash."""
    plan = plan_of(TREE)
    assert change(plan).hash != plan.hash


def test_the_hash_ignores_the_order_of_edges() -> None:
    """An edge has no direction, and edges have no order."""
    plan = plan_of(TREE)
    turned = tuple((b, a) for a, b in reversed(plan.edges))
    assert replace(plan, edges=turned).hash == plan.hash


def broken(parents: dict[str, str] | None = None, **changes: object) -> Callable[[], Plan]:
    """A plan to be built later."""
    return lambda: plan_of(parents or TREE, **changes)


def members_of(*members: Member) -> Callable[[], Plan]:
    """A plan of these members with the root r."""
    edges = tuple((each.node, each.parent) for each in members if each.parent)
    return broken({"r": ""}, members=members, edges=edges)


R, C = member("r", "", "r:1"), member("c", "r")
BROKEN: dict[str, tuple[Callable[[], Plan], str]] = {
    "no epoch": (broken(epoch=0), "must be positive"),
    "no run": (broken(run=0), "must be positive"),
    "short spec hash": (broken(spec_hash=b"x"), "spec hash has 1 bytes"),
    "nobody": (members_of(), "not distinct and in ascending order: none"),
    "order": (members_of(R, C), "ascending order: r, c"),
    "twice": (members_of(C, C, R), "distinct"),
    "two roots": (members_of(replace(C, parent=""), R), "no parent at c, r"),
    "another root": (broken(root="a"), "root 'a', but no parent at c"),
    "stranger": (broken(members=members_of(C, R)().members[:1]), "no parent at no member"),
    "circle": (
        members_of(member("a", "b", "a:1"), member("b", "a", "b:1"), R),
        "no path from a to the root r",
    ),
    "no address": (members_of(C, replace(R, address="")), "r has children, but no address"),
    "bad address": (members_of(C, replace(R, address="nowhere")), "'r': .*not an address"),
    "bad name": (members_of(member("c_d", "r"), R), "a node can't have this name"),
    "reserved": (members_of(member("aggregator", "r"), R), "reserved"),
    "fingerprint": (members_of(replace(C, fingerprint=b"123"), R), "of c has 3 bytes"),
    "same certificate": (
        members_of(replace(C, fingerprint=R.fingerprint), R),
        "two members have the same certificate",
    ),
    "too many": (
        broken({"n00000": "", **{f"n{i:05d}": "n00000" for i in range(1, 16385)}}),
        "16385 members are more than the 16384 that can be summed",
    ),
    "loop edge": (broken(edges=(*plan_of(TREE).edges, ("a", "a"))), "edge a - a does not join"),
    "foreign edge": (broken(edges=(*plan_of(TREE).edges, ("a", "z"))), "edge a - z does not join"),
    "tree outside": (broken(edges=plan_of(TREE).edges[1:]), "a - c is not in the neighbour graph"),
}


@pytest.mark.parametrize(("plan", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_tree_is_refused_with_the_reason(plan: Callable[[], Plan], reason: str) -> None:
    """One root, no circle, no stranger, an address wherever somebody dials."""
    with pytest.raises(NetworkError, match=reason):
        check_plan(plan())


def test_the_largest_cohort_is_no_mistake() -> None:
    """As many as can be summed without coming round the ring."""
    plan = plan_of({"n00000": "", **{f"n{i:05d}": "n00000" for i in range(1, 16384)}})
    check_plan(plan)
    assert len(plan.cohort) == 16384


@pytest.mark.parametrize(
    ("epoch", "cohort", "fits"),
    [
        (3, tuple(TREE), True),
        (2, (*TREE, "g"), True),
        (3, tuple(TREE)[1:], False),
        (3, (*TREE, "g"), False),
        (3, (), False),
        (4, tuple(TREE), False),
    ],
    ids=["this", "earlier", "shrunk", "grown", "nobody", "later"],
)
def test_a_completed_step_names_the_planned_cohort(
    epoch: int, cohort: tuple[str, ...], fits: bool
) -> None:
    """What was completed in an earlier epoch has that epoch's."""
    plan = plan_of(TREE)
    if fits:
        plan.check_cohort(epoch, cohort)
        return
    with pytest.raises(NetworkError, match="not of the plan's cohort"):
        plan.check_cohort(epoch, cohort)


def test_a_plan_without_its_receiver_is_refused() -> None:
    """It was meant for somebody else."""
    with pytest.raises(NetworkError, match="does not name z"):
        receive_plan(copy_of(plan_of(TREE), "a"), node="z")


@pytest.mark.parametrize("certificate", [b"", b"another"])
def test_the_parents_certificate_must_have_its_fingerprint(certificate: bytes) -> None:
    """What is pinned when dialling is what all have agreed on."""
    message = copy_of(plan_of(TREE), "a")
    next(each for each in message.members if each.node == "c").certificate = certificate
    with pytest.raises(NetworkError, match="the certificate shown for c is not the planned one"):
        receive_plan(message, node="a")


def test_a_time_out_of_range_is_refused() -> None:
    """Not a crash of the reader."""
    message = copy_of(plan_of(TREE), "c")
    message.created.seconds = 2**62
    with pytest.raises(NetworkError, match="time of creation"):
        receive_plan(message, node="c")
