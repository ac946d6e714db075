"""Notices when nodes refuse to learn and won't change their minds."""

from collections.abc import Mapping, Sequence

from edge_node.errors import RefusedError
from edge_node.serving.status import NodeStatus

__all__ = ["Refusals"]

_ALL_SECONDS = 0.5
_SOME_SECONDS = 20.0


class Refusals:
    """Watches nodes' statuses for a refusal that lasts.

    A single node may refuse one cohort, because a slow node was left out of it, and accept the
    next. So a refusal by some nodes counts only after twenty seconds. When all nodes refuse,
    nothing more will happen, and half a second is enough to be sure.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = nodes
        self._since: dict[str, tuple[str, float]] = {}

    def check(self, statuses: Mapping[str, NodeStatus], now: float) -> None:
        """Raise RefusedError, with the nodes' reason, if they refuse for good.

        Args:
            statuses: what each node says of itself at present.
            now: seconds on any clock that only goes forward.
        """
        reasons = {node: s.reason for node, s in statuses.items() if s.phase == "refused"}
        self._since = {
            node: self._since[node] if self._since.get(node, ("",))[0] == reason else (reason, now)
            for node, reason in reasons.items()
        }
        limit = _ALL_SECONDS if len(reasons) == len(self._nodes) else _SOME_SECONDS
        lasting = {n: why for n, (why, since) in self._since.items() if now - since >= limit}
        if lasting and (limit == _SOME_SECONDS or len(lasting) == len(self._nodes)):
            said = "; ".join(dict.fromkeys(lasting.values()))
            raise RefusedError(f"refused: {said}", where=", ".join(sorted(lasting)))
