"""What a node logs of each completed operation: how long it took, which peer it waited for, and
what it cost. `python -m benchmarks run` adds these lines up.
"""

import logging
import time
from pathlib import Path

from edge_node.network.wire.framing import EdgeBytes
from edge_node.network.wire.operation import Kind, Operation

__all__ = ["log_step"]

_log = logging.getLogger(__name__)


def log_step(
    operation: Operation,
    *,
    child: str,
    parent: str,
    times: tuple[float, float, float],
    edge: EdgeBytes,
) -> None:
    """Log a step of the program once its total is on this node's disk.

    What an epoch begins with (claims, keys) is logged, too, but without a position in the
    run: a node that comes late to an epoch keeps the others waiting there.

    Args:
        operation: the step, in the epoch in which it was completed.
        child: the child whose message came last; empty: the node is a leaf.
        parent: the node's parent; empty: it is the root.
        times: when the step began here, when the last child's message came, and when the parent's
            answer did; seconds of a clock. The longer of the two waits names the neighbour.
        edge: what went to the parent and came from it for this operation.
    """
    began, collected, ended = times
    waited_longer_for_parent = ended - collected >= collected - began
    facts = {
        "run": operation.run,
        "epoch": operation.epoch,
        **({"sequence": operation.sequence} if operation.is_step else {}),
        "step": operation.step,
        "kind": Kind.Name(operation.kind).removeprefix("KIND_").lower(),
        "seconds": round(ended - began, 3),
        "waited_for": (parent or child) if waited_longer_for_parent else (child or parent),
        "sent": edge.sent,
        "received": edge.received,
        "processor_seconds": round(time.process_time(), 3),  # of the process, since it began
        "peak_bytes": _peak_bytes(),
    }
    _log.info("a step is complete" if operation.is_step else "an epoch begins", extra=facts)


def _peak_bytes() -> int:
    """The most memory that this process has taken so far.

    Linux has a line for it. (`getrusage` would count the parent's memory before it started this
    program.) Elsewhere it is 0.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
