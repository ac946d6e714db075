"""Which authorities the nodes trust, as they say with their heartbeats."""

from dataclasses import dataclass, field

__all__ = ["NodesTrust"]


@dataclass
class NodesTrust:
    """A new authority may issue certificates as soon as all nodes that are alive trust it.

    Attributes:
        patience: seconds for which a node counts as alive after it was heard.
    """

    patience: float
    _said: dict[str, tuple[frozenset[bytes], float]] = field(default_factory=dict)

    def heard(self, node: str, trusted: frozenset[bytes], *, now: float) -> None:
        """A node has said which authorities it trusts (SHA-256 of each); ``now`` in seconds."""
        self._said[node] = (trusted, now)

    def of_all(self, authority: bytes) -> bool:
        """Whether all nodes that are alive trust an authority; False if none is alive."""
        latest = max((heard for _, heard in self._said.values()), default=0.0)
        here = [trusted for trusted, heard in self._said.values() if heard > latest - self.patience]
        return bool(here) and all(authority in trusted for trusted in here)
