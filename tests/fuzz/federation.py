"""Every call of every service, at real processes: aggregator and nodes, over their own sockets.

Requests are random messages, right in form, mutated or not, and bytes that are none. A service may
answer with any status but UNKNOWN, which an exception leaves behind; no process may end, write a
traceback, or answer differently afterwards. (INTERNAL is the client's own: it was still writing
when the server had answered.)
"""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from benchmarks.federations import regression_spec, write_rows
from edge_node.demo.federation import LocalFederation
from edge_node.federation.plan import Plan
from edge_node.network.exchange.records import RecordStore
from edge_node.network.wire.framing import chunks
from edge_node.network.wire.operation import Operation, parse_record
from edge_node.network.wire.plan import receive_plan
from edge_node.security.pki.identity import Identity, load_identity
from edge_node.security.tls.credentials import channel_credentials, channel_options
from edge_node.serving.client import predict
from edge_node.serving.endpoint import socket_path, target
from tangentmesh.v1 import discovery_pb2, enrolment_pb2, exchange_pb2, prediction_pb2
from tests.fuzz.loop import Finding, memory
from tests.fuzz.mutation import mutated
from tests.fuzz.reflection import Values, nearly, random_message

__all__ = ["fuzz_federation"]

NODES = 3
QUERY = [{f"x{i}": float(i) for i in range(8)}]
_AT_ONCE = 32  # calls
_PATIENCE = 1.0  # seconds for a call; then the client hangs up
_COMPLETE = 120.0  # seconds until the federation must hold a posterior
_SHARES = {"Exchange": 6, "Heartbeat": 4, "Predict": 4, "Enrol": 1}


