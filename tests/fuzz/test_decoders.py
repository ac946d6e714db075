"""What can't be read is refused with an error of the project: a bounded run of `make fuzz`."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_node.errors import TangentMeshError
from tangentmesh.v1 import discovery_pb2, exchange_pb2, prediction_pb2
from tests.fuzz.files import file_targets
from tests.fuzz.ledgers import ledger_targets
from tests.fuzz.loop import Finding, fuzz, shared_out
from tests.fuzz.messages import message_targets
from tests.fuzz.mutation import mutated
from tests.fuzz.reflection import Values, random_message
from tests.fuzz.targets import Target, held

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
]

INPUTS = 30_000  # of all decoders together
TYPES: dict[str, type[Message]] = {
    "gathered": exchange_pb2.Gathered,
    "keys": exchange_pb2.Gathered,
    "records": exchange_pb2.Records,
    "record": exchange_pb2.Record,
    "header": exchange_pb2.Header,
    "plan": discovery_pb2.Plan,
    "heartbeat": discovery_pb2.HeartbeatRequest,
    "status": prediction_pb2.StatusReply,
    "query": prediction_pb2.PredictRequest,
}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """All decoders, by name."""
    directory = tmp_path_factory.mktemp("fuzz")
    kinds = (message_targets, file_targets, ledger_targets)
    return {target.name: target for kind in kinds for target in kind(directory)}


def test_valid_inputs_are_read(targets: dict[str, Target]) -> None:
    """Mutations begin at something that is right."""
    for target in targets.values():
        target.decode(target.seeds[0])


def test_mutated_inputs_are_read_or_refused(targets: dict[str, Target]) -> None:
    """By every decoder; the same inputs each time."""
    for name, inputs in shared_out(list(targets.values()), INPUTS).items():
        fuzz(targets[name], inputs, seed=0)


@settings(max_examples=300)
@given(st.sampled_from(sorted(TYPES)), st.randoms(use_true_random=False), st.booleans())
def test_random_messages_are_read_or_refused(
    targets: dict[str, Target], name: str, random: Random, changed: bool
) -> None:
    """Right in form, and filled with anything; a half of them is mutated."""
    values = Values(["a", "b", "c", "s", "x", "kind"], [bytes(32)], random)
    data = random_message(TYPES[name].DESCRIPTOR, values).SerializeToString()
    held(targets[name], mutated(data, [data], random) if changed else data)


@settings(max_examples=200)
@given(st.data(), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(
    targets: dict[str, Target], drawn: st.DataObject, data: bytes
) -> None:
    """Nothing of the form is left."""
    fast = sorted(target.name for target in targets.values() if target.share >= 5)
    held(targets[drawn.draw(st.sampled_from(fast))], data)


def refusing(error: Exception) -> Callable[[bytes], None]:
    """A decoder that refuses all but its seed."""

    def decode(data: bytes) -> None:
        if data != b"seed":
            raise error

    return decode


def test_the_loop_finds_what_it_looks_for() -> None:
    """A foreign exception is a finding, one of the project isn't."""
    fuzz(Target("good", (b"seed",), refusing(TangentMeshError("no"))), 50, seed=0)
    with pytest.raises(Finding, match="bad: KeyError"):
        fuzz(Target("bad", (b"seed",), refusing(KeyError("no"))), 50, seed=0)


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    """So that a finding can be found again."""
    seen: list[list[bytes]] = [[], [], []]
    for inputs, seed in zip(seen, (1, 1, 2), strict=True):
        fuzz(Target("kept", (b"seed", b"other"), inputs.append), 50, seed)
    assert seen[0] == seen[1] != seen[2]
