"""A node as the aggregator knows it: what its last heartbeat said, and when.

All times are seconds of one monotonic clock that the caller reads.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_node.federation.report import Phase, Report

__all__ = ["Presence", "heard", "remembered"]


@dataclass(frozen=True, slots=True)
class Presence:
    """A node, its newest report and its times.

    Args:
        node: its name.
        fingerprint: SHA-256 of its certificate in force.
        report: what it said last.
        heard: when it said that.
        joined: when this process of the node was first heard, or was heard again after a silence.
        changed: when it reached the phase, run and refused epoch of ``report``.
        unreachable: peers that it can't reach, and since when without a break.
        renewed: SHA-256 of the renewed certificate that it calls with; empty: it calls with the
            one in force.
        ending: when the certificate in force is about to end.
        remembered: whether it has not been heard since the aggregator started; then ``heard`` is
            when that was.
    """

    node: str
    fingerprint: bytes
    report: Report
    heard: float
    joined: float
    changed: float
    unreachable: Mapping[str, float] = field(default_factory=dict)
    remembered: bool = False
    renewed: bytes = b""
    ending: float = math.inf


def remembered(node: str, fingerprint: bytes, report: Report, *, now: float) -> Presence:
    """A node as a restarted aggregator knows it: what it said last, but not whether it lives."""
    return Presence(node, fingerprint, report, now, now, now, remembered=True)


def heard(
    before: Presence | None,
    node: str,
    fingerprint: bytes,
    report: Report,
    *,
    now: float,
    liveness: float,
) -> Presence:
    """The node's presence after a heartbeat.

    A refusal of every cohort holds until the node is restarted, because its site must change
    something first. A refusal of one epoch's cohort holds until the node says something else.
    """
    if before is None or before.fingerprint != fingerprint:
        since = dict.fromkeys(report.unreachable, now)
        return Presence(node, fingerprint, report, now, now, now, since)
    same = before.report.session == report.session
    if same and before.report.refuses_every_cohort:
        reason = report.reason or before.report.reason
        report = replace(report, phase=Phase.REFUSED, reason=reason, refused_epoch=0)
    stayed = same and not before.remembered and now - before.heard <= liveness
    state = _state(report) == _state(before.report)
    return replace(
        before,
        report=report,
        heard=now,
        joined=before.joined if stayed else now,
        changed=before.changed if state else now,
        unreachable={peer: before.unreachable.get(peer, now) for peer in report.unreachable},
        remembered=False,
    )


def _state(report: Report) -> tuple[Phase, int, int]:
    return report.phase, report.run, report.refused_epoch
