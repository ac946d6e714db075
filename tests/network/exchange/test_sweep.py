"""One operation at one node: messages are checked, replaced, combined; the result is final."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NetworkError
from edge_node.network.exchange.sweep import Abandoned, Board, Sweep
from edge_node.network.wire.combine import (
    Combination,
    Nothing,
    RecordUnion,
    RingSum,
    Union,
    gathered,
    parse_gathered,
)
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from tangentmesh.v1 import exchange_pb2

SUBTREES = {"b": frozenset({"b"}), "c": frozenset({"c", "d"})}


def operation(sequence: int = 0, step: str = "s", kind: Kind = Kind.KIND_GATHER) -> Operation:
    """A step of run 1 in epoch 1."""
    return Operation(1, 1, kind, sequence, step)


def sweep(of: Operation | None = None, combination: Combination | None = None) -> Sweep:
    """At a node with the children b and c."""
    return Sweep(of or operation(), combination or Union(8), SUBTREES)


SEGMENTS = Segments.of(5, [(1, None), (2, 1.0), (1, 8.0), (1, None)])
RINGS = [2**128, 2**64, 2**64, 2**64, 2**128, 2**128]  # of these words, and of the check word
SUM = RingSum(SEGMENTS)


def ring(values: Sequence[int]) -> bytes:
    """Words as they travel."""
    pairs = zip(values, RINGS, strict=True)
    return b"".join(value.to_bytes(8 if ring == 2**64 else 16, "little") for value, ring in pairs)


words = st.tuples(*(st.integers(0, each - 1) for each in RINGS))


@given(st.lists(words, min_size=1, max_size=5))
def test_the_ring_sum_is_that_of_integers(vectors: list[tuple[int, ...]]) -> None:
    """Modulo 2^64 and 2^128, in any order."""
    columns = zip(*vectors, strict=True)
    total = [sum(column) % modulus for column, modulus in zip(columns, RINGS, strict=True)]
    payloads = [ring(vector) for vector in vectors]
    assert SUM.combine(payloads) == ring(total)
    assert SUM.combine(payloads[::-1]) == ring(total)
    assert len(ring(total)) == SEGMENTS.bytes == SUM.limit(7)


def test_a_sum_that_is_given_up_has_no_total() -> None:
    """All messages are empty; whoever sends words has another program."""
    Nothing().check(b"", frozenset("ab"))
    assert Nothing().combine([b"", b""]) == b""
    with pytest.raises(NetworkError, match="given up"):
        Nothing().check(bytes(16), frozenset("ab"))


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=5), min_size=1), st.data())
def test_a_union_does_not_depend_on_the_tree(
    by_node: dict[str, bytes], data: st.DataObject
) -> None:
    """Names split in any way give the same bytes."""
    names = data.draw(st.permutations(sorted(by_node)))
    cut = data.draw(st.integers(0, len(names)))
    parts = [gathered({n: by_node[n] for n in some}) for some in (names[:cut], names[cut:])]
    assert Union(8).combine(parts) == gathered(by_node)
    assert parse_gathered(gathered(by_node)) == by_node


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (gathered({"c": b""}), "not from the nodes"),
        (gathered({"c": b"", "d": b"", "e": b""}), "not from the nodes"),
        (gathered({"c": b"123456789", "d": b""}), "more bytes than"),
        (b"\xff\xff", "can't be read"),
    ],
    ids=["a node missing", "a foreign node", "too much", "garbage"],
)
async def test_a_wrong_message_changes_nothing(payload: bytes, reason: str) -> None:
    """It is refused, and the right one is still awaited."""
    swept = sweep()
    with pytest.raises(NetworkError, match=reason):
        swept.put("c", payload)
    assert swept.missing == ("b", "c")


async def test_vectors_of_different_lengths_are_refused() -> None:
    """The programs differ: no total of them makes sense."""
    swept = sweep(combination=SUM)
    with pytest.raises(NetworkError, match="different lengths"):
        swept.put("b", bytes(SEGMENTS.bytes + 8))
    assert swept.limit("c") == SEGMENTS.bytes


async def test_a_message_replaces_itself_until_all_are_there() -> None:
    """Afterwards the first complete set counts: a total is formed once."""
    swept = sweep()
    swept.put("b", gathered({"b": b"1"}))
    swept.put("b", gathered({"b": b"2"}))
    assert swept.missing == ("c",)
    swept.put("c", gathered({"c": b"", "d": b""}))
    swept.put("b", gathered({"b": b"3"}))
    assert set(await swept.collected()) == {gathered({"b": b"2"}), gathered({"c": b"", "d": b""})}


async def test_a_finished_sweep_gives_its_record_to_all_who_wait() -> None:
    """Also to those who come later, and though the sweep is closed."""
    board, swept = Board(), sweep()
    early = asyncio.ensure_future(swept.total())
    with board.open(swept):
        assert board.find(swept.operation) is swept
        swept.finish(b"record")
    assert (await early, await swept.total()) == (b"record", b"record")
    assert board.find(swept.operation) is None


async def test_an_abandoned_sweep_says_so() -> None:
    """Whoever waited tries again."""
    board, swept = Board(), sweep()
    waiting = asyncio.ensure_future(swept.total())
    changed = asyncio.ensure_future(board.changed())
    await asyncio.sleep(0)
    with board.open(swept):
        await changed
    with pytest.raises(Abandoned):
        await waiting


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (operation(3, "s"), operation(3, "t")),
        (operation(3, "s"), operation(3, "s", Kind.KIND_SUM)),
        (operation(3, "s"), Operation.of_epoch(1, 1, Kind.KIND_KEYS)),
        (Operation.of_epoch(1, 1, Kind.KIND_KEYS), operation(3, "s")),
    ],
    ids=["name", "kind", "keys", "no keys"],
)
async def test_programs_that_differ_are_noticed(mine: Operation, theirs: Operation) -> None:
    """Two operations that no common program does at once."""
    board = Board()
    with board.open(sweep(mine)), pytest.raises(NetworkError, match="the programs differ"):
        board.find(theirs)


async def test_other_epochs_and_runs_are_no_contradiction() -> None:
    """They are told by their epoch."""
    board = Board()
    with board.open(sweep(operation(3, "s"))):
        assert board.find(Operation(1, 2, Kind.KIND_GATHER, 3, "t")) is None
        assert board.find(Operation(2, 1, Kind.KIND_GATHER, 4, "t")) is None
        assert board.find(operation(2, "before")) is None


async def test_a_child_that_is_ahead_proves_that_records_were_lost() -> None:
    """It can have the step between from this node only."""
    board, swept = Board(), sweep(operation(3, "s"))
    with board.open(swept):
        assert board.find(operation(4, "t")) is None
        with pytest.raises(NetworkError, match=r"missing from this node's records.*step 3"):
            await swept.collected()


def records(*payloads: bytes, first: int = 2, run: int = 1, claimed: bytes = b"claims") -> bytes:
    """Completed steps from ``first`` on, and the claims of their epoch."""
    made = [
        Operation(run, 1, Kind.KIND_SUM, first + i, f"s/{first + i}").record(["a"], payload)
        for i, payload in enumerate(payloads)
    ]
    claims = [Operation.of_epoch(run, 1, Kind.KIND_CLAIMS).record(["a"], claimed)] if made else []
    passed_on = exchange_pb2.Records(records=made, claims=claims)
    return passed_on.SerializeToString(deterministic=True)


def test_the_longest_sequence_of_records_wins() -> None:
    """Nodes have different numbers of the same records."""
    parts = [records(), records(b"x", b"y"), records(b"x")]
    assert RecordUnion(1, 2, 1000).combine(parts) == records(b"x", b"y")


def test_two_totals_of_one_step_are_refused() -> None:
    """Their difference would be somebody's contribution."""
    with pytest.raises(NetworkError, match="different totals of step s/2"):
        RecordUnion(1, 2, 1000).combine([records(b"x"), records(b"y")])


def test_two_claims_of_one_epoch_are_refused() -> None:
    """All that summed in it have had the same ones."""
    with pytest.raises(NetworkError, match="different claims of epoch 1"):
        RecordUnion(1, 2, 1000).combine([records(b"x"), records(b"x", claimed=b"others")])


def test_claims_are_those_of_the_steps() -> None:
    """Not others, and not none."""
    RecordUnion(1, 2, 1000).check(records(b"x"), set())
    passed_on = exchange_pb2.Records.FromString(records(b"x"))
    passed_on.claims[0].epoch = 2
    for wrong in (passed_on, exchange_pb2.Records(records=passed_on.records)):
        with pytest.raises(NetworkError, match="not those of the steps' epochs"):
            RecordUnion(1, 2, 1000).check(wrong.SerializeToString(), set())


@pytest.mark.parametrize("payload", [records(b"x", first=3), records(b"x", run=2), b"\xff"])
def test_records_of_another_place_are_refused(payload: bytes) -> None:
    """Of another run, or with a gap."""
    with pytest.raises(NetworkError):
        RecordUnion(1, 2, 1000).check(payload, set())
