"""What a node remembers across restarts: the newest plan, and the completed steps of its runs.

    state/plan.pb
    state/run-7/step-00000003.pb            a completed step, the same bytes at every node
    state/run-7/epoch-12-keys.pb            an operation of the epoch itself
    state/run-7/epoch-12-masking.key        this node's masking key, until the epoch ends
    state/run-7/step-00000004.contribution  this node's words for the step in progress; then, of
                                            a completed one, only their digest
    state/run-7/epoch-12-step-00000004.noisy  or those with noise, which are an epoch's own
    state/run-7/complete                    the program has ended

Every file begins with the SHA-256 of the rest and is replaced atomically. A file that fails the
check counts as absent: the step is then asked for again. The current run and the last completed
one are kept.
"""

import hashlib
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from edge_node.errors import NetworkError, RefusedError
from edge_node.network.wire.operation import EPOCH_KINDS, Operation, parse_record
from edge_node.security.files import make_private_directory, write_atomically
from tangentmesh.v1 import discovery_pb2, exchange_pb2

__all__ = ["RecordStore", "RunRecords"]

_log = logging.getLogger(__name__)
_DIGEST = 32  # bytes of a SHA-256
_OF_NOTHING = hashlib.sha256().digest()
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
        if (content := _read(self._directory / "plan.pb")) is None:
            return None
        try:
            return discovery_pb2.Plan.FromString(content)
        except DecodeError:
            return None

    def save_plan(self, plan: discovery_pb2.Plan) -> None:
        """Replace the plan that the next start of this node begins with. Raises MachineError."""
        _write(self._directory / "plan.pb", plan.SerializeToString(deterministic=True))

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
        """The plan and records that fail their check, and so count as absent; all runs' files."""
        found = [self._directory / "plan.pb", *self._directory.glob("run-*/*.pb")]
        return tuple(path for path in sorted(found) if path.exists() and not _is_whole(path))

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
        self._directory = directory
        self._run = run
        self._cohorts: list[tuple[str, tuple[str, ...]]] = []  # (step, cohort), by sequence
        self._of_epoch: set[tuple[int, exchange_pb2.Kind]] = set()
        make_private_directory(directory)
        self._told = [bytes(_DIGEST)]  # transcripts: before the first step, and after each
        while (record := self._load(self._step_path(len(self._cohorts)))) is not None:
            self._append(record)
        for path in sorted(directory.glob("epoch-*.pb")):
            if (record := self._load(path)) is not None:
                self._of_epoch.add((record.epoch, record.kind))

    @property
    def frontier(self) -> int:
        """How many steps are completed: the sequence number of the next one."""
        return len(self._cohorts)

    @property
    def completed(self) -> tuple[str, ...]:
        """The names of all completed steps."""
        return tuple(step for step, _ in self._cohorts)

    def told_before(self, step: str) -> bytes:
        """All that this node was told before a step, as 32 bytes: if one bit differs, they do."""
        names = [name for name, _ in self._cohorts]
        return self._told[names.index(step) if step in names else -1]

    def cohort(self, step: str) -> tuple[str, ...] | None:
        """The nodes whose contributions the completed ``step`` holds; None: not completed."""
        return dict(self._cohorts).get(step)

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
        if (content := _read(path)) is None:
            raise NetworkError(
                "the record of a completed step was damaged", where=str(path), remedy=_JOIN_ANEW
            )
        operation.check(parse_record(content, where=str(path)))
        return content

    def since(self, first: int) -> list[bytes]:
        """The records of all completed steps from ``first`` on. Raises NetworkError."""
        paths = [self._step_path(sequence) for sequence in range(first, self.frontier)]
        contents = [(path, _read(path)) for path in paths]
        for path, content in contents:
            if content is None:
                raise NetworkError(
                    "the record of a completed step was damaged", where=str(path), remedy=_JOIN_ANEW
                )
        return [content for _, content in contents if content is not None]

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
        if record.run != self._run or (is_step and record.sequence != self.frontier):
            raise NetworkError(
                "a completed step does not follow those that are kept",
                where=str(self._directory),
                expected=f"step {self.frontier} of run {self._run}",
                found=f"step {record.sequence} of run {record.run}",
                remedy=_JOIN_ANEW,
            )
        _write(self._path(record.kind, record.epoch, record.sequence), content)
        if is_step:
            self._append(record)
            self._forget_words(record.sequence)
        else:
            self._of_epoch.add((record.epoch, record.kind))
        return record

    def contribution(self, sequence: int) -> bytes | None:
        """What this node contributes to the step in progress; None: not fixed, or damaged."""
        return _read(self._contribution_path(sequence))

    def keep_contribution(self, sequence: int, words: bytes) -> None:
        """Fix this node's contribution, so that a restart can't send another under the same mask.

        Where words were fixed before, and only their digest is left (the step was completed, or the
        file damaged), no others are accepted.

        Raises:
            RefusedError: other words were fixed before.
            MachineError: the disk is full or not writable.
        """
        _fix(self._contribution_path(sequence), words)

    def noisy_contribution(self, epoch: int, sequence: int) -> bytes | None:
        """What this node contributes to a step with noise in this epoch; None: not fixed yet."""
        return _read(self._noisy_path(epoch, sequence))

    def keep_noisy_contribution(self, epoch: int, sequence: int, words: bytes) -> None:
        """Fix it, noise and all, as ``keep_contribution`` does. Raises the same."""
        _fix(self._noisy_path(epoch, sequence), words)

    def masking_key(self, epoch: int) -> bytes | None:
        """The private masking key of this epoch; None: not made yet."""
        return _read(self._key_path(epoch))

    def keep_masking_key(self, epoch: int, key: bytes) -> None:
        """Keep the private masking key until the epoch ends. Raises MachineError."""
        _write(self._key_path(epoch), key)

    def begin_epoch(self, epoch: int) -> None:
        """Forget keys and operations of all other epochs."""
        for path in self._directory.glob("epoch-*"):
            if not path.name.startswith(f"epoch-{epoch}-"):
                path.unlink(missing_ok=True)
        self._of_epoch = {(own, kind) for own, kind in self._of_epoch if own == epoch}

    def finish(self) -> None:
        """Mark the run as completed: it is kept until a later one is. Raises MachineError."""
        _write(self._directory / "complete", b"")
        for path in self._directory.glob("*.key"):
            path.unlink(missing_ok=True)

    def _append(self, record: exchange_pb2.Record) -> None:
        """Note a completed step: whose it is, and in the transcript what it says."""
        self._cohorts.append((record.step, tuple(record.cohort)))
        payload = hashlib.sha256(record.payload).digest()
        facts = (record.sequence, record.step, record.kind, list(record.cohort), payload)
        transcript = self._told[-1] + msgspec.msgpack.encode(facts)
        self._told.append(hashlib.sha256(transcript).digest())

    def _forget_words(self, sequence: int) -> None:
        """Of contributions that are no longer needed, keep the digest."""
        noisy = self._directory.glob(self._noisy_path("*", sequence).name)
        for path in (self._contribution_path(sequence), *noisy):
            with suppress(FileNotFoundError):
                os.truncate(path, _DIGEST)

    def _load(self, path: Path) -> exchange_pb2.Record | None:
        """A step's record at its place; None: absent, corrupted, or of another place."""
        if (content := _read(path)) is None:
            return None
        record = parse_record(content, where=str(path))
        at_its_place = self._path(record.kind, record.epoch, record.sequence) == path
        return record if at_its_place and record.run == self._run else None

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


def _fix(path: Path, words: bytes) -> None:
    """Write a contribution, unless another one was written there. Raises RefusedError."""
    if path.exists() and path.read_bytes()[:_DIGEST] != hashlib.sha256(words).digest():
        raise RefusedError(
            "this node has contributed something else to the step before",
            where=str(path),
            remedy="Two vectors under one mask would be readable. " + _JOIN_ANEW,
        )
    _write(path, words)


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, hashlib.sha256(content).digest(), content)


def _is_whole(path: Path) -> bool:
    """Whether a file has the digest that it begins with; one that has just gone has."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]


def _read(path: Path) -> bytes | None:
    """A file's content without its digest; None if it is absent or doesn't have that digest."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s can't be read and is ignored: %s", path, error)
        return None
    if len(data) == _DIGEST and data != _OF_NOTHING:
        return None  # all but the digest was forgotten
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        _log.warning("%s is corrupted and is ignored; the step will be asked for again", path)
        return None
    return data[_DIGEST:]
