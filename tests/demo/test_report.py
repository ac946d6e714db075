"""The demonstration's tables, and what README says of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pyarrow as pa
from rich.console import Console

from edge_node.config import Column, DataSpec, Task
from edge_node.demo.data.sites import Site
from edge_node.demo.federation import Topology
from edge_node.demo.report import comparison_table, cost, example_table, node_table, summary
from edge_node.security.disclosure.bill import Bill

DATA = DataSpec(task=Task.REGRESSION, target="y", columns=(Column(name="a"),))


def shown(held_out: dict[str, int]) -> list[str]:
    """The nodes of the example predictions, given how many rows each site holds out."""
    tables = {name: pa.table({"a": [0.5] * n, "y": [1.5] * n}) for name, n in held_out.items()}
    sites = [Site(name, table, table) for name, table in tables.items()]
    predictions = {name: [{"mean": 1.0, "sd": 0.1}] * n for name, n in held_out.items()}
    outcome: Any = SimpleNamespace(predictions=predictions)
    table = example_table(outcome, DATA, sites)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return [line.split()[0] for line in captured.get().splitlines() if "1.5" in line]


def test_examples_are_one_node_after_the_other() -> None:
    """Six of them."""
    assert shown({"a": 4, "b": 5, "c": 2}) == ["a", "b", "c", "a", "b", "c"]


def test_a_site_may_hold_out_a_single_row() -> None:
    """Then the others' rows are shown, or there are fewer examples."""
    assert shown({"a": 1, "b": 9, "c": 2}) == ["a", "b", "c", "b", "c", "b"]
    assert shown({"a": 1, "b": 1, "c": 1}) == ["a", "b", "c"]


def test_classes_have_their_order() -> None:
    """Not that of a node's answer, which has none."""
    data = DataSpec(
        task=Task.ORDINAL, target="y", columns=(Column(name="a"),), classes=("low", "mid", "high")
    )
    rows = pa.table({"a": [0.5], "y": ["mid"]})
    answer = {"label": "mid", "probabilities": {"high": 0.2, "low": 0.1, "mid": 0.7}}
    outcome: Any = SimpleNamespace(predictions={"a": [answer]})
    table = example_table(outcome, data, [Site("a", rows, rows)])
    headers = [str(column.header) for column in table.columns]
    assert headers[-3:] == ["p_low", "p_mid", "p_high"]


def test_a_figure_that_no_rows_say_is_null_in_the_report() -> None:
    """JSON has no NaN: a single time has no concordance."""
    one, rows = Topology([], {"a": ""}), pa.table({"a": [0.5], "y": [1.5]})
    found = {"concordance": float("nan"), "coverage95": 1.0}
    outcome = MagicMock(local={"a": found}, local_alone={}, metrics={"federated": found})
    outcome.wall_seconds, provenance = 1.0, outcome.model.provenance
    provenance.privacy = provenance.bill = None
    facts = summary(outcome, MagicMock(), [Site("a", rows, rows)], one, "by-column")
    known = {"concordance": None, "coverage95": 1.0}
    assert facts["metrics"] == {"federated": known}
    assert [node["metrics"] for node in facts["nodes"]] == [known]


def test_the_readme_shows_what_is_printed() -> None:
    """Word for word; its numbers are a run's."""
    bill = Bill(
        steps={"all": 2082},
        before=0,
        rows=176,
        columns=26,
        most_told=0.5,
        coalition=1,
        sizes=dict.fromkeys("abcde", 64),
    )
    facts = {
        "sums": 14,
        "traversals": 14,
        "wall_seconds": 6.6,
        "bytes_per_edge": 0.28e6,
        "bill": bill.as_dict(),
        "max_abs_mean_diff_vs_pooled": 5.0e-14,
        "max_abs_sd_diff_vs_pooled": 6.2e-15,
    }
    assert cost(facts) in (Path(__file__).parents[2] / "README.md").read_text()


def test_what_was_told_is_said() -> None:
    """In numbers per cell; a raised ceiling and a site that dominates in words."""
    costs = {"sums": 1, "traversals": 1, "wall_seconds": 1.0, "bytes_per_edge": 1.0}
    differences = {"max_abs_mean_diff_vs_pooled": 0.0, "max_abs_sd_diff_vs_pooled": 0.0}
    sizes = dict.fromkeys("abc", 32)
    bill = Bill(
        steps={"means": 1200},
        before=0,
        rows=100,
        columns=10,
        most_told=2.0,
        coalition=1,
        sizes=sizes,
    )
    text = cost({**costs, **differences, "bill": bill.as_dict()})
    assert "Told: 1,200 numbers: 1.2 per cell of the others' rows, of 2 at most.\n" in text
    assert "exact sums of that many can be solved for rows" in text
    assert "told" not in cost({**costs, **differences, "bill": None}).lower()


def test_a_site_too_small_to_stand_alone_is_shown_as_such() -> None:
    """In words where its rows are too few; a dash where they say nothing. The mean says of whom."""
    rows = {"bern": 40, "oslo": 40, "tiny": 1}
    sites = [
        Site(name, pa.table({"a": [0.5] * n, "y": [1.5] * n}), pa.table({"a": [0.5], "y": [1.5]}))
        for name, n in rows.items()
    ]
    figures = {"rmse": 0.25, "nll": 0.5}
    outcome: Any = SimpleNamespace(
        model=SimpleNamespace(refinement=None),
        local=dict.fromkeys(rows, figures),
        local_alone={"bern": figures},
        metrics=dict.fromkeys(("federated", "pooled", "alone", "refined"), figures),
    )
    console = Console(width=120)
    with console.capture() as captured:
        console.print(node_table(outcome, sites))
        console.print(comparison_table(outcome))
    text = captured.get()
    cells = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert cells["bern"] == ["40", "1", "0.250", "0.500", "0.250", "0.500"]
    assert cells["oslo"] == ["40", "1", "0.250", "0.500", "-", "-"]
    assert cells["tiny"] == ["1", "1", "0.250", "0.500", "too", "few", "rows", "-"]
    assert "alone: mean over the 1 of 3 sites that can" in text
