"""A mesh in which a curious party writes down what every edge carries, as the parent reads it."""

from dataclasses import dataclass

from edge_node.federation.plan import Plan
from edge_node.network.exchange.exchange_client import ParentLink
from edge_node.network.wire.operation import Kind, Operation

__all__ = ["Heard", "listening"]


@dataclass(frozen=True)
class Heard:
    """One message: who handed what to whom, and the record that came back."""

    child: str
    parent: str
    operation: Operation
    payload: bytes
    answer: bytes

    @property
    def is_sum(self) -> bool:
        """Whether the payload is masked words."""
        return self.operation.kind == Kind.KIND_SUM


def listening(heard: list[Heard]) -> type[ParentLink]:
    """A link that appends to ``heard`` what it carries."""

    class Overheard(ParentLink):
        """As a parent reads it: after TLS."""

        async def exchange(
            self, plan: Plan, operation: Operation, payload: bytes, limit: int, *, node: str
        ) -> bytes:
            """As ever."""
            answer = await super().exchange(plan, operation, payload, limit, node=node)
            heard.append(Heard(node, plan.parent(node), operation, payload, answer))
            return answer

    return Overheard
