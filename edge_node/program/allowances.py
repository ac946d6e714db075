"""What the rows of a run may tell, once they have been counted."""

from collections.abc import Mapping

from edge_node.config import ColumnKind, DataSpec, FederationSpec, Task
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network
from edge_node.security.disclosure.allowance import Allowance, remaining_rows

__all__ = ["allowance_of", "check_minimum", "unknown_columns"]


def allowance_of(network: Network, rows: int, spec: FederationSpec) -> Allowance:
    """What the rows of the network's nodes may tell; any number where they hide nothing.

    Args:
        network: says what each node has signed of its rows.
        rows: distinct rows of all nodes, as they were summed.
        spec: the federation's.

    Raises:
        CohortRefusedError: the count contradicts what the nodes have signed.
    """
    if not network.sizes:
        return Allowance.unlimited()
    return Allowance(
        rows=remaining_rows(network.sizes, rows, spec.coalition),
        columns=unknown_columns(spec.data),
        most_told=spec.most_told,
        told=max(network.told.values(), default=0),
    )


def unknown_columns(data: DataSpec) -> int:
    """How many numbers of a row an attacker would have to solve for; at least one.

    Columns of numbers, and a target that is a number. A category or a class is no unknown: rows of
    few possible kinds are found from about two numbers a row, however many columns they have
    (`tests/attacks/test_numbers_told.py::test_cells_of_two_values_are_no_unknowns`).
    """
    numbers = sum(column.kind is ColumnKind.NUMERIC for column in data.columns)
    return max(1, numbers + (data.task is Task.REGRESSION))


def check_minimum(rows: int, demands: Mapping[str, int]) -> None:
    """Check that a federation has as many rows as are demanded.

    Args:
        rows: the federation's.
        demands: the fewest, by who demands them.

    Raises:
        CohortRefusedError: there are fewer.
    """
    for who, fewest in demands.items():
        if rows < fewest:
            raise CohortRefusedError(
                "too few rows in the federation",
                where=who,
                expected=f"at least {fewest}",
                found=f"{rows}",
                remedy="Wait for more nodes, or for more rows, or set another `minimum_rows`",
            )
