"""The nodes that a sum is over, and what each of them says of its own contributions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from edge_node.security.disclosure.differencing import Row

__all__ = ["HIDDEN", "LARGEST_SIZE", "VERSION_BYTES", "Claim", "Cohort"]

VERSION_BYTES = 32
LARGEST_SIZE = 40
"""The binary logarithm of more rows than any site has."""

HIDDEN = b"hidden by noise".ljust(VERSION_BYTES, b"\0")
"""What every node calls its rows under differential privacy, whatever they are: a name that changed
with them would tell two runs with one row more or less apart."""


@dataclass(frozen=True)
class Claim:
    """What a node says of its contributions in an epoch.

    Attributes:
        version: names its rows, 32 bytes. It changes when they do, and says nothing else of them;
            or it is `HIDDEN`.
        consents: whether others may learn its sums by subtracting totals.
        size: floor(log2(n)), n the number of distinct rows it has: at most LARGEST_SIZE.
        told: how many numbers were told over these rows before this run.
    """

    version: bytes
    consents: bool = False
    size: int = 0
    told: int = 0


@dataclass(frozen=True)
class Cohort:
    """The nodes of an epoch's sums, by name.

    Attributes:
        run: of the plan.
        epoch: of the plan.
        root: where totals are formed.
        claims: what each node says, signed by it.
        completed: how many steps of the run each node had completed when the epoch began; it
            signs that, too.
    """

    run: int
    epoch: int
    root: str
    claims: Mapping[str, Claim]
    completed: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def row(self) -> Row:
        """The members, each with the version of its rows."""
        return frozenset((node, claim.version) for node, claim in self.claims.items())
