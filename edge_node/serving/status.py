"""What a running node says of itself, as a value and on the wire."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from edge_node.errors import NetworkError
from edge_node.security.disclosure.bill import Bill
from tangentmesh.v1 import prediction_pb2 as pb

__all__ = ["NodeStatus"]


@dataclass(frozen=True)
class NodeStatus:
    """A node's status. Times are UTC.

    ``phase`` is idle, running, complete or refused. The node has waited for ``waiting_for`` for
    ``waiting_seconds``. ``cohort`` is that of the posterior it holds, made at ``posterior_time``
    (None: it holds none yet). Bytes are counted over tree edges since the process started.
    ``bill`` is the posterior's (None: no posterior, or noise protects what was told); ``told`` is
    how many numbers were told over this node's rows in their life. ``steps_planned`` is how many
    steps the run takes at most (0: that isn't planned yet).
    """

    node: str
    federation: str
    phase: str
    epoch: int
    run: int
    step: str
    waiting_for: tuple[str, ...]
    waiting_seconds: float
    discovery_reachable: bool
    cohort: tuple[str, ...]
    posterior_time: datetime | None
    certificate_expires: datetime | None
    reason: str
    bytes_sent: int
    bytes_received: int
    steps_completed: int
    bill: Bill | None = None
    told: int = 0
    steps_planned: int = 0

    def to_message(self) -> pb.StatusReply:
        """The wire form."""
        reply = pb.StatusReply(
            node=self.node,
            federation=self.federation,
            phase=self.phase,
            epoch=self.epoch,
            run=self.run,
            step=self.step,
            waiting_for=self.waiting_for,
            discovery_reachable=self.discovery_reachable,
            cohort=self.cohort,
            reason=self.reason,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            steps_completed=self.steps_completed,
            told=self.told,
            steps_planned=self.steps_planned,
        )
        if self.bill is not None:
            reply.bill.CopyFrom(_bill_message(self.bill))
        reply.waiting.FromNanoseconds(int(self.waiting_seconds * 1e9))
        if self.posterior_time:
            reply.posterior_time.FromDatetime(self.posterior_time)
        if self.certificate_expires:
            reply.certificate_expires.FromDatetime(self.certificate_expires)
        return reply

    @classmethod
    def from_message(cls, reply: pb.StatusReply) -> Self:
        """The inverse of ``to_message``. Raises NetworkError for a time that can't be read."""
        try:
            waiting = reply.waiting.ToTimedelta().total_seconds()
            times = _time(reply, "posterior_time"), _time(reply, "certificate_expires")
        except (ValueError, OverflowError) as error:
            raise NetworkError("a node's status can't be read", found=str(error)) from error
        return cls(
            node=reply.node,
            federation=reply.federation,
            phase=reply.phase,
            epoch=reply.epoch,
            run=reply.run,
            step=reply.step,
            waiting_for=tuple(reply.waiting_for),
            waiting_seconds=waiting,
            discovery_reachable=reply.discovery_reachable,
            cohort=tuple(reply.cohort),
            posterior_time=times[0],
            certificate_expires=times[1],
            reason=reply.reason,
            bytes_sent=reply.bytes_sent,
            bytes_received=reply.bytes_received,
            steps_completed=reply.steps_completed,
            bill=_bill(reply.bill) if reply.HasField("bill") else None,
            told=reply.told,
            steps_planned=reply.steps_planned,
        )


def _bill_message(bill: Bill) -> pb.Bill:
    steps = [pb.StepBill(step=step, numbers=numbers) for step, numbers in bill.steps.items()]
    facts = {name: getattr(bill, name) for name in bill.__struct_fields__ if name != "steps"}
    return pb.Bill(steps=steps, **facts)


def _bill(message: pb.Bill) -> Bill:
    return Bill(
        steps={each.step: each.numbers for each in message.steps},
        before=message.before,
        rows=message.rows,
        columns=message.columns,
        most_told=message.most_told,
        coalition=message.coalition,
        sizes=dict(message.sizes),
    )


def _time(reply: pb.StatusReply, field: str) -> datetime | None:
    if not reply.HasField(field):
        return None
    time: datetime = getattr(reply, field).ToDatetime(tzinfo=UTC)
    return time
