"""The spanning tree and the neighbour graph: laws that hold for every cohort and history."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from aggregator.planning.neighbours import neighbour_graph
from aggregator.planning.obstacles import Obstacles
from aggregator.planning.tree import FAN_OUT, Tree, depth_limit, draw_tree

names = st.integers(0, 60).map("node-{}".format)


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[frozenset[str], frozenset[str]]:
    """Nodes that can be dialled (one or more), and nodes that only dial."""
    everyone = draw(st.frozensets(names, min_size=1, max_size=40))
    inbound = draw(st.frozensets(st.sampled_from(sorted(everyone)), min_size=1))
    return inbound, everyone - inbound


@st.composite
def obstacles(draw: st.DrawFn) -> Obstacles:
    """Edges that don't work."""
    return Obstacles(draw(st.frozensets(st.tuples(names, names), max_size=60)))


def check(tree: Tree | None, inbound: frozenset[str], leaves: frozenset[str]) -> Tree:
    """The laws of a spanning tree; returns it."""
    assert tree is not None
    everyone = inbound | leaves
    assert {tree.root, *tree.parents, *tree.unreached} == everyone
    assert not set(tree.unreached) & {tree.root, *tree.parents}
    assert tree.root not in tree.parents
    assert set(tree.parents.values()) <= inbound, "a node that can't be dialled has a child"
    steps = [len(path(tree, node)) for node in tree.parents]
    assert max(steps, default=0) == tree.depth
    assert most_children(tree) <= most(len(everyone), len(inbound))
    return tree


def path(tree: Tree, node: str) -> list[str]:
    """The nodes above ``node``; fails if they don't lead to the root."""
    above: list[str] = []
    while node != tree.root:
        node = tree.parents[node]
        above.append(node)
        assert len(above) <= len(tree.parents), "a cycle"
    return above


def most_children(tree: Tree) -> int:
    """The largest number of children of one node."""
    parents = list(tree.parents.values())
    return max((parents.count(parent) for parent in set(parents)), default=0)


@given(cohorts())
def test_spanning_tree(cohort):
    """A tree spans exactly its cohort, with few children a node and few levels."""
    inbound, leaves = cohort
    tree = check(draw_tree(inbound, leaves), inbound, leaves)
    assert tree.unreached == ()
    assert tree.depth <= depth_limit(len(inbound | leaves))


@given(cohorts(), st.randoms(use_true_random=False))
def test_determinism(cohort, random):
    """The tree and the graph depend on who takes part, not on the order of arrival."""
    inbound, leaves = (sorted(part) for part in cohort)
    first = draw_tree(inbound, leaves)
    graph = neighbour_graph(first, inbound)
    random.shuffle(inbound)
    random.shuffle(leaves)
    assert draw_tree(inbound, leaves) == first
    assert neighbour_graph(first, inbound) == graph


@given(cohorts(), cohorts(), obstacles())
@example((frozenset({"a"}), frozenset({"b"})), (frozenset({"b"}), frozenset({"a"})), Obstacles())
def test_repair(before, after, broken):
    """After any change of the cohort the repaired tree is a tree, without the broken edges."""
    old = check(draw_tree(*before), *before)
    spare = neighbours(neighbour_graph(old, before[0]))
    inbound, leaves = after
    tree = draw_tree(
        inbound, leaves, obstacles=broken, root=old.root, parents=old.parents, spare=spare
    )
    tree = check(tree, inbound, leaves)
    assert not set(tree.parents.items()) & broken.edges
    for node in tree.unreached:
        room = [p for p in inbound if p in {tree.root, *tree.parents} and children(tree, p) < 3]
        assert all((node, parent) in broken.edges for parent in room)


def children(tree: Tree, node: str) -> int:
    """The number of a node's children."""
    return list(tree.parents.values()).count(node)


