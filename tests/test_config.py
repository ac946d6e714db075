"""A spec that could not be meant is refused, with the key and what is wrong with it."""

import pytest

from edge_node.config import parse_spec
from edge_node.errors import ConfigurationError

GOOD = """
name = "wards"
[data]
task = "classification"
target = "y"
classes = ["no", "yes"]
columns = [{ name = "a" }, { name = "c", kind = "categorical", categories = ["north", "south"] }]
"""


def test_a_spec_is_read() -> None:
    """As it stands."""
    assert parse_spec(GOOD).data.columns[1].categories == ("north", "south")


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('{ name = "a" }', '{ name = "c" }', "names a column twice"),
        ('{ name = "a" }', '{ name = "y" }', "target 'y' is also an input"),
        ('["no", "yes"]', '["no"]', "at least two distinct"),
        ('["no", "yes"]', '["no", "yes", "no"]', "`data.classes` names a label twice"),
        ('["no", "yes"]', '["no", "yes "]', "`data.classes` has a label.*space"),
        ('"north", "south"', '"north", "north"', "c.categories` names a label twice"),
        ('"north", "south"', '"north", ""', "c.categories` has a label that is empty"),
        ('kind = "categorical", ', "", '`categories` are for columns of `kind = "categorical"`'),
        ("classes", "min_rows_per_category = 0\nclasses", "must be at least 1"),
        ("classes", "clases", "clases"),
        ('"classification"', '"regression"', "for classification only"),
    ],
)
def test_a_spec_that_could_not_be_meant(before: str, after: str, complaint: str) -> None:
    """Duplicates, labels that no cell can be, and keys that would have no effect."""
    assert before in GOOD
    with pytest.raises(ConfigurationError, match=complaint):
        parse_spec(GOOD.replace(before, after, 1))
