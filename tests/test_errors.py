"""Errors keep their fields wherever they are raised."""

import pickle

import pytest

from edge_node.errors import DataError
from edge_node.estimators.errors import InputError


@pytest.mark.parametrize("kind", [DataError, InputError])
def test_an_error_passes_from_one_process_to_another(kind: type[DataError]) -> None:
    """As from a worker of scikit-learn's `cross_validate`: its kind, text and fields."""
    error = kind("no number", where="a.csv: row 3", expected="a number", found="x", remedy="Fix it")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert (copy.where, copy.remedy) == ("a.csv: row 3", "Fix it")
