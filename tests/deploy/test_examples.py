"""The examples fit together: each file of rows has the columns that its spec names."""

from pathlib import Path

import pytest

from edge_node.config import check_spec, load_spec
from edge_node.data.sources.source import open_source
from edge_node.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


@pytest.mark.parametrize("name", ["federation.toml", "private.toml"])
def test_every_spec_is_accepted(name: str) -> None:
    """By what `aggregator init` checks."""
    check_spec(load_spec(EXAMPLES / name), where=name)


def test_every_hospitals_rows_fit_the_spec() -> None:
    """There are as many hospitals as the first run waits for; together they have all classes."""
    spec = load_spec(EXAMPLES / "federation.toml")
    files = sorted(EXAMPLES.glob("hospital-*.csv"))
    assert len(files) == spec.minimum_nodes
    batches = [batch for file in files for batch in open_source(file, spec.data).batches()]
    seen = {label for batch in batches for label in batch.target}
    assert len(seen) == len(spec.data.classes)


def test_the_rows_to_predict_have_no_target() -> None:
    """They fit a query; as a node's rows they are refused."""
    spec = load_spec(EXAMPLES / "federation.toml")
    (batch,) = open_source(EXAMPLES / "new.csv", spec.data, with_target=False).batches()
    assert len(batch.numeric) == 20
    with pytest.raises(DataError, match="diagnosis"):
        open_source(EXAMPLES / "new.csv", spec.data)
