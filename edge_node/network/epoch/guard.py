"""What a node asks before it contributes to a sum."""

from collections.abc import Collection
from typing import Protocol

from edge_node.security.disclosure.cohort import VERSION_BYTES, Claim, Cohort
from edge_node.security.disclosure.contribution import Telling
from edge_node.step import Step

__all__ = ["Guard", "Unguarded"]


class Guard(Protocol):
    """Decides whether a node's words may leave; `security.disclosure.guard` is a site's."""

    def claim(self, run: int, cohort: Collection[str]) -> Claim:
        """What the node says of its rows to a run's cohort, when an epoch begins."""
        ...

    def check(self, cohort: Cohort, completed: Collection[str]) -> None:
        """Before an epoch's first sum; ``completed`` are the run's completed steps, as text.

        Raises:
            CohortRefusedError: nothing is contributed to sums over this cohort.
        """
        ...

    def admit(self, cohort: Cohort, sequence: int, step: Step, telling: Telling) -> None:
        """Before the words of a step are masked. On return what must be remembered is on disk.

        Args:
            cohort: of the epoch.
            sequence: the step's position in the run.
            step: the step.
            telling: what the words tell.

        Raises:
            CohortRefusedError: nothing is contributed to this step over this cohort.
            MachineError: it can't be written down.
        """
        ...

    def settle(self, run: int, epoch: int, frontier: int, cohort: Collection[str]) -> None:
        """When an epoch has begun whose nodes together have completed ``frontier`` steps.

        Raises:
            MachineError: it can't be written down.
        """
        ...


class Unguarded:
    """Lets everything pass: for programs that own all the rows."""

    def claim(self, run: int, cohort: Collection[str]) -> Claim:
        """Nothing of its rows."""
        return Claim(bytes(VERSION_BYTES))

    def check(self, cohort: Cohort, completed: Collection[str]) -> None:
        """Any cohort will do."""

    def admit(self, cohort: Cohort, sequence: int, step: Step, telling: Telling) -> None:
        """Any step will do."""

    def settle(self, run: int, epoch: int, frontier: int, cohort: Collection[str]) -> None:
        """Nothing is remembered."""