def most(nodes: int, inbound: int) -> int:
    """The bound on a node's children: FAN_OUT, unless too few can be dialled."""
    return max(FAN_OUT, -(-(nodes - 1) // inbound))


def neighbours(edges: tuple[tuple[str, str], ...]) -> dict[str, set[str]]:
    """Each node's neighbours in a graph."""
    found: dict[str, set[str]] = {}
    for a, b in edges:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return found


@given(cohorts())
def test_nothing_changed(cohort):
    """Drawing the tree again over the same cohort changes nothing."""
    tree = draw_tree(*cohort)
    assert draw_tree(*cohort, root=tree.root, parents=tree.parents) == tree


@given(cohorts(), st.data())
def test_stability(cohort, data):
    """When one node leaves, only its own children get another parent, unless the bound on
    children falls with the cohort.
    """
    inbound, leaves = cohort
    tree = draw_tree(inbound, leaves)
    if len(inbound) == 1:
        return
    gone = data.draw(st.sampled_from(sorted({*tree.parents} - {tree.root})))
    everyone = len(inbound | leaves)
    assume(most(everyone, len(inbound)) == most(everyone - 1, len(inbound - {gone})))
    rest = draw_tree(inbound - {gone}, leaves - {gone}, root=tree.root, parents=tree.parents)
    moved = {node for node, parent in rest.parents.items() if tree.parents[node] != parent}
    assert rest.root == tree.root
    assert moved <= {node for node, parent in tree.parents.items() if parent == gone}


@given(cohorts())
def test_neighbour_graph(cohort):
    """The tree's edges are in the graph; each end can reach the other; each node has a spare."""
    inbound, leaves = cohort
    tree = draw_tree(inbound, leaves)
    graph = neighbour_graph(tree, inbound)
    assert all(a < b for a, b in graph)
    assert list(graph) == sorted(set(graph))
    assert {tuple(sorted(edge)) for edge in tree.parents.items()} <= set(graph)
    assert all(a in inbound or b in inbound for a, b in graph)
    if len(inbound) > 2:
        by_node = neighbours(graph)
        assert all(len(by_node[node]) >= 2 for node in inbound | leaves)
        assert len(graph) <= 2 * len(inbound | leaves)


def test_nobody_can_be_dialled():
    """Two nodes of which neither can be dialled have no tree; one node alone has."""
    assert draw_tree([], ["a", "b"]) is None
    assert draw_tree([], ["a"]) == Tree("a")


def test_another_root():
    """If nobody can dial the only candidate's way to the root, the other way round is tried."""
    tree = draw_tree(["a", "b"], [], obstacles=Obstacles(frozenset({("b", "a")})), root="a")
    assert tree == Tree("b", {"a": "b"}, 1)


def test_a_node_that_nobody_can_dial():
    """It becomes a leaf, though it says that it can be dialled, and even if it was the root."""
    tree = draw_tree(["a", "b", "c"], [], root="a", obstacles=Obstacles(nodes=frozenset("a")))
    assert tree.root != "a"
    assert "a" in tree.parents
    assert "a" not in tree.parents.values()


def test_unreached():
    """A node that nothing leads to is named, and not in the tree."""
    broken = Obstacles(frozenset({("c", "a"), ("c", "b"), ("a", "c"), ("b", "c")}))
    tree = draw_tree(["a", "b", "c"], [], obstacles=broken, root="a")
    assert tree.unreached == ("c",)
    assert tree.parents == {"b": "a"}


def test_a_large_federation():
    """Ten thousand nodes, half of them diallable: a low tree, bounded fan-out."""
    nodes = [f"device-{i}" for i in range(10_000)]
    tree = draw_tree(nodes[::2], nodes[1::2])
    assert tree.depth <= depth_limit(len(nodes))
    assert most_children_of_many(tree) == FAN_OUT
    assert len(tree.parents) == len(nodes) - 1


def most_children_of_many(tree: Tree) -> int:
    """As ``most_children``, in linear time."""
    counts: dict[str, int] = {}
    for parent in tree.parents.values():
        counts[parent] = counts.get(parent, 0) + 1
    return max(counts.values())
