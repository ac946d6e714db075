"""Is everything in place? Each check says what is right, or what is wrong and what to do.

The examination doesn't stop at the first problem: an engineer who sets a node up wants the whole
list.
Checks that can't succeed yet are left out, so that the list names the next thing to do: before
`edge-node init` there is nothing to examine, before `edge-node enrol` no spec to compare with.
`checks` holds the checks themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge_node.config.paths import NodePaths
from edge_node.errors import TangentMeshError
from edge_node.node.checks import Checks

__all__ = ["Finding", "examine"]


@dataclass(frozen=True)
class Finding:
    """What one check found; ``error`` is None where all is well."""

    check: str
    text: str
    error: TangentMeshError | None = None

    @property
    def mark(self) -> str:
        """For the table."""
        return "ok" if self.error is None else "WRONG"

    @property
    def exit_code(self) -> int:
        """0, or that of the error."""
        return 0 if self.error is None else self.error.exit_code

    def as_dict(self) -> dict[str, object]:
        """For ``--json``."""
        facts: dict[str, object] = {"check": self.check, "ok": self.error is None}
        return facts | (self.error.as_dict() if self.error else {"finding": self.text})


def examine(paths: NodePaths) -> list[Finding]:
    """Run every check on a node's directory that is possible so far."""
    checks = Checks(paths)
    asked: dict[str, Callable[[], str]] = {"node file": checks.node_file}
    if paths.config.exists():
        asked |= {
            "membership": checks.membership,
            "state directory": checks.state_directory,
            "listening port": checks.port,
            "advertised address": checks.advertised,
        }
        if paths.spec.exists():
            asked |= _of_members(checks)
    return [_finding(check, ask) for check, ask in asked.items()]


def _of_members(checks: Checks) -> dict[str, Callable[[], str]]:
    """What enrolment makes possible: nearly all of it needs the federation's spec."""
    return {
        "federation spec": checks.federation_spec,
        "policy": checks.policy,
        "privacy": checks.privacy,
        "data file": checks.data_file,
        "public landmarks": checks.public_landmarks,
        "ledger": checks.ledger,
        "plan and records": checks.records,
        "posterior": checks.posterior,
        "aggregator and clock": checks.aggregator,
    }


def _finding(check: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(check, ask())
    except TangentMeshError as error:
        return Finding(check, str(error), error)
