"""The schema that the demonstration shows before it starts."""

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import Dataset, breast_cancer
from edge_node.demo.data.schema import schema_of, schema_table


def own(folder: Path) -> Dataset:
    """A file with columns of every kind."""
    path = folder / "own.csv"
    path.write_text(
        "age,ward,seen,site,y\n"
        + "".join(
            f"{'' if i % 10 == 0 else 20 + i},w{i % 7 * (i % 2)},2024-01-01,s{i % 3},{i % 2}\n"
            for i in range(40)
        )
    )
    return load_csv(path, "y", site_column="site")


def test_every_column_is_accounted_for(tmp_path: Path) -> None:
    """Kind, range or labels with the most frequent first, missing cells, and why left out."""
    facts = {each["column"]: each for each in (c.as_dict() for c in schema_of(own(tmp_path)))}
    assert facts["age"] == {
        "column": "age", "role": "input", "kind": "numeric", "range": (21.0, 59.0), "missing": 4,
    }  # fmt: skip
    assert facts["ward"]["labels"][0] == "w0"
    assert len(facts["ward"]["labels"]) == 5
    assert facts["ward"]["label_count"] == 7
    assert (facts["site"]["role"], facts["site"]["labels"]) == ("site", ("s0", "s1", "s2"))
    assert (facts["y"]["role"], facts["y"]["label_count"]) == ("target", 2)
    assert facts["seen"] == {
        "column": "seen", "role": "left out",
        "reason": "dates and times are neither numbers nor categories",
    }  # fmt: skip
    assert json.dumps(list(facts.values()))


def test_people_see_a_table(tmp_path: Path) -> None:
    """One line a column."""
    lines = drawn(own(tmp_path)).splitlines()
    (age,) = (line for line in lines if line.strip().startswith("age"))
    assert age.split() == ["age", "input", "numeric", "21", "to", "59", "4"]
    (ward,) = (line for line in lines if line.strip().startswith("ward"))
    assert ward.split()[-4:] == ["and", "2", "more", "0"]
    (seen,) = (line for line in lines if line.strip().startswith("seen"))
    assert "left out" in seen


def test_built_in_data_has_a_schema_too() -> None:
    """Thirty inputs and the target."""
    assert len(schema_of(breast_cancer())) == 31
    assert "diagnosis" in drawn(breast_cancer())


def drawn(dataset: Dataset) -> str:
    """The table as text."""
    stream = StringIO()
    Console(file=stream, width=160).print(schema_table(schema_of(dataset)))
    return stream.getvalue()
