"""What the rows of a run may tell, once they have been counted."""

import logging
from collections.abc import Mapping, Sequence

from edge_node.config import DataSpec, FederationSpec, Floors
from edge_node.data.sources.schema import numeric_columns
from edge_node.data.sums.census import Census, number_names
from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network
from edge_node.security.disclosure.allowance import ROWS_PER_FEATURE, Allowance, remaining_rows

__all__ = [
    "allowance_of",
    "check_events",
    "check_minimum",
    "encoding_numbers",
    "sums_products",
    "unknown_columns",
]

_log = logging.getLogger(__name__)

_PRODUCTS_SHARE = 0.2  # of what may be told: dearer products of columns aren't worth it


def allowance_of(network: Network, census: Census, spec: FederationSpec) -> Allowance:
    """What the rows of the network's nodes may tell; any number where they hide nothing.

    Args:
        network: says what each node has signed of its rows.
        census: of all nodes' rows, as it was summed.
        spec: the federation's.

    Raises:
        CohortRefusedError: the count contradicts what the nodes have signed.
    """
    if not network.sizes:
        return Allowance.unlimited()
    allowance = Allowance(
        rows=remaining_rows(network.sizes, census.distinct, spec.coalition),
        columns=unknown_columns(spec.data, census.known),
        most_told=spec.most_told,
        told=max(network.told.values(), default=0),
        class_rows=census.smallest_class(spec.coalition, Floors.of(spec).category),
    )
    if allowance.features < allowance.rows // ROWS_PER_FEATURE:
        _log.warning(
            "a class has few rows (%d or more without the largest sites): no sum has more than %d"
            " features",
            allowance.class_rows,
            allowance.features,
        )
    return allowance


def unknown_columns(data: DataSpec, known: Sequence[int] = ()) -> int:
    """How many numbers of a row an attacker would have to solve for; at least one.

    Columns of numbers, and a target that is a number. A category or a class is no unknown, nor is a
    number that has few values, is mostly missing, or is linear in others: rows are found from about
    two numbers for each cell that is open, however many columns they have
    (`tests/attacks/test_numbers_told.py`).

    Args:
        data: the schema.
        known: for each numeric column, and then a regression's target, how many sites say that its
            cells are hardly unknowns (`edge_node.data.sums.hardly_unknown`). One is enough: who
            lies lowers the number. None: no site was asked.
    """
    many = [not sites for sites in known] or [True] * len(number_names(data))
    return max(1, sum(many))


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


def check_events(census: Census) -> None:
    """Check that a federation of times has seen events.

    Raises:
        CohortRefusedError: it has seen none, or sites have so few that they keep them.
    """
    if census.events == (0,):
        raise CohortRefusedError(
            "no site gives an event: nothing says when events come",
            where="the rows of all sites",
            expected="events at some site, as many as `min_rows_per_category` or more",
            found="censored rows only",
            remedy="Wait for more events, or join sites that are too small to give theirs",
        )


def sums_products(data: DataSpec, allowance: Allowance) -> bool:
    """Whether products of numeric columns are summed: where they are a small part of what may be
    told. Without them, the covariance of the inputs is diagonal.
    """
    return _products(data) <= _PRODUCTS_SHARE * allowance.numbers


def encoding_numbers(data: DataSpec, inputs: int, allowance: Allowance) -> int:
    """The numbers that the encoding tells, at most.

    Means in two parts; values, first moments and squares; products of numeric columns; rows, and
    those of each class, label and gap. Labels have no products. Of a column at most one number,
    label or gap is no input, because all rows have it.
    """
    numeric, number = len(numeric_columns(data)), not data.task.has_classes
    products = _products(data) if sums_products(data, allowance) else 0
    groups = 1 + len(data.classes) + max(inputs - numeric, 0) + len(data.columns)
    return 5 * (numeric + number) + products + groups


def _products(data: DataSpec) -> int:
    numeric = len(numeric_columns(data))
    return numeric * (numeric + 1) // 2
