"""What a node keeps survives restarts and damage; what it must forget is gone."""

import logging
from pathlib import Path

import pytest

from edge_node.errors import MachineError, NetworkError, RefusedError
from edge_node.network.exchange.records import RecordStore, RunRecords
from edge_node.network.wire.operation import Kind, Operation, parse_record
from tangentmesh.v1 import discovery_pb2, exchange_pb2

RUN = 7


def step(sequence: int, *, run: int = RUN, name: str = "") -> Operation:
    """A sum in epoch 1."""
    return Operation(run, 1, Kind.KIND_SUM, sequence, name or f"s/{sequence}")


def record(operation: Operation, payload: bytes = b"total") -> bytes:
    """The bytes of its record, made by a and b."""
    return operation.record(["a", "b"], payload).SerializeToString(deterministic=True)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the state is."""
    return tmp_path / "state"


def records(directory: Path) -> RunRecords:
    """The run's records as a process finds them at its start."""
    return RecordStore(directory).run(RUN)


def test_completed_steps_survive_a_restart(directory: Path) -> None:
    """The same bytes, with cohort and position; what isn't there isn't."""
    first = records(directory)
    for sequence in range(3):
        first.commit(record(step(sequence), b"total %d" % sequence))
    again = records(directory)
    assert again.frontier == 3
    assert again.has(step(2))
    assert not again.has(step(3))
    assert again.find(step(1)) == record(step(1), b"total 1")
    assert again.since(1) == [record(step(n), b"total %d" % n) for n in (1, 2)]
    assert again.completed == ("s/0", "s/1", "s/2")
    assert [parse_record(each, where="").cohort for each in again.since(2)] == [["a", "b"]]


def test_files_are_private(directory: Path) -> None:
    """Only the node's user can enter, and no file is readable by others."""
    kept = records(directory)
    kept.commit(record(step(0)))
    kept.keep_masking_key(1, b"key")
    assert {path.stat().st_mode & 0o777 for path in (directory, directory / "run-7")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in directory.rglob("*.*")} == {0o600}


def test_a_step_is_found_in_any_later_epoch(directory: Path) -> None:
    """It outlives its epoch; an epoch's own operations don't."""
    kept = records(directory)
    kept.begin_epoch(1)
    claims, keys = (Operation.of_epoch(RUN, 1, kind) for kind in (Kind.KIND_CLAIMS, Kind.KIND_KEYS))
    kept.commit(record(step(0)))
    kept.commit(record(claims))
    kept.commit(record(keys))
    kept.keep_masking_key(1, b"secret")
    assert records(directory).has(claims)
    assert records(directory).has(keys)
    assert records(directory).masking_key(1) == b"secret"
    kept.begin_epoch(1)  # a restart within the epoch
    assert kept.masking_key(1) == b"secret"
    kept.begin_epoch(2)
    for found in (kept, records(directory)):
        assert found.find(Operation(RUN, 2, Kind.KIND_SUM, 0, "s/0")) == record(step(0))
        assert not found.has(keys)
        assert found.claims(1) == b"total"
        assert found.masking_key(1) is None
    assert [path.name for path in directory.rglob("epoch-1-*")] == ["epoch-1-claims.pb"]


@pytest.mark.parametrize(
    "other",
    [step(0, name="t"), Operation(RUN, 1, Kind.KIND_GATHER, 0, "s/0")],
    ids=["name", "kind"],
)
def test_another_step_at_the_same_place_is_an_error(directory: Path, other: Operation) -> None:
    """The programs of two nodes, or of two versions, differ."""
    kept = records(directory)
    kept.commit(record(step(0)))
    with pytest.raises(NetworkError, match="the programs differ"):
        kept.find(other)


@pytest.mark.parametrize("wrong", [step(0), step(2), step(1, run=8)], ids=["again", "gap", "run"])
def test_only_the_next_step_can_be_committed(directory: Path, wrong: Operation) -> None:
    """A total is final, and none is skipped; nothing changes on disk."""
    kept = records(directory)
    kept.commit(record(step(0), b"first"))
    before = {path: path.read_bytes() for path in directory.rglob("*.pb")}
    with pytest.raises(NetworkError, match="does not follow"):
        kept.commit(record(wrong, b"second"))
    assert {path: path.read_bytes() for path in directory.rglob("*.pb")} == before


def test_a_contribution_is_kept_until_its_step_is_complete(directory: Path) -> None:
    """A restart sends the same one; afterwards nobody needs it."""
    kept = records(directory)
    kept.keep_contribution(0, b"words")
    assert records(directory).contribution(0) == b"words"
    assert records(directory).contribution(1) is None
    kept.commit(record(step(0)))
    assert records(directory).contribution(0) is None


