"""What a heartbeat may say. All of it is checked before any of it is used or kept.

A node is a certified member, and may still be broken or lie. What a report says ends up in plans
(addresses, epochs), which every other node checks and would refuse.
"""

from collections.abc import Collection, Iterator

from edge_node.config.names import check_node_name, split_address
from edge_node.errors import ConfigurationError, NetworkError
from edge_node.federation.report import Phase, Report
from tangentmesh.v1 import discovery_pb2

__all__ = ["read_report"]

_SESSION = 16  # bytes
_AHEAD = 2**32  # epochs and runs that a registry from a backup may lack; far below 2**63
_ADDRESS = 300  # characters; a DNS name has 253, a port 5
_NAMES = 100_000
_WAITING = 2**31  # seconds, 68 years
_STEP, _REASON = 200, 2000  # characters that are kept
_PHASES = {phase.value: phase for phase in Phase}


def read_report(
    request: discovery_pb2.HeartbeatRequest, node: str, *, epoch: int, run: int
) -> Report:
    """The report of a heartbeat.

    Args:
        request: as it came.
        node: who sent it.
        epoch: of the newest plan; 0: there is none yet.
        run: of the newest plan.

    Raises:
        NetworkError: a value makes no sense; the first such one is named.
    """
    for complaint in _complaints(request, epoch, run):
        raise NetworkError(
            f"the heartbeat makes no sense: {complaint}",
            where=node,
            remedy="Update node and aggregator to the same version; if they are, report this",
        )
    return Report(
        address=request.address,
        session=request.session,
        epoch=request.epoch,
        run=request.run,
        phase=_PHASES[int(request.phase)],
        step=request.step[:_STEP],
        waiting_for=tuple(request.waiting_for),
        waiting=request.waiting.seconds + request.waiting.nanos / 1e9,
        unreachable=tuple(request.unreachable),
        reason=request.reason[:_REASON],
        refused_epoch=request.refused_epoch,
        spec_hash=request.spec_hash,
    )


def _complaints(request: discovery_pb2.HeartbeatRequest, epoch: int, run: int) -> Iterator[str]:
    if len(request.session) != _SESSION:
        yield f"expected a session of {_SESSION} bytes, found {len(request.session)}"
    for name, value, newest in (
        ("an epoch", request.epoch, epoch),
        ("a run", request.run, run),
        ("a refused epoch", request.refused_epoch, epoch),
    ):
        if value > newest + _AHEAD:
            yield f"expected {name} near the newest, {newest}, found {value}"
    if int(request.phase) not in _PHASES:
        yield f"expected a phase from {min(_PHASES)} to {max(_PHASES)}, found {request.phase}"
    waiting = request.waiting
    if not (0 <= waiting.seconds < _WAITING and 0 <= waiting.nanos < 10**9):
        yield f"expected a time of waiting, found {waiting.seconds} s and {waiting.nanos} ns"
    yield from _complaints_of_address(request.address)
    yield from _complaints_of_names("waiting_for", request.waiting_for)
    yield from _complaints_of_names("unreachable", request.unreachable)


def _complaints_of_address(address: str) -> Iterator[str]:
    if len(address) > _ADDRESS:
        yield f"expected an address of at most {_ADDRESS} characters, found {len(address)}"
    try:
        split_address(address or "leaf:1")
    except ConfigurationError as error:
        yield f"expected the address as {error.expected}, found {error.found}"


def _complaints_of_names(field: str, names: Collection[str]) -> Iterator[str]:
    if len(names) > _NAMES or len(set(names)) != len(names):
        yield f"expected at most {_NAMES} distinct names in {field}, found {len(names)}"
    for name in names:
        try:
            check_node_name(name)
        except ConfigurationError as error:
            yield f"expected names of nodes in {field}, found {error.found or repr(name)}"
