"""How the messages of one operation become one: added, merged, or the newest of them.

Pure functions of bytes. Each combination is associative and commutative, so the result depends on
the cohort only and not on the tree; and each checks what it is given, so that a wrong message is
refused where it arrives.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from google.protobuf.message import DecodeError

from edge_node.errors import NetworkError
from edge_node.network.wire.fixed_point import from_bytes, to_bytes
from edge_node.network.wire.operation import STEP_KINDS
from edge_node.network.wire.segments import Segments
from tangentmesh.v1 import exchange_pb2

__all__ = [
    "Combination",
    "Nothing",
    "RecordUnion",
    "RingSum",
    "Union",
    "gathered",
    "parse_gathered",
]


class Combination(Protocol):
    """What one kind of operation does with its messages."""

    def limit(self, nodes: int) -> int:
        """The largest payload, in bytes, that ``nodes`` nodes can have together."""
        ...

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        """Check that ``payload`` can be the combined message of ``nodes``. Raises NetworkError."""
        ...

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        """One payload from at least one. Raises NetworkError."""
        ...


@dataclass(frozen=True)
class RingSum:
    """Adds fixed-point words in the ring; ``segments`` says which words they are."""

    segments: Segments

    def limit(self, nodes: int) -> int:
        """The same length whatever the number of nodes."""
        return self.segments.bytes

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        """Masked words look random: only their number can be checked."""
        if len(payload) != self.segments.bytes:
            raise NetworkError(
                "the vectors to be summed have different lengths",
                expected=f"{self.segments.bytes} bytes",
                found=f"{len(payload)} bytes",
                remedy="Run the same version and the same federation spec at all nodes",
            )

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        """The sum, word by word."""
        if len(payloads) == 1:
            return payloads[0]
        return to_bytes(reduce(self.segments.add, map(from_bytes, payloads)))


class Nothing:
    """Of a sum that is given up: all messages are empty."""

    def limit(self, nodes: int) -> int:
        """No bytes."""
        return 0

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        """It must be empty."""
        if payload:
            raise NetworkError(
                "a sum that was given up has a total",
                expected="0 bytes",
                found=f"{len(payload)} bytes",
                remedy="Run the same version at all nodes",
            )

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        """Nothing."""
        return b""


@dataclass(frozen=True)
class Union:
    """Merges bytes by node name; ``share`` is the most that one node may give, in bytes."""

    share: int

    def limit(self, nodes: int) -> int:
        """A share for each node, with its name."""
        return nodes * (self.share + 128)

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        """Every one of ``nodes`` must be there, nobody else, and none with more than a share."""
        by_node = parse_gathered(payload)
        if set(by_node) != nodes:
            raise NetworkError(
                "a gathered message is not from the nodes it must be from",
                expected=", ".join(sorted(nodes)),
                found=", ".join(sorted(by_node)),
            )
        for node, data in by_node.items():
            if len(data) > self.share:
                raise NetworkError(
                    "a node gave more bytes than a gathered message may hold",
                    where=node,
                    expected=f"at most {self.share}",
                    found=str(len(data)),
                )

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        """All names with their bytes."""
        merged: dict[str, bytes] = {}
        for payload in payloads:
            merged |= parse_gathered(payload)
        return gathered(merged)


@dataclass(frozen=True)
class RecordUnion:
    """Merges completed steps of ``run``, from ``first`` on, and the claims of their epochs.

    Attributes:
        run: of the records.
        first: the first step's position in the run.
        most: the limit in bytes.
    """

    run: int
    first: int
    most: int

    def limit(self, nodes: int) -> int:
        """The same limit whatever the number of nodes: all give the same records."""
        return self.most

    def check(self, payload: bytes, nodes: Set[str]) -> None:
        """The records must be steps of this run, and follow each other from ``first`` on.

        The claims must be of this run, and of these steps' epochs, each once. Whether they were
        made is checked where they are kept: they are signed.
        """
        passed_on = _parse_records(payload)
        for expected, record in enumerate(passed_on.records, self.first):
            is_next = (record.run, record.sequence) == (self.run, expected)
            if not is_next or record.kind not in STEP_KINDS:
                raise NetworkError(
                    "the records passed on do not follow each other",
                    expected=f"step {expected} of run {self.run}",
                    found=f"step {record.sequence} of run {record.run}, of kind {record.kind}",
                )
        epochs = sorted({record.epoch for record in passed_on.records})
        wanted = [(self.run, epoch, exchange_pb2.KIND_CLAIMS) for epoch in epochs]
        if [(each.run, each.epoch, each.kind) for each in passed_on.claims] != wanted:
            raise NetworkError(
                "the claims passed on are not those of the steps' epochs",
                expected=f"run {self.run}, epochs {epochs}",
                found=f"epochs {[each.epoch for each in passed_on.claims]}",
            )

    def combine(self, payloads: Sequence[bytes]) -> bytes:
        """The longest sequence of records. A total is final: two that differ are refused."""
        steps: dict[int, exchange_pb2.Record] = {}
        claims: dict[int, exchange_pb2.Record] = {}
        for passed_on in map(_parse_records, payloads):
            for record in passed_on.records:
                _merge(steps, record.sequence, record, f"totals of step {record.step}")
            for record in passed_on.claims:
                _merge(claims, record.epoch, record, f"claims of epoch {record.epoch}")
        union = exchange_pb2.Records(
            records=[steps[key] for key in sorted(steps)],
            claims=[claims[key] for key in sorted(claims)],
        )
        return union.SerializeToString(deterministic=True)


def _merge(
    merged: dict[int, exchange_pb2.Record], key: int, record: exchange_pb2.Record, what: str
) -> None:
    if merged.setdefault(key, record) != record:
        raise NetworkError(
            f"two nodes hold different {what}",
            remedy="Restart the run; report this if it happens again",
        )


def gathered(by_node: dict[str, bytes]) -> bytes:
    """The payload of a gathered message: the same bytes for the same mapping."""
    return exchange_pb2.Gathered(by_node=by_node).SerializeToString(deterministic=True)


def parse_gathered(payload: bytes) -> dict[str, bytes]:
    """The inverse of ``gathered``, in ascending order of names. Raises NetworkError."""
    try:
        by_node = dict(exchange_pb2.Gathered.FromString(payload).by_node)
    except DecodeError as error:
        raise NetworkError("a gathered message can't be read") from error
    return dict(sorted(by_node.items()))


def _parse_records(payload: bytes) -> exchange_pb2.Records:
    try:
        return exchange_pb2.Records.FromString(payload)
    except DecodeError as error:
        raise NetworkError("the records passed on can't be read") from error
