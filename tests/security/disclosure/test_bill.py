"""What a run has told, in numbers and in words."""

from typing import Any

from edge_node.security.disclosure.bill import Bill

STEPS = {"means": 10, "spread": 55, "statistics/0": 435}


def bill(**facts: Any) -> Bill:
    """Of 100 rows with 10 columns."""
    sizes = dict.fromkeys("abcd", 32)
    usual: dict[str, Any] = {"before": 0, "rows": 100, "columns": 10, "most_told": 0.5}
    return Bill(**{"steps": STEPS, "coalition": 1, "sizes": sizes, **usual, **facts})


def test_numbers_per_cell() -> None:
    """Of the run, and of all that was told before."""
    assert (bill().told, bill().cells, bill().per_cell) == (500, 1000, 0.5)
    assert bill(before=700).per_cell == 1.2
    assert bill(rows=0).per_cell == 0.0


def test_a_sentence() -> None:
    """With what was told before, if anything was."""
    assert bill(before=20).summary == (
        "500 numbers, after 20 before: 0.52 per cell of the others' rows, of 0.5 at most"
    )
    assert bill(most_told=1e4, before=10**6).summary == (
        "500 numbers, after 1,000,000 before: 1,000 per cell of the others' rows, of 10000 at most"
    )
    assert bill(steps={}).summary.startswith("0 numbers: 0 per cell")


def test_the_largest_steps() -> None:
    """First, and the small ones together."""
    assert bill().largest == "statistics/0 435, spread 55, means 10"
    many = bill(steps={f"newton/{i}": 1000 + i for i in range(8)}).largest
    assert many.startswith("newton/7 1,007, newton/6 1,006")
    assert many.endswith("newton/2 1,002, all others 2,001")


def test_nothing_to_be_noticed() -> None:
    """Half a number per cell, and sites of one size."""
    assert bill().notices == ()


def test_a_raised_ceiling() -> None:
    """It is said that it was raised, and what follows if it was used."""
    (notice,) = bill(most_told=1.5, before=700).notices
    assert notice == (
        "the ceiling was raised from 0.5 to 1.5 numbers per cell: each cell of the others' rows was"
        " told 1.2 numbers: exact sums of that many can be solved for rows"
    )
    (unused,) = bill(most_told=1.5).notices
    assert unused.endswith("was told 0.5 numbers")


def test_a_site_that_holds_most_rows() -> None:
    """It is named, with what it costs everybody."""
    sizes = {"a": 32, "b": 256, "c": 16, "d": 32}
    (notice,) = bill(sizes=sizes, rows=80).notices
    assert notice.startswith("b holds most rows (256 or more; all others 80 or more)")
    assert notice.endswith("sums have 26 features at most; were rows spread evenly, 84")
    two = bill(sizes=sizes | {"a": 128}, rows=48, coalition=2).notices[0]
    assert two.startswith("b and a hold most rows (384 or more; all others 48 or more)")
