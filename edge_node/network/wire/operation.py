"""What a message on a tree edge is for: one collective operation in one epoch.

Two kinds are steps of the program (sum, gather) and numbered through the run. Three belong to an
epoch: the claims (how far each node is, and what it says of its rows), the catch-up (records that
some nodes lack) and the masking keys. An operation is the key under which messages are replaced and
records are found.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from google.protobuf.message import DecodeError

from edge_node.errors import NetworkError
from tangentmesh.v1 import exchange_pb2

__all__ = ["EPOCH_KINDS", "STEP_KINDS", "Kind", "Operation", "parse_record", "programs_differ"]

Kind = exchange_pb2.Kind

_KIND_NAMES = {number: name for name, number in Kind.items()}
STEP_KINDS = {exchange_pb2.KIND_SUM, exchange_pb2.KIND_GATHER}
EPOCH_KINDS = {
    exchange_pb2.KIND_CLAIMS: "claims",
    exchange_pb2.KIND_CATCH_UP: "catch-up",
    exchange_pb2.KIND_KEYS: "keys",
}


@dataclass(frozen=True)
class Operation:
    """A collective operation: the kind, the run and epoch it belongs to, and which step it is.

    ``sequence`` is the step's position in the run, from 0; an epoch's own operations have 0 and
    are named by their kind.
    """

    run: int
    epoch: int
    kind: Kind
    sequence: int
    step: str

    @classmethod
    def of_epoch(cls, run: int, epoch: int, kind: Kind) -> Self:
        """The epoch's own operation of this kind."""
        return cls(run, epoch, kind, 0, EPOCH_KINDS[kind])

    @classmethod
    def from_header(cls, header: exchange_pb2.Header) -> Self:
        """What an arriving message says it is for. Raises NetworkError for an unknown kind."""
        operation = cls(header.run, header.epoch, header.kind, header.sequence, header.step)
        known = header.kind in STEP_KINDS or operation == cls(
            header.run, header.epoch, header.kind, 0, EPOCH_KINDS.get(header.kind, "?")
        )
        if not known:
            raise NetworkError(
                "the message is of an unknown kind",
                where=str(operation),
                remedy="Update all nodes to the same version",
            )
        return operation

    @property
    def is_step(self) -> bool:
        """Whether it is a step of the program, and outlives its epoch."""
        return self.kind in STEP_KINDS

    def header(self, plan_hash: bytes, payload: bytes) -> exchange_pb2.Header:
        """The first chunk of a message that carries ``payload``."""
        return exchange_pb2.Header(
            epoch=self.epoch,
            run=self.run,
            sequence=self.sequence,
            step=self.step,
            kind=self.kind,
            plan_hash=plan_hash,
            length=len(payload),
            digest=hashlib.sha256(payload).digest(),
        )

    def record(
        self, cohort: Iterable[str], payload: bytes, decision: bytes = b""
    ) -> exchange_pb2.Record:
        """The completed operation, as the root makes it."""
        return exchange_pb2.Record(
            run=self.run,
            sequence=self.sequence,
            step=self.step,
            kind=self.kind,
            cohort=cohort,
            epoch=self.epoch,
            payload=payload,
            decision=decision,
        )

    def check(self, record: exchange_pb2.Record) -> None:
        """Check that ``record`` completes this operation.

        Raises:
            NetworkError: it is of another run or step: the program differs, or a file was moved.
        """
        epoch = record.epoch if not self.is_step else self.epoch  # a step outlives its epoch
        theirs = Operation(record.run, epoch, record.kind, record.sequence, record.step)
        if theirs != self:
            raise programs_differ(self, theirs)
        if not record.cohort or list(record.cohort) != sorted(set(record.cohort)):
            raise NetworkError(
                "a completed step must name its nodes, each once and sorted",
                where=str(self),
            )

    def __str__(self) -> str:
        return f"step {self.step} (run {self.run}, epoch {self.epoch})"


def programs_differ(mine: Operation, theirs: Operation) -> NetworkError:
    """The error for two operations that can't both be next."""
    mine_named, theirs_named = (
        f"{_KIND_NAMES.get(each.kind, 'a step of an unknown kind')} {each.step!r} at position "
        f"{each.sequence} of run {each.run}"
        for each in (mine, theirs)
    )
    return NetworkError(
        "another step stands at this position of the run: the programs differ",
        where=str(mine),
        expected=mine_named,
        found=theirs_named,
        remedy="Run the same version and the same federation spec at all nodes",
    )


def parse_record(content: bytes, *, where: str) -> exchange_pb2.Record:
    """Read a record's bytes. Raises NetworkError."""
    try:
        return exchange_pb2.Record.FromString(content)
    except DecodeError as error:
        raise NetworkError("not the record of a completed step", where=where) from error
