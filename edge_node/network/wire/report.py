"""Reports as messages: what a node's heartbeat says."""

from edge_node.federation.report import Report
from tangentmesh.v1 import discovery_pb2

__all__ = ["report_message"]


def report_message(report: Report) -> discovery_pb2.HeartbeatRequest:
    """The wire form of a report."""
    request = discovery_pb2.HeartbeatRequest(
        address=report.address,
        spec_hash=report.spec_hash,
        session=report.session,
        epoch=report.epoch,
        run=report.run,
        phase=f"PHASE_{report.phase.name}",
        step=report.step,
        waiting_for=report.waiting_for,
        unreachable=report.unreachable,
        reason=report.reason,
        refused_epoch=report.refused_epoch,
    )
    request.waiting.FromNanoseconds(int(report.waiting * 1e9))
    return request