def test_no_second_contribution_after_a_step_whose_record_was_lost(directory: Path) -> None:
    """The masks of the epoch are still the same ones: the words must be, too."""
    kept = records(directory)
    kept.keep_contribution(0, b"words")
    kept.commit(record(step(0)))
    (directory / "run-7" / "step-00000000.pb").unlink()
    again = records(directory)
    assert again.frontier == 0
    with pytest.raises(RefusedError, match="something else"):
        again.keep_contribution(0, b"other")
    again.keep_contribution(0, b"words")
    assert again.contribution(0) == b"words"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_no_second_contribution_after_damage(directory: Path, damage: str) -> None:
    """What a damaged file held may have been sent."""
    records(directory).keep_contribution(0, b"words")
    path = directory / "run-7" / "step-00000000.contribution"
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-1], "flip": bytes([data[0] ^ 1]) + data[1:], "empty": b""}[damage]
    )
    again = records(directory)
    assert again.contribution(0) is None
    with pytest.raises(RefusedError, match="something else"):
        again.keep_contribution(0, b"other")


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_record_is_asked_for_again(
    directory: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as absent, with all that follow it; then the steps can be committed anew."""
    kept = records(directory)
    for sequence in range(3):
        kept.commit(record(step(sequence)))
    path = directory / "run-7" / "step-00000001.pb"
    data = path.read_bytes()
    changed = {
        "cut": data[:-1],
        "flip": data[:-1] + bytes([data[-1] ^ 1]),
        "empty": b"",
        "foreign": (directory / "run-7" / "step-00000002.pb").read_bytes(),
    }
    path.write_bytes(changed[damage])
    with caplog.at_level(logging.WARNING):
        again = records(directory)
    assert again.frontier == 1
    assert ("is corrupted" in caplog.text) == (damage != "foreign")
    again.commit(record(step(1)))
    again.commit(record(step(2)))
    assert records(directory).frontier == 3


def test_damage_under_way_is_said(directory: Path) -> None:
    """Instead of another total."""
    kept = records(directory)
    kept.commit(record(step(0)))
    (directory / "run-7" / "step-00000000.pb").write_bytes(b"")
    for read in (lambda: kept.find(step(0)), lambda: kept.since(0)):
        with pytest.raises(NetworkError, match="damaged"):
            read()


def test_an_unwritable_directory_leaves_the_frontier(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: what isn't on disk isn't complete, and isn't passed on."""
    kept = records(directory)

    def full(path: Path, *data: bytes) -> None:
        raise MachineError("the file can't be written", where=str(path))

    monkeypatch.setattr("edge_node.network.exchange.checked_file.write_atomically", full)
    with pytest.raises(MachineError):
        kept.commit(record(step(0)))
    assert kept.frontier == 0


def test_the_plan_survives_a_restart_but_not_damage(directory: Path) -> None:
    """A node without a readable plan waits for the aggregator's."""
    store = RecordStore(directory)
    assert store.load_plan() is None
    store.save_plan(discovery_pb2.Plan(epoch=4, run=2))
    assert RecordStore(directory).load_plan() == discovery_pb2.Plan(epoch=4, run=2)
    path = directory / "plan.pb"
    path.write_bytes(path.read_bytes()[:-1])
    assert RecordStore(directory).load_plan() is None


def test_the_current_run_and_the_last_complete_one_are_kept(directory: Path) -> None:
    """Of the earlier ones, complete or not, nothing remains."""
    store = RecordStore(directory)
    for run in (1, 2, 3, 4):
        store.run(run).commit(record(step(0, run=run)))
    store.run(1).finish()
    store.run(2).finish()
    store.run(2).keep_masking_key(1, b"secret")
    store.run(2).finish()
    store.prune(4)
    assert sorted(path.name for path in directory.glob("run-*")) == ["run-2", "run-4"]
    assert store.run(2).masking_key(1) is None
    assert RecordStore(directory).run(2).frontier == 1


def test_a_record_that_is_none_is_refused(directory: Path) -> None:
    """Nothing is written."""
    with pytest.raises(NetworkError, match="not the record"):
        records(directory).commit(b"\xff\xff\xff")
    content = exchange_pb2.Record(run=RUN, sequence=0, step="s", kind=Kind.KIND_SUM)
    with pytest.raises(NetworkError, match="each once and sorted"):
        Operation(RUN, 1, Kind.KIND_SUM, 0, "s").check(content)
