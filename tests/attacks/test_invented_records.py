"""A member that claims to have completed steps which nobody has taken, and passes them on.

An epoch begins with a catch-up: whoever lacks a completed step is given it, by any member that has
it. Nobody signs totals. So one may be invented, but only such a one as the step can have.
"""

from collections.abc import Callable

import numpy as np
import pytest

from edge_node.errors import NetworkError
from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.combine import RecordUnion, RingSum, gathered
from edge_node.network.wire.operation import Kind, Operation
from edge_node.network.wire.segments import Segments
from edge_node.step import Content, Step
from tangentmesh.v1 import exchange_pb2
from tests.attacks.tampering import outcomes
from tests.support.mesh import Mesh
from tests.support.words import payload_of

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
WORDS = 3
Change = Callable[[exchange_pb2.Record], None]


async def own_sum(network: TreeNetwork) -> float:
    """A program of one step; every node gives ones."""
    return float((await network.sum(Step("s"), np.ones(WORDS)))[0])


async def own_gather(network: TreeNetwork) -> dict[str, bytes]:
    """A program of one step; every node gives its name."""
    step = Step("s", Content.PUBLIC)
    return dict(await network.gather(step, network.node.encode()))


async def planned(mesh: Mesh, kind: Kind, payload: bytes, change: Change) -> None:
    """A plan of three nodes; c, a leaf, has this record on its disk."""
    await mesh.start(CHAIN)
    record = Operation(1, 1, kind, 0, "s").record("abc", payload)
    change(record)
    claims = Operation.of_epoch(1, record.epoch, Kind.KIND_CLAIMS).record("abc", b"invented")
    for each in (record, claims) if record.epoch > 1 else (record,):
        mesh.peers["c"].store.run(1).commit(each.SerializeToString(deterministic=True))
    mesh.offer(mesh.plan(1, CHAIN))


def set_to(**facts: object) -> Change:
    """Write other things into a record."""

    def change(record: exchange_pb2.Record) -> None:
        record.MergeFrom(exchange_pb2.Record(**facts))

    return change


def without_cohort(*names: str) -> Change:
    """Another cohort."""

    def change(record: exchange_pb2.Record) -> None:
        record.ClearField("cohort")
        record.cohort.extend(names)

    return change


def words(number: float, length: int = WORDS) -> bytes:
    """A total, as it travels."""
    return payload_of(np.full(length, number), "s")


def too_large() -> bytes:
    """More than three nodes can have given: the sum of four who give the most."""
    most = words(np.nextafter(2.0**53, 0))
    return RingSum(Segments.of(WORDS)).combine([most] * 4)


async def test_a_possible_total_that_a_member_invents_is_not_noticed(mesh: Mesh) -> None:
    """The stated limit, and the control: all nodes believe it, and all the same."""
    await planned(mesh, Kind.KIND_SUM, words(7.0), set_to())
    assert await outcomes(mesh, own_sum) == dict.fromkeys("abc", 7.0)


IMPOSSIBLE: dict[str, tuple[bytes, Change, str]] = {
    "fewer words": (words(7.0, 1), set_to(), "different lengths"),
    "more words": (words(7.0, 4), set_to(), "different lengths"),
    "without a check word": (words(7.0)[:-16] + bytes(16), set_to(), "the total is invalid"),
    "larger than can be": (too_large(), set_to(), "numbers are larger than they can be"),
    "a smaller cohort": (words(7.0), without_cohort("a", "b"), "not of the plan's cohort"),
    "a coming epoch": (words(7.0), set_to(epoch=2), "not of the plan's cohort"),
    "another step": (words(7.0), set_to(step="t"), "the programs differ"),
    "a gather": (words(7.0), set_to(kind=Kind.KIND_GATHER), "the programs differ"),
}


@pytest.mark.parametrize(
    ("payload", "change", "complaint"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys()
)
async def test_an_impossible_total_is_refused(
    mesh: Mesh, payload: bytes, change: Change, complaint: str
) -> None:
    """By those to whom it is passed on; what its inventor makes of it doesn't matter."""
    await planned(mesh, Kind.KIND_SUM, payload, change)
    found = await outcomes(mesh, own_sum)
    for node in "ab":
        assert isinstance(found[node], NetworkError)
        assert complaint in str(found[node])


@pytest.mark.parametrize("names", ["abc", "ab", "abcx"])
async def test_a_gather_that_is_not_from_its_cohort(mesh: Mesh, names: str) -> None:
    """Somebody is missing, or nobody's name is there; the first one is the control."""
    said = dict.fromkeys(names, b"invented")
    await planned(mesh, Kind.KIND_GATHER, gathered(said), set_to())
    for found in (await outcomes(mesh, own_gather)).values():
        if names == "abc":
            assert found == said
        else:
            assert isinstance(found, NetworkError)
            assert "not from the nodes it must be from" in str(found)


def test_an_operation_of_an_epoch_is_no_step() -> None:
    """Among the steps that are passed on, somebody's masking keys could take others' place."""
    union = RecordUnion(run=1, first=0, most=1000)
    for kind, possible in ((Kind.KIND_SUM, True), (Kind.KIND_KEYS, False)):
        record = Operation(1, 1, kind, 0, "s").record("abc", b"")
        claims = Operation.of_epoch(1, 1, Kind.KIND_CLAIMS).record("abc", b"")
        payload = exchange_pb2.Records(records=[record], claims=[claims]).SerializeToString()
        if possible:
            union.check(payload, frozenset("abc"))
        else:
            with pytest.raises(NetworkError, match="do not follow each other"):
                union.check(payload, frozenset("abc"))
