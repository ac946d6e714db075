"""Every call of every service, at real processes: a bounded run of `make fuzz`."""

from pathlib import Path

import grpc
import pytest

from edge_node.serving.endpoint import target
from edge_node.serving.server import serve_local
from tests.fuzz.federation import fuzz_federation

CALLS = 800
METHODS = {"Enrol", "Exchange", "GetAuthority", "Heartbeat", "Predict", "Renew", "Status"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_services_answer_or_refuse_anything(tmp_path: Path) -> None:
    """Nobody ends, writes a traceback, or answers a query differently afterwards."""
    found = fuzz_federation(tmp_path, CALLS, seed=0)["statuses"]
    assert set(found) >= METHODS
    for method in ("Exchange", "GetAuthority", "Heartbeat", "Predict", "Status"):
        assert found[method]["OK"] > 0  # they got beyond the first check


async def test_an_unreadable_request_is_refused_by_name(tmp_path: Path) -> None:
    """GRPC alone would answer UNKNOWN."""
    server = await serve_local(tmp_path, lambda: None, lambda: None)  # type: ignore[arg-type, return-value]
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
    async with grpc.aio.secure_channel(target(tmp_path), local) as channel:
        call = channel.unary_unary("/tangentmesh.v1.Local/Predict")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff")
    await server.stop(None)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a message of its type" in str(caught.value.details())
