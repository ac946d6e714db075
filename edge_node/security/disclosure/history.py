"""What the lines of a ledger say: the contributions, what became of them, and who consents."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec

from edge_node.security.disclosure.cohort import Claim
from edge_node.security.disclosure.contribution import Beginning, Contribution, Fate, Telling
from edge_node.security.disclosure.differencing import Row
from edge_node.step import Step

__all__ = ["Began", "Consented", "Contributed", "History", "Line", "Met", "Settled", "read_line"]


class Met(msgspec.Struct, tag="cohort", frozen=True, forbid_unknown_fields=True):
    """A cohort: what each of its members claims, by name."""

    members: dict[str, Claim]


class Began(msgspec.Struct, tag="began", frozen=True, forbid_unknown_fields=True):
    """A run, with the cohort of the last line that names one."""

    run: int
    basis: bytes


class Contributed(msgspec.Struct, tag="contributed", frozen=True, forbid_unknown_fields=True):
    """A contribution to the cohort of the last line that names one."""

    step: Step
    sequence: int
    run: int
    epoch: int
    root: str
    telling: Telling


class Settled(msgspec.Struct, tag="settled", frozen=True, forbid_unknown_fields=True):
    """The nodes of a new epoch have together completed ``frontier`` steps of a run.

    So it is known what has become of contributions to later steps in earlier epochs.
    """

    run: int
    epoch: int
    frontier: int
    cohort: tuple[str, ...]


class Consented(msgspec.Struct, tag="consented", frozen=True, forbid_unknown_fields=True):
    """A node consents to totals without it."""

    node: str


Line: TypeAlias = Met | Began | Contributed | Settled | Consented
_decoder = msgspec.json.Decoder(Line)


def read_line(text: bytes) -> Line:
    """A line's event. Raises ValueError or msgspec.MsgspecError if it can't be read."""
    line: Line = _decoder.decode(text)
    return line


@dataclass
class History:
    """What the lines say together.

    Attributes:
        steps: contributions by step, and by run and epoch.
        runs: what each run began with.
        members: what the newest cohort's members claim.
        row: that cohort.
        rows: all cohorts; equal ones are one object, so they are compared at once.
        consents: what each node said last.
        epochs: the newest epoch in which each node has contributed, too.
    """

    steps: dict[Step, dict[tuple[int, int], Contribution]] = field(default_factory=dict)
    runs: dict[int, Beginning] = field(default_factory=dict)
    members: dict[str, Claim] = field(default_factory=dict)
    row: Row = frozenset()
    rows: dict[Row, Row] = field(default_factory=dict)
    consents: dict[str, bool] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        """One more event."""
        match line:
            case Met(members):
                self.members = members
                row = frozenset((node, each.version) for node, each in members.items())
                self.row = self.rows.setdefault(row, row)
                self.consents |= {node: each.consents for node, each in members.items()}
            case Began(run, basis):
                told = {node: each.told for node, each in self.members.items()}
                self.runs[run] = Beginning(basis, told)
            case Contributed(step, sequence, run, epoch, root, telling):
                added = Contribution(step, sequence, run, epoch, root, self.row, telling=telling)
                self.steps.setdefault(step, {})[run, epoch] = added
                self.epochs |= dict.fromkeys(self.members, epoch)
            case Settled():
                for each, fate in self.settled(line):
                    self.steps[each.step][each.run, each.epoch] = replace(each, fate=fate)
            case Consented(node):
                self.consents[node] = True
                self.members = {}  # the next cohort says again what each of them says then

    def settled(self, line: Settled) -> Iterator[tuple[Contribution, Fate]]:
        """The contributions whose fate a line decides, and their fates."""
        for each in [each for epochs in self.steps.values() for each in epochs.values()]:
            open_until_now = each.run == line.run and each.fate is Fate.RELEASED
            if open_until_now and each.epoch < line.epoch and each.sequence >= line.frontier:
                yield each, Fate.VOID if each.root in line.cohort else Fate.ROOT
