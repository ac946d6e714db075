"""How much rows may tell, from what their sites have signed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import CohortRefusedError
from edge_node.security.disclosure.allowance import Allowance, remaining_rows


def test_half_of_the_cells_and_a_third_of_the_rows() -> None:
    """Breast cancer, four sites of five: 341 rows of 31 columns."""
    allowance = Allowance(rows=341, columns=31, most_told=0.5)
    assert allowance.numbers == 5285
    assert allowance.features == 113


def test_what_was_told_before_is_gone() -> None:
    """The ceiling is over the rows' life."""
    assert Allowance(rows=100, columns=10, most_told=0.5, told=450).numbers == 50
    assert Allowance(rows=100, columns=10, most_told=0.5, told=501).numbers == 0


def test_one_process_with_all_rows_tells_nobody_anything() -> None:
    """It may sum as many numbers as it likes."""
    assert Allowance.unlimited().numbers > 2**60


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=12), st.integers(1, 3), st.data())
def test_no_member_raises_the_bound_whatever_it_signs_and_sums(
    rows: list[int], coalition: int, data: st.DataObject
) -> None:
    """The bound stays below the rows of the others, or the run is refused."""
    liar = data.draw(st.integers(0, len(rows) - 1))
    signed = {f"n{i}": 2 ** int(math.log2(each)) for i, each in enumerate(rows)}
    signed[f"n{liar}"] = 2 ** data.draw(st.integers(0, 20))
    honest = sum(rows) - rows[liar]
    summed = honest + data.draw(st.integers(0, 2**22))
    try:
        bound = remaining_rows(signed, summed, coalition)
    except CohortRefusedError:
        return
    assert bound <= honest


def test_the_control_a_count_alone_is_raised_by_one_liar() -> None:
    """A total that no such sites can have is refused."""
    signed = {"a": 64, "b": 64, "c": 64}
    with pytest.raises(CohortRefusedError, match="contradict"):
        remaining_rows(signed, 3 * 64 + 100_000, 1)


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=12), st.integers(1, 2))
def test_honest_sizes_are_never_refused_and_never_exceeded(rows: list[int], coalition: int) -> None:
    """Powers of two, rounded down, and the true total."""
    signed = {f"n{i}": 2 ** (each.bit_length() - 1) for i, each in enumerate(rows)}
    bound = remaining_rows(signed, sum(rows), coalition)
    assert 0 <= bound <= sum(sorted(rows)[: len(rows) - coalition])
