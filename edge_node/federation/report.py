"""A node's report: how far it is, and what it waits for."""

import enum
from dataclasses import dataclass

__all__ = ["Phase", "Report"]


class Phase(enum.Enum):
    """How far a node is. The numbers are those of the wire and of the aggregator's registry."""

    IDLE = 1
    RUNNING = 2
    COMPLETE = 3
    REFUSED = 4

    def __str__(self) -> str:
        """For people and programs: ``running``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Report:
    """What a heartbeat says; HeartbeatRequest in discovery.proto explains the fields.

    Args:
        address: host:port that peers dial; empty: the node accepts no connections.
        session: 16 bytes, drawn when the node's process starts.
        epoch: of the newest plan that the node has; 0: it has none.
        run: that the node works on, or has completed.
        phase: how far it is in that run.
        step: the step of the run that it is at.
        waiting_for: names of the nodes that it waits for.
        waiting: seconds for which it has waited.
        unreachable: names of the nodes that it can't dial.
        reason: why it refuses, for people.
        refused_epoch: the only epoch whose cohort it refuses; 0: it refuses every cohort, or none.
        spec_hash: SHA-256 of the federation spec that it holds, 32 bytes.
    """

    address: str = ""
    session: bytes = b""
    epoch: int = 0
    run: int = 0
    phase: Phase = Phase.IDLE
    step: str = ""
    waiting_for: tuple[str, ...] = ()
    waiting: float = 0.0
    unreachable: tuple[str, ...] = ()
    reason: str = ""
    refused_epoch: int = 0
    spec_hash: bytes = b""

    @property
    def refuses_every_cohort(self) -> bool:
        """Whether the node takes part in nothing. It may also refuse one epoch's cohort only."""
        return self.phase is Phase.REFUSED and not self.refused_epoch