@dataclass(frozen=True)
class Call:
    """One method of one server, as bytes."""

    method: MethodDescriptor
    channel: grpc.aio.Channel
    server: str

    async def make(self, messages: Sequence[bytes]) -> grpc.StatusCode:
        """The status that a request is answered with; a stream takes all messages."""
        path = f"/{self.method.containing_service.full_name}/{self.method.name}"
        try:
            if self.method.client_streaming:
                answers = self.channel.stream_stream(path)(iter(messages), timeout=_PATIENCE)
                async for _ in answers:
                    pass
            else:
                await self.channel.unary_unary(path)(messages[0], timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNKNOWN:
                what = f"{self.method.name} at {self.server}: {error.details()}"
                raise Finding(f"{what}: {messages!r}") from error
            return error.code()
        return grpc.StatusCode.OK


def fuzz_federation(directory: Path, calls: int, seed: int) -> dict[str, Any]:
    """Make so many calls. Raises Finding for what must not happen.

    Returns:
        How often each status was answered, by method; by process, megabytes before and after.
    """
    files, _ = write_rows(directory, 300, NODES)
    spec = regression_spec(10, NODES)
    with LocalFederation(directory / "federation", spec, files, threads=1) as federation:
        federation.start()
        federation.wait_complete(deadline=_COMPLETE)
        nodes = [federation.node_directory(node) for node in files]
        answers = [predict(node, QUERY) for node in nodes]
        asyncio.run(_calls(federation, calls // 10, seed + 1))
        before = _megabytes(federation)
        statuses = asyncio.run(_calls(federation, calls, seed))
        _junk(federation, Random(seed))
        after = _megabytes(federation)
        _check(federation)
        if [predict(node, QUERY) for node in nodes] != answers:
            raise Finding("a node answers differently")
    grown = {name: [before[name], after[name]] for name in before}
    return {"statuses": statuses, "megabytes": grown}


def _megabytes(federation: LocalFederation) -> dict[str, float]:
    return {name: memory(process.pid) for name, process in federation.processes.items()}


def _check(federation: LocalFederation) -> None:
    for name, process in federation.processes.items():
        log = federation.log(name).read_text(errors="replace")
        if process.poll() is not None or "Traceback" in log:
            place = log.find("Traceback")
            raise Finding(f"{name}: exit code {process.returncode}: {log[place : place + 3000]}")


async def _calls(federation: LocalFederation, calls: int, seed: int) -> dict[str, dict[str, int]]:
    random = Random(seed)
    values, valid = _values(federation, random), _valid(federation)
    found: dict[str, Counter[str]] = {}
    methods = await _methods(federation)
    shares = [_SHARES.get(call.method.name, 1) for call in methods]
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Call, messages: Sequence[bytes]) -> None:
        async with slots:
            status = await call.make(messages)
        found.setdefault(call.method.name, Counter())[status.name] += 1

    async with asyncio.TaskGroup() as group:
        for call in random.choices(methods, shares, k=calls):
            await slots.acquire()
            slots.release()
            known = random.choice(valid.get(call.method.name, [[]]))
            group.create_task(one(call, _request(call.method, known, values, random)))
            await asyncio.sleep(0)
    for channel in {call.channel for call in methods}:
        await channel.close()
    return {name: dict(counter) for name, counter in sorted(found.items())}


def _request(
    method: MethodDescriptor, valid: Sequence[Message], values: Values, random: Random
) -> list[bytes]:
    """The messages of a call: random ones, or valid ones with a change; a third is mutated."""
    if valid and random.random() < 0.6:
        made = [nearly(each, values, random) for each in valid]
    else:
        count = random.choice((0, 1, 1, 2, 3)) if method.client_streaming else 1
        made = [random_message(method.input_type, values) for _ in range(count)]
    data = [each.SerializeToString() for each in made]
    return [mutated(each, data, random) if random.random() < 0.3 else each for each in data]


def _valid(federation: LocalFederation) -> dict[str, list[list[Message]]]:
    """Requests that are answered with OK, by method; each a list of the call's messages."""
    plan = _plan(federation)
    completed = RecordStore(federation.node_directory(plan.root) / "state").run(plan.run)
    first = parse_record(completed.since(0)[0], where="step 0")
    step = Operation(plan.run, plan.epoch, first.kind, 0, first.step)
    payload = bytes(64)
    rows = [
        prediction_pb2.Row(cells={k: prediction_pb2.Cell(number=v) for k, v in QUERY[0].items()})
    ]
    beat = discovery_pb2.HeartbeatRequest(
        spec_hash=plan.spec_hash, session=bytes(16), epoch=plan.epoch, run=plan.run, phase=3
    )
    return {
        "Exchange": [list(chunks(step.header(plan.hash, payload), payload))],
        "Predict": [[prediction_pb2.PredictRequest(rows=rows * n)] for n in (1, 3)],
        "Heartbeat": [[beat]],
    }


async def _methods(federation: LocalFederation) -> list[Call]:
    """All methods of all servers, called by nodes of the federation."""
    found = []
    own = {node: _identity(federation, node) for node in federation.files}
    plan = _plan(federation)
    aggregator = json.loads((federation.directory / "aggregator" / "ports.json").read_text())
    for node, identity in own.items():
        channel = _channel(f"127.0.0.1:{aggregator['discovery']}", "aggregator", identity)
        found += _of(discovery_pb2, channel, "aggregator")
        local = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        directory = federation.node_directory(node)
        found += _of(prediction_pb2, grpc.aio.secure_channel(target(directory), local), node)
        if parent := plan.parent(node):
            channel = _channel(plan.by_node[parent].address, parent, identity)
            found += _of(exchange_pb2, channel, parent)
    anybody = grpc.aio.secure_channel(
        f"localhost:{aggregator['enrolment']}",
        grpc.ssl_channel_credentials(next(iter(own.values())).ca_pem),
    )
    return [*found, *_of(enrolment_pb2, anybody, "aggregator")]


def _of(module: Any, channel: grpc.aio.Channel, server: str) -> Iterator[Call]:
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            yield Call(method, channel, server)


def _channel(address: str, name: str, identity: Identity) -> grpc.aio.Channel:
    credentials = channel_credentials(identity)
    return grpc.aio.secure_channel(address, credentials, options=channel_options(name))


def _identity(federation: LocalFederation, node: str) -> Identity:
    return load_identity(federation.node_directory(node) / "identity")


def _plan(federation: LocalFederation) -> Plan:
    node = next(iter(federation.files))
    message = RecordStore(federation.node_directory(node) / "state").load_plan()
    assert message is not None
    return receive_plan(message, node=node)


def _values(federation: LocalFederation, random: Random) -> Values:
    """True values of this federation."""
    plan = _plan(federation)
    texts = [*federation.files, "survey", "statistics/0", "keys", "claims", "x0", "x1", "y"]
    texts += ["127.0.0.1:1", "auto"]
    data = [plan.hash, plan.spec_hash, *(member.fingerprint for member in plan.members)]
    data += [_identity(federation, node).certificate_der for node in federation.files]
    return Values(texts, data, random)


def _junk(federation: LocalFederation, random: Random) -> None:
    """Bytes that are no gRPC, at every socket that somebody listens on."""
    ports = json.loads((federation.directory / "aggregator" / "ports.json").read_text())
    inner = {member.address for member in _plan(federation).members if member.address}
    places: list[tuple[int, Any]] = [
        (socket.AF_INET, ("127.0.0.1", int(port)))
        for port in (*ports.values(), *(address.rsplit(":")[-1] for address in inner))
    ]
    local = (socket_path(federation.node_directory(node)) for node in federation.files)
    places.extend((socket.AF_UNIX, str(path)) for path in local)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for family, address in places:
        for number in range(20):
            with socket.socket(family) as raw, suppress(ConnectionError, TimeoutError):
                raw.settimeout(_PATIENCE)
                raw.connect(address)
                raw.sendall((preface if number % 2 else b"") + random.randbytes(1 << number % 12))
