"""What a node remembers across restarts: the newest plan, and the completed steps of its runs.

    state/plan.pb
    state/run-7/step-00000003.pb            a completed step, the same bytes at every node
    state/run-7/epoch-12-claims.pb          what the epoch's nodes said of themselves; kept, because
                                            the program may have gone by it
    state/run-7/epoch-12-keys.pb            another operation of the epoch itself, until it ends
    state/run-7/epoch-12-masking.key        this node's masking key, until the epoch ends
    state/run-7/step-00000004.contribution  this node's words for the step in progress; once the
                                            step is completed, only their digest
    state/run-7/epoch-12-step-00000004.noisy  the same with noise, which each epoch draws anew
    state/run-7/complete                    the program has ended

Every file is a `checked_file`: a step whose file is damaged is asked for again. The current run and
the last completed one are kept.
"""

import hashlib
import shutil
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from edge_node.errors import NetworkError, RefusedError
from edge_node.network.exchange.checked_file import (
    DIGEST_BYTES,
    forget_content,
    holds_other_content,
    is_whole,
    read_checked,
    write_checked,
)
from edge_node.network.wire.operation import EPOCH_KINDS, Operation, parse_record
from edge_node.security.files import make_private_directory
from tangentmesh.v1 import discovery_pb2, exchange_pb2

__all__ = ["RecordStore", "RunRecords"]

_JOIN_ANEW = "Remove this run's directory and restart the node: it will join anew"


class RecordStore:
    """The state directory of one node.

    Args:
        directory: made with mode 0700 if it is missing.

    Raises:
        MachineError: the directory can't be made or written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: dict[int, RunRecords] = {}
        make_private_directory(directory)

    def load_plan(self) -> discovery_pb2.Plan | None:
        """The newest plan that was saved; None if there is none, or its file is corrupted."""
        if (content := read_checked(self._directory / "plan.pb")) is None:
            return None
        try:
            return discovery_pb2.Plan.FromString(content)
        except DecodeError:
            return None

    def save_plan(self, plan: discovery_pb2.Plan) -> None:
        """Replace the plan that the next start of this node begins with. Raises MachineError."""
        write_checked(self._directory / "plan.pb", plan.SerializeToString(deterministic=True))

    def run(self, run: int) -> "RunRecords":
        """The records of a run, read from disk the first time. Raises MachineError."""
        if run not in self._runs:
            self._runs[run] = RunRecords(self._directory / f"run-{run}", run)
        return self._runs[run]

    def clear(self) -> None:
        """Delete the plan and all runs."""
        self._runs.clear()
        (self._directory / "plan.pb").unlink(missing_ok=True)
        for path in self._directory.glob("run-*"):
            shutil.rmtree(path, ignore_errors=True)

    def damaged(self) -> tuple[Path, ...]:
        """Files of all runs, and the plan's, that fail their check and so count as absent."""
        found = [self._directory / "plan.pb", *self._directory.glob("run-*/*.pb")]
        return tuple(path for path in sorted(found) if not is_whole(path))

    def prune(self, current: int) -> None:
        """Delete all runs but ``current`` and the last one before it that was completed."""
        found = {
            int(path.name.removeprefix("run-")): path
            for path in self._directory.glob("run-*")
            if path.name.removeprefix("run-").isdecimal()
        }
        complete = [run for run, path in found.items() if (path / "complete").exists()]
        kept = {current, max((run for run in complete if run < current), default=current)}
        for run, path in found.items():
            if run not in kept:
                self._runs.pop(run, None)
                shutil.rmtree(path, ignore_errors=True)


