"""What totals over different cohorts say when they are added and subtracted: exact, and pure.

A total is the sum of its members' vectors, and a member's vector depends on the version of its
rows. So a released total is a row of zeros and ones over columns (node, version), and what can be
computed from several totals is the span of their rows. A span isolates a few nodes if it holds a
nonzero vector whose columns are all theirs. The cohorts abcd and abc isolate d, whose part is their
difference; two versions of one node's rows isolate that node, by what changed.

This is a search for words of low weight in a linear code; only weights below the smallest cohort
matter. Columns that occur in the same rows are equal in every vector, and make one class. A class
of enough nodes must be zero in the vectors that are searched for. That leaves a small span, as a
rule an empty one, and a vector of few nodes combines few vectors of its reduced basis. All numbers
are integers, so nothing is rounded.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from math import gcd
from typing import Self, TypeAlias

__all__ = ["Row", "isolated"]

Row: TypeAlias = frozenset[tuple[str, bytes]]
"""The members of a total: (node, version of its rows)."""

_Vector: TypeAlias = list[int]  # one number a class; the last: how much of the new row


def isolated(
    released: Iterable[Row],
    new: Row,
    *,
    fewest: int,
    harmless: Callable[[frozenset[str]], bool] = lambda nodes: False,
) -> frozenset[str]:
    """The nodes that a new total would isolate, together with released ones.

    What released totals tell by themselves is no reason to refuse: only vectors that need the new
    total count.

    Args:
        released: the members of earlier totals of the same step.
        new: those of the next one.
        fewest: the least number of nodes that may be isolated together.
        harmless: whether these nodes, fewer than ``fewest``, may be isolated.

    Returns:
        One of the smallest such sets of nodes; empty if there is none.
    """
    earlier = dict.fromkeys(released)
    rows = _entangled([*(each for each in earlier if each != new), new], fewest)
    if new in earlier or new not in rows:
        return frozenset()
    classes = _classes(rows)
    nodes = list(classes.values())
    vectors = [[int(row in holders) for holders in classes] + [int(row == new)] for row in rows]
    if _Span.of(_Span.of(vectors).reduced(range(len(nodes))).free).needs_new:
        return frozenset()  # the new total is a sum of earlier ones
    for limit in range(2, fewest + 1):
        large = [place for place, each in enumerate(nodes) if len(each) >= limit]
        span = _Span.of(_Span.of(vectors).reduced(large).free)
        if found := _Search(nodes, limit, harmless).within(span, frozenset()):
            return found
    return frozenset()


def _entangled(rows: list[Row], fewest: int) -> list[Row]:
    """The rows that can be part of a vector of few nodes.

    A row can't be if enough of its nodes are in no other row, for nothing cancels them. Once it is
    left out, the same may be true of others.
    """
    while True:
        held = Counter(column for row in rows for column in row)
        kept = [
            row
            for row in rows
            if len({node for node, version in row if held[node, version] == 1}) < fewest
        ]
        if len(kept) == len(rows):
            return rows
        rows = kept


def _classes(rows: Collection[Row]) -> Mapping[frozenset[Row], frozenset[str]]:
    """The nodes of each class of columns, by the rows that it is in."""
    holders: dict[tuple[str, bytes], set[Row]] = {}
    for row in rows:
        for column in sorted(row):
            holders.setdefault(column, set()).add(row)
    nodes: dict[frozenset[Row], set[str]] = {}
    for (node, _), holding in holders.items():
        nodes.setdefault(frozenset(holding), set()).add(node)
    return {holding: frozenset(each) for holding, each in nodes.items()}


@dataclass(frozen=True)
class _Span:
    """All sums of multiples of some vectors.

    A vector that has a pivot, the place of a class, is the only one that isn't zero there.
    """

    vectors: tuple[_Vector, ...]
    pivots: tuple[int | None, ...]

    @classmethod
    def of(cls, vectors: Collection[_Vector]) -> Self:
        """Without pivots."""
        return cls(tuple(vectors), (None,) * len(vectors))

    def reduced(self, places: Collection[int]) -> "_Span":
        """The same with pivots in ``places``; vectors that have none there are zero in all."""
        vectors, pivots = list(self.vectors), list(self.pivots)
        for i, pivot in enumerate(pivots):
            if pivot in places:
                continue
            pivots[i] = found = next((place for place in places if vectors[i][place]), None)
            if found is not None:
                vectors = [
                    _cancelled(vector, vectors[i], found) if j != i and vector[found] else vector
                    for j, vector in enumerate(vectors)
                ]
        return _Span(tuple(vectors), tuple(pivots))

    @property
    def free(self) -> list[_Vector]:
        """The vectors without a pivot: a basis of all that are zero where pivots may be."""
        return [v for v, pivot in zip(self.vectors, self.pivots, strict=True) if pivot is None]

    def only(self, places: Collection[int]) -> "_Span":
        """The vectors whose pivot is in ``places``, and those without one."""
        kept = [(v, p) for v, p in zip(self.vectors, self.pivots, strict=True) if p in places]
        return _Span.of([*self.free, *(v for v, _ in kept)])

    def first_removed(self) -> "_Span":
        """Those that are zero at the first vector's pivot."""
        return _Span(self.vectors[1:], self.pivots[1:])

    @property
    def needs_new(self) -> bool:
        """Whether the new row is part of any."""
        return any(vector[-1] for vector in self.vectors)


def _cancelled(vector: _Vector, by: _Vector, place: int) -> _Vector:
    """A multiple of ``vector`` plus one of ``by`` that is zero at ``place``, in small integers."""
    mine, theirs = by[place], vector[place]
    difference = [mine * a - theirs * b for a, b in zip(vector, by, strict=True)]
    divisor = gcd(*difference) or 1
    return [number // divisor for number in difference]


@dataclass(frozen=True)
class _Search:
    """The search for a vector of few nodes that needs the new row.

    ``nodes`` holds the nodes of each class; fewer than ``fewest`` must not be isolated.
    """

    nodes: list[frozenset[str]]
    fewest: int
    harmless: Callable[[frozenset[str]], bool]

    def within(self, span: _Span, chosen: frozenset[str]) -> frozenset[str]:
        """The nodes of such a vector, the ``chosen`` among them; empty if there is none."""
        mine = [place for place, each in enumerate(self.nodes) if each <= chosen]
        others = [place for place, each in enumerate(self.nodes) if not each <= chosen]
        if len(chosen) == self.fewest - 1:
            span = span.only(mine)  # nobody can be added: other pivots must be zero
        span = span.reduced(others)
        if found := self._judged(_Span.of(span.free)):
            return found
        pivots = [(v, p) for v, p in zip(span.vectors, span.pivots, strict=True) if p is not None]
        rest = _Span(
            tuple([v for v, _ in pivots] + span.free),
            tuple([p for _, p in pivots] + [None] * len(span.free)),
        )
        for _, pivot in pivots:
            if not rest.needs_new:
                break
            grown = chosen | self.nodes[pivot]
            if len(grown) < self.fewest and (found := self.within(rest, grown)):
                return found
            rest = rest.first_removed()
        return frozenset()

    def _judged(self, span: _Span) -> frozenset[str]:
        """The nodes of all vectors of a span, if the new row is part of any and it matters."""
        if not span.needs_new:
            return frozenset()
        support = frozenset[str]().union(
            *(
                each
                for place, each in enumerate(self.nodes)
                if any(vector[place] for vector in span.vectors)
            )
        )
        return support if support and not self.harmless(support) else frozenset()
