"""The errors users see, as one tree, and the exit codes a process ends with.

    TangentMeshError            1   anything without a better name
    ├── ConfigurationError      3   a federation spec, node file or command-line value is wrong
    ├── DataError               4   a row, column or file does not fit the schema
    ├── IdentityError           5   a key, certificate or token is missing, expired or foreign
    ├── NetworkError            6   a peer or the aggregator can't be reached, or broke the protocol
    ├── RefusedError            7   a policy of this site, or of the federation, says no
    │   └── CohortRefusedError  7   ... to this cohort; another may do
    ├── NumericalError          8   the model can't be computed from these numbers
    └── MachineError            9   a port in use, an unwritable directory, a missing program

Exit code 0 is success, 2 a command line that could not be parsed, 130 an interrupt.

A message says what was expected, what was found, where, and what to do. Foreign exceptions are
translated where the foreign library is called, and nowhere else. This module imports nothing.
"""

__all__ = [
    "CohortRefusedError",
    "ConfigurationError",
    "DataError",
    "IdentityError",
    "MachineError",
    "NetworkError",
    "NumericalError",
    "RefusedError",
    "TangentMeshError",
]


class TangentMeshError(Exception):
    """A problem with a place, an expectation and a remedy.

    Args:
        problem: what is wrong, one sentence without a full stop.
        where: the file, column, row, peer or setting it was found in.
        expected: what would have been right.
        found: what was there instead.
        remedy: what the reader can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        remedy: str = "",
    ) -> None:
        self.problem = problem
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(problem, where, expected, found, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """By its fields, so that it passes from a worker process to the one that waits for it."""
        return _made_again, (type(self), dict(vars(self)))

    def __str__(self) -> str:
        """One line: ``where: problem (expected ..., found ...). Remedy.``."""
        details = ", ".join(
            f"{label} {value}"
            for label, value in (("expected", self.expected), ("found", self.found))
            if value
        )
        sentence = f"{self.where}: " if self.where else ""
        sentence += self.problem
        if details:
            sentence += f" ({details})"
        return f"{sentence}. {self.remedy}".rstrip() if self.remedy else sentence

    def as_dict(self) -> dict[str, str | int]:
        """The same facts for ``--json`` output; empty ones are left out."""
        facts: dict[str, str | int] = {"error": type(self).__name__, "exit_code": self.exit_code}
        for name in ("problem", "where", "expected", "found", "remedy"):
            if value := getattr(self, name):
                facts[name] = value
        return facts


def _made_again(kind: type[TangentMeshError], fields: dict[str, str]) -> TangentMeshError:
    return kind(**fields)


class ConfigurationError(TangentMeshError):
    """A federation spec, node file or command-line value is wrong."""

    exit_code = 3


class DataError(TangentMeshError):
    """A row, column or file does not fit the federation's schema."""

    exit_code = 4


class IdentityError(TangentMeshError):
    """A key, certificate or enrolment token is missing, expired or foreign."""

    exit_code = 5


class NetworkError(TangentMeshError):
    """A peer or the aggregator can't be reached, or broke the protocol."""

    exit_code = 6


class RefusedError(TangentMeshError):
    """A policy of this site, or of the federation, says no."""

    exit_code = 7


class CohortRefusedError(RefusedError):
    """A site doesn't contribute to sums over this cohort; over another one it may."""


class NumericalError(TangentMeshError):
    """The model can't be computed from these numbers."""

    exit_code = 8


class MachineError(TangentMeshError):
    """The machine says no: a port in use, an unwritable directory, a missing program."""

    exit_code = 9