class RunRecords:
    """The completed operations of one run. ``RecordStore.run`` makes it."""

    def __init__(self, directory: Path, run: int) -> None:
        self.run = run
        self._directory = directory
        self._steps: list[str] = []  # by sequence
        self._of_epoch: set[tuple[int, exchange_pb2.Kind]] = set()
        make_private_directory(directory)
        self._transcripts = [bytes(DIGEST_BYTES)]  # before the first step, and after each
        while (record := self._load(self._step_path(len(self._steps)))) is not None:
            self._append(record)
        for path in sorted(directory.glob("epoch-*.pb")):
            if (record := self._load(path)) is not None:
                self._of_epoch.add((record.epoch, record.kind))

    @property
    def frontier(self) -> int:
        """How many steps are completed: the sequence number of the next one."""
        return len(self._steps)

    @property
    def completed(self) -> tuple[str, ...]:
        """The names of all completed steps."""
        return tuple(self._steps)

    def transcript_before(self, sequence: int) -> bytes:
        """All that this node was told before a step, as 32 bytes: another bit gives other bytes.

        Args:
            sequence: the step's position in the run; at most the frontier.
        """
        return self._transcripts[sequence]

    def has(self, operation: Operation) -> bool:
        """Whether the operation is completed here."""
        if operation.is_step:
            return operation.sequence < self.frontier
        return (operation.epoch, operation.kind) in self._of_epoch

    def find(self, operation: Operation) -> bytes:
        """The bytes of a record that is here (``has``).

        Raises:
            NetworkError: another step stands at that position, or the file was damaged since.
        """
        path = self._path(operation.kind, operation.epoch, operation.sequence)
        content = _read_whole(path)
        operation.check(parse_record(content, where=str(path)))
        return content

    def since(self, first: int) -> list[bytes]:
        """The records of all completed steps from ``first`` on. Raises NetworkError."""
        return [_read_whole(self._step_path(each)) for each in range(first, self.frontier)]

    def commit(self, content: bytes) -> exchange_pb2.Record:
        """Put a completed operation on disk. On return it may be passed on.

        Args:
            content: the record's bytes, as the root made them.

        Raises:
            NetworkError: it is of another run, or not the next step.
            MachineError: the disk is full or not writable.
        """
        record = parse_record(content, where=str(self._directory))
        is_step = record.kind not in EPOCH_KINDS
        if record.run != self.run or (is_step and record.sequence != self.frontier):
            raise NetworkError(
                "a completed step does not follow those that are kept",
                where=str(self._directory),
                expected=f"step {self.frontier} of run {self.run}",
                found=f"step {record.sequence} of run {record.run}",
                remedy=_JOIN_ANEW,
            )
        write_checked(self._path(record.kind, record.epoch, record.sequence), content)
        if is_step:
            self._append(record)
            self._forget_words(record.sequence)
        else:
            self._of_epoch.add((record.epoch, record.kind))
        return record

    def contribution(self, sequence: int) -> bytes | None:
        """What this node contributes to the step in progress; None: not fixed, or damaged."""
        return read_checked(self._contribution_path(sequence))

    def keep_contribution(self, sequence: int, words: bytes) -> None:
        """Fix this node's contribution, so that a restart can't send another under the same mask.

        The digest alone is enough to refuse other words. It is left when the step is completed, or
        when the file is damaged behind it.

        Raises:
            RefusedError: other words were fixed before.
            MachineError: the disk is full or not writable.
        """
        _fix(self._contribution_path(sequence), words)

    def noisy_contribution(self, epoch: int, sequence: int) -> bytes | None:
        """What this node contributes to a step with noise in this epoch; None: not fixed yet."""
        return read_checked(self._noisy_path(epoch, sequence))

    def keep_noisy_contribution(self, epoch: int, sequence: int, words: bytes) -> None:
        """Fix it, noise and all, as ``keep_contribution`` does. Raises the same."""
        _fix(self._noisy_path(epoch, sequence), words)

    def masking_key(self, epoch: int) -> bytes | None:
        """The private masking key of this epoch; None: not made yet."""
        return read_checked(self._key_path(epoch))

    def keep_masking_key(self, epoch: int, key: bytes) -> None:
        """Keep the private masking key until the epoch ends. Raises MachineError."""
        write_checked(self._key_path(epoch), key)

    def claims(self, epoch: int) -> bytes:
        """The payload of an epoch's claims, which was completed here.

        Raises:
            NetworkError: the file was damaged or is missing.
        """
        return self.claims_record(epoch).payload

    def has_claims(self, epoch: int) -> bool:
        """Whether an epoch's claims are here, undamaged."""
        return read_checked(self._path(exchange_pb2.KIND_CLAIMS, epoch, 0)) is not None

    def claims_record(self, epoch: int) -> exchange_pb2.Record:
        """The record of an epoch's claims, to be passed on. Raises as ``claims``."""
        path = self._path(exchange_pb2.KIND_CLAIMS, epoch, 0)
        return parse_record(_read_whole(path), where=str(path))

    def begin_epoch(self, epoch: int) -> None:
        """Forget keys and operations of all other epochs, but for the claims."""
        for path in self._directory.glob("epoch-*"):
            kept = path.name.startswith(f"epoch-{epoch}-") or path.name.endswith("-claims.pb")
            if not kept:
                path.unlink(missing_ok=True)
        self._of_epoch = {(own, kind) for own, kind in self._of_epoch if own == epoch}

    def finish(self) -> None:
        """Mark the run as completed: it is kept until a later one is. Raises MachineError."""
        write_checked(self._directory / "complete", b"")
        for path in self._directory.glob("*.key"):
            path.unlink(missing_ok=True)

    def _append(self, record: exchange_pb2.Record) -> None:
        """Note a completed step, and in the transcript what it says, and when it was said."""
        self._steps.append(record.step)
        told = (hashlib.sha256(each).digest() for each in (record.payload, record.decision))
        cohort = list(record.cohort)
        facts = (record.sequence, record.step, record.kind, record.epoch, cohort, *told)
        transcript = self._transcripts[-1] + msgspec.msgpack.encode(facts)
        self._transcripts.append(hashlib.sha256(transcript).digest())

    def _forget_words(self, sequence: int) -> None:
        """Keep only the digests of contributions that are no longer needed."""
        noisy = self._directory.glob(self._noisy_path("*", sequence).name)
        for path in (self._contribution_path(sequence), *noisy):
            forget_content(path)

    def _load(self, path: Path) -> exchange_pb2.Record | None:
        """A step's record at its place; None: absent, corrupted, or of another place."""
        if (content := read_checked(path)) is None:
            return None
        record = parse_record(content, where=str(path))
        at_its_place = self._path(record.kind, record.epoch, record.sequence) == path
        return record if at_its_place and record.run == self.run else None

    def _path(self, kind: exchange_pb2.Kind, epoch: int, sequence: int) -> Path:
        if kind in EPOCH_KINDS:
            return self._directory / f"epoch-{epoch}-{EPOCH_KINDS[kind]}.pb"
        return self._step_path(sequence)

    def _step_path(self, sequence: int) -> Path:
        return self._directory / f"step-{sequence:08d}.pb"

    def _contribution_path(self, sequence: int) -> Path:
        return self._directory / f"step-{sequence:08d}.contribution"

    def _noisy_path(self, epoch: int | str, sequence: int) -> Path:
        return self._directory / f"epoch-{epoch}-step-{sequence:08d}.noisy"

    def _key_path(self, epoch: int) -> Path:
        return self._directory / f"epoch-{epoch}-masking.key"


def _read_whole(path: Path) -> bytes:
    """A record that must be there. Raises NetworkError if it was damaged."""
    if (content := read_checked(path)) is None:
        raise NetworkError(
            "the record of a completed step was damaged", where=str(path), remedy=_JOIN_ANEW
        )
    return content


def _fix(path: Path, words: bytes) -> None:
    """Write a contribution, unless another one was written there. Raises RefusedError."""
    if holds_other_content(path, words):
        raise RefusedError(
            "this node has contributed something else to the step before",
            where=str(path),
            remedy="Two vectors under one mask would be readable. " + _JOIN_ANEW,
        )
    write_checked(path, words)
