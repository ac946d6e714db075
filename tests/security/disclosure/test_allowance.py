"""How much rows may tell, from what their sites have signed."""

import pytest
from hypothesis import example, given
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


def size(rows: int) -> int:
    """As a site signs it."""
    return 1 << (max(rows, 1).bit_length() - 1)


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=12), st.integers(1, 3), st.data())
def test_no_members_raise_the_bound_whatever_they_sign_and_sum(
    rows: list[int], coalition: int, data: st.DataObject
) -> None:
    """As many as the coalition lie, and sum what sizes allow: it stays below the honest's rows."""
    honest = rows[min(coalition, len(rows) - 1) :]
    lies = [1 << data.draw(st.integers(0, 15)) for _ in range(len(rows) - len(honest))]
    signed = {f"n{i}": each for i, each in enumerate([*lies, *map(size, honest)])}
    least, most = sum(signed.values()), sum(2 * each - 1 for each in signed.values())
    summed = data.draw(st.integers(least, most))
    assert remaining_rows(signed, summed, coalition) <= sum(honest)


def test_a_bound_made_of_the_total_is_raised_by_one_liar() -> None:
    """The control: of ten sites with 64 rows each and a liar, the total less the largest site would
    be 1,269 rows; there are 640.
    """
    signed = {f"n{i}": 64 for i in range(10)} | {"liar": 64}
    lie = 640 + 64 + 63 + 10 * 63  # the most that such sizes allow
    assert lie - 2 * 64 == 1269
    assert remaining_rows(signed, lie, 1) == remaining_rows(signed, 640 + 64, 1) == 640


def test_the_control_a_count_alone_is_raised_by_one_liar() -> None:
    """A total that no such sites can have is refused."""
    signed = {"a": 64, "b": 64, "c": 64}
    with pytest.raises(CohortRefusedError, match="contradict"):
        remaining_rows(signed, 3 * 64 + 100_000, 1)


@given(st.lists(st.integers(0, 10_000), min_size=3, max_size=12), st.integers(1, 2))
@example([64, 64, 64, 0], 1)
def test_honest_sizes_are_never_refused_and_never_exceeded(rows: list[int], coalition: int) -> None:
    """Powers of two, rounded down, and the true total; a site without rows is no reason."""
    signed = {f"n{i}": size(each) for i, each in enumerate(rows)}
    bound = remaining_rows(signed, sum(rows), coalition)
    assert 0 <= bound <= sum(sorted(rows)[: len(rows) - coalition])
