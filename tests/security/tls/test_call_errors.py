"""Status codes become errors that say who was called, what it said, and what to do."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode

import edge_node
from edge_node.errors import DataError, IdentityError, NetworkError, RefusedError, TangentMeshError
from edge_node.security.pki.identity import Identity
from edge_node.security.tls import handshake
from edge_node.security.tls.call_errors import (
    discovery_error,
    enrolment_error,
    final_error,
    local_error,
    refusal,
    summary,
)

ADDRESS = "aggregator.example:7701"
REFUSALS = [
    StatusCode.UNAUTHENTICATED,
    StatusCode.PERMISSION_DENIED,
    StatusCode.ALREADY_EXISTS,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.FAILED_PRECONDITION,
]


def failed(code: StatusCode, details: str | None = "as it says") -> grpc.aio.AioRpcError:
    """A call that ended like that."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details=details)


@pytest.mark.parametrize("code", StatusCode)
def test_a_refusal_is_told_in_the_services_words(code: StatusCode) -> None:
    """And nothing else is a refusal."""
    assert refusal(failed(code)) == ("as it says" if code in REFUSALS else None)
    assert refusal(failed(code, None)) == (code.name if code in REFUSALS else None)
    assert summary(failed(code)) == f"{code.name}: as it says"


ENROLMENT = {
    StatusCode.UNAUTHENTICATED: "refused the token",
    StatusCode.PERMISSION_DENIED: "refused the token",
    StatusCode.ALREADY_EXISTS: "was used before",
    StatusCode.INVALID_ARGUMENT: "refused the request",
    StatusCode.FAILED_PRECONDITION: "refused the request",
    StatusCode.UNAVAILABLE: "can't be reached",
    StatusCode.DEADLINE_EXCEEDED: "can't be reached",
}


@pytest.mark.parametrize("code", StatusCode)
def test_enrolment(code: StatusCode) -> None:
    """A refusal is about the node's identity; the operator is who can help."""
    error = enrolment_error(failed(code), ADDRESS)
    assert isinstance(error, IdentityError if code in REFUSALS else NetworkError)
    assert ENROLMENT.get(code, "the aggregator failed") in error.problem
    assert "as it says" in error.found
    assert error.where == f"aggregator {ADDRESS}"
    assert "operator" in error.remedy


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The addresses, and names expected there, that were dialled for an explanation."""
    calls: list[tuple[str, str]] = []

    def explain(address: str, *, name: str, **_: object) -> TangentMeshError:
        calls.append((address, name))
        return NetworkError("nothing answers there", where=address)

    monkeypatch.setattr(handshake, "explain_failure", explain)
    return calls


@pytest.mark.parametrize("code", StatusCode)
async def test_discovery(
    code: StatusCode, member: Callable[..., Identity], dialled: list[tuple[str, str]]
) -> None:
    """Without a connection the handshake is looked at; otherwise it says what came."""
    error = await discovery_error(failed(code), ADDRESS, member("hospital-a"))
    assert error.where == ADDRESS
    assert isinstance(error, RefusedError if code in REFUSALS else NetworkError)
    assert bool(dialled) == (code is StatusCode.UNAVAILABLE)
    if dialled:
        assert dialled == [(ADDRESS, "aggregator")]
        assert error.problem == "nothing answers there"
    elif code in REFUSALS:
        assert error.problem == "as it says"
    else:
        assert (error.problem, error.found) == ("the aggregator doesn't answer", "as it says")
        assert "firewall" in error.remedy


@pytest.mark.parametrize("code", StatusCode)
def test_a_parents_last_word(code: StatusCode) -> None:
    """Only these two are final: everything else may be better next time."""
    error = final_error(failed(code), where="answer of a")
    if code in (StatusCode.ABORTED, StatusCode.INVALID_ARGUMENT):
        assert isinstance(error, NetworkError)
        assert str(error) == "answer of a: as it says"
    else:
        assert error is None


@pytest.mark.parametrize("code", StatusCode)
def test_the_node_on_this_machine(code: StatusCode) -> None:
    """It doesn't run, the rows are wrong, or it says what is missing."""
    error = local_error(failed(code), Path("node/local.sock"), timeout=2.5)
    if code is StatusCode.UNAVAILABLE:
        assert "edge-node run" in error.remedy
        assert error.where == "node/local.sock"
    elif code is StatusCode.DEADLINE_EXCEEDED:
        assert "node/local.sock: " in str(error)
        assert error.expected == "an answer within 2.5 s"
        assert "stopped" in error.remedy
    elif code is StatusCode.INVALID_ARGUMENT:
        assert isinstance(error, DataError)
        assert str(error) == "as it says"
    else:
        assert isinstance(error, NetworkError)
        assert str(error) == "node/local.sock: as it says"


def test_codes_are_read_here_only() -> None:
    """Other modules that name one are servers: they send it."""
    package = Path(edge_node.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "StatusCode" in path.read_text(encoding="utf-8")
    }
    assert found == {
        "network/exchange/exchange_server.py",
        "security/tls/call_errors.py",
        "security/tls/unreadable_requests.py",
        "serving/server.py",
    }
