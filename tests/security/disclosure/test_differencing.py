"""Which nodes a new total would isolate: examples, laws, and every case that is small enough."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.security.disclosure.differencing import Row, isolated


def row(text: str) -> Row:
    """``row("a b2 c")``: nodes a, b and c, b with the second version of its rows."""
    return frozenset((name[0], name[1:].encode()) for name in text.split())


def rows(*texts: str) -> list[Row]:
    """Several."""
    return [row(text) for text in texts]


@pytest.mark.parametrize(
    ("released", "new", "found"),
    [
        ([], "a b c", ""),
        (["a b c"], "a b c", ""),
        (["a b c d"], "a b c", "d"),
        (["a b c"], "a b c d", "d"),
        (["a b c d e"], "a b c", "de"),
        (["a b c d e f"], "a b c", ""),
        (["a b c d"], "a2 b2 c2", ""),
        (["a b c d"], "a2 b2 c2 d2", ""),
        (["a b c d"], "a2 b c d", "a"),
        (["a b c d"], "a2 b2 c d", "ab"),
        (["a b c d"], "a2 b2 c2 d", ""),
        (["a b c d"], "a2 b2 c", ""),
        (["a b c d"], "a2 b c", "ad"),
        (["a b c", "d e f"], "a b c d e f g", "g"),
        (["a b c", "d e f"], "a b c d e f", ""),
        (["a b c d e f", "d e f g h i"], "a b c g h i j", ""),
        (["a b c d e f", "d e f g h i", "a b c"], "g h i j", "j"),
        (["a b c p q", "d e f p q"], "a b c d e f p", "pq"),
        (["a b c p", "d e f q"], "a b c d e f p q", ""),
        (["p q a", "q r a b"], "p r b c", "pc"),
    ],
)
def test_who_is_isolated(released: list[str], new: str, found: str) -> None:
    """Three nodes may be."""
    assert isolated(rows(*released), row(new), fewest=3) == frozenset(found)


def test_what_is_known_already_is_no_reason() -> None:
    """The totals of abcd and abc have told d; the next may do so again, and nothing else."""
    released = rows("a b c d", "a b c")
    assert isolated(released, row("a b c d"), fewest=3) == frozenset()
    assert isolated(rows("a b c d e f g", "a b c d e f"), row("a b c"), fewest=3) == frozenset()
    assert isolated(rows("a b c d", "a b c", "e f g"), row("a b c e f g"), fewest=3) == frozenset()
    assert "e" in isolated(released, row("a b c e"), fewest=3)
    assert isolated(released, row("a b d"), fewest=3) == frozenset("c")


def test_what_is_harmless() -> None:
    """Consenting nodes may be isolated; few of them don't hide another."""
    harmless = frozenset("xyz").issuperset
    assert isolated(rows("a b c x"), row("a b c"), fewest=3, harmless=harmless) == frozenset()
    assert isolated(rows("a b c x y"), row("a b c"), fewest=3, harmless=harmless) == frozenset()
    assert isolated(rows("a b c x d"), row("a b c"), fewest=3, harmless=harmless) == frozenset("xd")
    released = rows("a b c x", "a b c")
    assert "d" in isolated(released, row("a b c x d"), fewest=3, harmless=harmless)


def rank(vectors: Sequence[Sequence[int]]) -> int:
    """By Gaussian elimination over the rationals."""
    left = [[Fraction(number) for number in vector] for vector in vectors]
    found = 0
    for column in range(len(vectors[0]) if vectors else 0):
        pivot = next((vector for vector in left if vector[column]), None)
        if pivot is None:
            continue
        found += 1
        left = [
            [a - vector[column] / pivot[column] * b for a, b in zip(vector, pivot, strict=True)]
            for vector in left
            if vector is not pivot
        ]
    return found


