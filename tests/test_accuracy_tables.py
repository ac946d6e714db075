"""The tables of wins and losses: what counts as which, and that no loss is left out."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import read_results, summarise, tables
from benchmarks.figures import write_csv

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results/comparison.csv"
PAGE = ROOT / "docs/comparison.md"


def measured(name: str, way: str, *errors: float, most: int = 0, rows: int = 90) -> list[Any]:
    """A set's rows of figures of a way: an RMSE for each split."""
    about = {"set": name, "most_rows": most, "rows": rows, "inputs": 3, "version": "g0"}
    return [
        {**about, "task": "regression", "run": way, "way": way, "split": split, "rmse": rmse}
        for split, rmse in enumerate(errors)
    ]


def test_wins_ties_and_losses_are_counted_and_losses_named() -> None:
    """Of paired splits: beyond one standard error of the differences, or not."""
    rows = [
        *measured("better", "shared", 0.1, 0.2, 0.3),
        *measured("better", "gp", 0.2, 0.3, 0.41),
        *measured("as good", "shared", 0.1, 0.2, 0.3),
        *measured("as good", "gp", 0.2, 0.1, 0.31),
        *measured("worse", "shared", 0.3, 0.2, 0.3),
        *measured("worse", "gp", 0.2, 0.1, 0.19),
    ]
    page = tables(rows)
    assert "| shared | gp | 1 - 1 - 1 |" in page
    assert "- shared against gp, RMSE: worse\n" in page
    assert "| better | .200±.058 | .303±.061 |" in page


def test_a_refusal_is_a_loss_and_says_why() -> None:
    """Not a set that is left out of the count, and not the seconds that refusing took."""
    refused = {**measured("small", "shared", 0.0)[0], "cpu_seconds": 0.5}
    del refused["rmse"]
    page = tables([{**refused, "refused": "too few rows"}, *measured("small", "gp", 0.2)])
    assert "| shared | gp | 0 - 0 - 1 |" in page
    assert "- shared against gp, RMSE: small\n" in page
    assert "- small, shared: too few rows" in page
    assert "| set | federated | gp |\n| --- | --- | --- |\n| small | refused | - |" in page
    assert "| set | federated |\n| --- | --- |\n| small | 0.5 |" in tables([refused])


def test_a_set_is_shown_with_the_most_rows_it_was_measured_with() -> None:
    """Ways with fewer rows aren't compared with those that had more."""
    rows = [
        *measured("large", "shared", 0.9, most=50, rows=50),
        *measured("large", "shared", 0.2),
        *measured("large", "gp", 0.1, most=50, rows=50),
    ]
    (only,) = summarise(rows)
    assert (only["way"], only["rmse"]) == ("shared", 0.2)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Numbers as numbers, and a version as text, even one of digits."""
    rows = [{**measured("one", "gp", 0.25)[0], "version": "g1234567"}, {"set": "two", "rows": 3}]
    write_csv(rows, tmp_path / "results.csv", "a command")
    assert read_results(tmp_path / "results.csv") == rows


@pytest.mark.skipif(not RESULTS.exists(), reason="nothing was measured yet")
def test_the_page_shows_what_was_measured() -> None:
    """docs/comparison.md is what the results' file makes of it, to the letter."""
    assert PAGE.read_text() == tables(read_results(RESULTS))