def oracle(released: list[Row], new: Row, fewest: int) -> set[frozenset[str]]:
    """Every set of few nodes that has a vector which needs the new row: all sets are tried.

    A vector of the span of ``released`` plus ``new`` that is zero outside a set exists if and only
    if the new row depends on the released ones there; it is new unless it depends on them
    everywhere.
    """
    columns = sorted(frozenset().union(new, *released))
    everywhere = [[int(c in each) for c in columns] for each in [*released, new]]
    if rank(everywhere) == rank(everywhere[:-1]):
        return set()
    nodes = sorted({node for node, _ in columns})
    found = set()
    for size in range(fewest):
        for chosen in map(frozenset, combinations(nodes, size)):
            outside = [c for c in columns if c[0] not in chosen]
            vectors = [[int(c in each) for c in outside] for each in [*released, new]]
            if rank(vectors) == rank(vectors[:-1]):
                found.add(chosen)
    return found


cohorts = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([b"", b"2"]), min_size=1).map(
    lambda chosen: frozenset(chosen.items())
)


@settings(deadline=None, max_examples=400)
@given(st.lists(cohorts, max_size=5), cohorts, st.integers(2, 5))
def test_every_small_case(released: list[Row], new: Row, fewest: int) -> None:
    """It finds a set if and only if trying all of them does."""
    found = isolated(released, new, fewest=fewest)
    expected = oracle(released, new, fewest)
    assert bool(found) == bool(expected)
    assert not found or found in expected
    assert len(found) == min(map(len, expected), default=0)


def vectors_of(released: list[Row], new: Row) -> Iterator[frozenset[str]]:
    """The nodes of the new row plus small multiples of the others."""
    columns = frozenset().union(new, *released)
    for factors in product((-2, -1, 0, 1, 2), repeat=len(released)):
        weights = {
            column: int(column in new)
            + sum(f * (column in each) for f, each in zip(factors, released, strict=True))
            for column in columns
        }
        yield frozenset(node for (node, _), weight in weights.items() if weight)


@settings(deadline=None, max_examples=200)
@given(st.lists(cohorts, max_size=3), cohorts, st.frozensets(st.sampled_from("abcdef")))
def test_no_vector_that_matters_passes(released: list[Row], new: Row, willing: frozenset) -> None:
    """Whatever is harmless, what it lets pass has no small vector of others that needs the new."""
    if isolated(released, new, fewest=3, harmless=willing.issuperset):
        return
    if not oracle(released, new, 3):
        return  # the new row depends on the released ones, or isolates nobody
    for nodes in vectors_of(released, new):
        assert len(nodes) >= 3 or nodes <= willing


@settings(deadline=None, max_examples=100)
@given(st.lists(cohorts, max_size=4), cohorts, st.permutations("abcdef"), st.randoms())
def test_names_and_order_do_not_matter(
    released: list[Row], new: Row, names: list[str], random: object
) -> None:
    """Renamed and shuffled, the verdict is the same."""
    renamed = dict(zip("abcdef", names, strict=True))

    def other(each: Row) -> Row:
        return frozenset((renamed[node], version) for node, version in each)

    shuffled = [other(each) for each in released]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = isolated(released, new, fewest=3)
    assert bool(first) == bool(isolated(shuffled, other(new), fewest=3))


@settings(deadline=None, max_examples=100)
@given(st.lists(cohorts, max_size=4), cohorts)
def test_more_is_asked_of_larger_cohorts(released: list[Row], new: Row) -> None:
    """What is refused at three is refused at four."""
    assert not isolated(released, new, fewest=3) or isolated(released, new, fewest=4)


def test_three_hundred_nodes() -> None:
    """Fifty cohorts of half of them hide everybody; one node less, or one more, is found."""
    random = Random(0)
    nodes = [(f"device-{i}", b"") for i in range(300)]
    released = [frozenset(random.sample(nodes, 150)) for _ in range(50)]
    new = frozenset(random.sample(nodes, 150))
    assert isolated(released, new, fewest=3) == frozenset()
    (extra,) = random.sample(sorted(frozenset(nodes) - new), 1)
    assert isolated([*released, new | {extra}], new, fewest=3) == {extra[0]}
