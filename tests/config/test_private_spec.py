"""A spec with differential privacy says everything that no sum may find out, or is refused."""

import pytest

from edge_node.config import Level, parse_spec
from edge_node.errors import ConfigurationError

GOOD = """
name = "wards"

[data]
task = "regression"
target = "days"
columns = [
    { name = "age", bounds = [0, 110] },
    { name = "pressure", bounds = [60.0, 240.0], missing = true },
    { name = "ward", kind = "categorical", categories = ["north", "south"] },
]

[model]
kernels = ["ntk"]
depths = [2]
biases = [1.0]
landmark_kinds = ["gaussian"]

[privacy]
level = "record"
epsilon = 1.0
delta = 1e-6
target_bounds = [0, 60]
"""
CLASSES = 'task = "classification"\nclasses = ["short", "long"]'


def test_a_private_spec_is_read() -> None:
    """As it stands; and it is another spec than the one without."""
    spec = parse_spec(GOOD)
    assert spec.privacy is not None
    assert (spec.privacy.level, spec.privacy.target_bounds) == (Level.RECORD, (0.0, 60.0))
    assert spec.data.columns[0].bounds == (0.0, 110.0)
    assert spec.digest() != parse_spec(GOOD.replace("epsilon = 1.0", "epsilon = 1.1")).digest()
    parse_spec(GOOD.replace('task = "regression"', CLASSES).replace("target_bounds = [0, 60]", ""))


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (", bounds = [0, 110]", "", "column 'age' needs `bounds`"),
        ("bounds = [0, 110]", "bounds = [110, 0]", "'age'.*the lower one first"),
        ("bounds = [0, 110]", "bounds = [0, inf]", "'age'.*two numbers"),
        ("bounds = [0, 110]", "bounds = [0]", "length 2"),
        (', categories = ["north", "south"]', "", "'ward' needs its `categories` listed"),
        ('categories = ["north"', 'bounds = [0, 1], categories = ["north"', "for numeric columns"),
        ("depths = [2]", "depths = [1, 2]", "must hold one kernel"),
        ("biases = [1.0]", "", "must hold one kernel"),
        ('kernels = ["ntk"]\n', "", "must hold one kernel"),
        ('"gaussian"', '"kmeans"', "`model.landmark_kinds` must be"),
        ('landmark_kinds = ["gaussian"]', "", "`model.landmark_kinds` must be"),
        ('"gaussian"', '"gaussian", "public"', "sha256|`model.landmark_kinds` must be"),
        ("epsilon = 1.0", "epsilon = 0.0", "`privacy.epsilon` must be positive"),
        ("epsilon = 1.0", "epsilon = nan", "`privacy.epsilon` must be positive"),
        ("epsilon = 1.0", "epsilon = 1e3", "`privacy.epsilon` must be positive, and at most 100"),
        ("delta = 1e-6", "delta = 0.0", "`privacy.delta` must be positive"),
        ("delta = 1e-6", "delta = 0.5", "`privacy.delta` must be positive"),
        ("target_bounds = [0, 60]", "", "target_bounds` is for regression"),
        ("target_bounds = [0, 60]", "target_bounds = [1, 1]", "the lower one first"),
        ('"regression"', CLASSES[7:], "target_bounds` is for regression"),
        ('"record"', '"site"', "rows_per_site` is for level"),
        ('"record"', '"record"\nrows_per_site = 5', "rows_per_site` is for level"),
        ('"record"', '"site"\nrows_per_site = 0', "rows_per_site` must be at least 1"),
        ('"record"', '"record"\ncurious_members = -1', "must not be negative"),
        ('"record"', '"sites"', "Invalid enum"),
    ],
)
def test_a_private_spec_that_could_not_be_meant(before: str, after: str, complaint: str) -> None:
    """What is missing, what has no meaning, and what rows would have to decide."""
    assert before in GOOD
    with pytest.raises(ConfigurationError, match=complaint):
        parse_spec(GOOD.replace(before, after, 1))


def test_bounds_without_privacy_would_have_no_effect() -> None:
    """And so they are refused, like any key that nobody looks at."""
    with pytest.raises(ConfigurationError, match=r"for a spec with `\[privacy\]`"):
        parse_spec(GOOD[: GOOD.index("[privacy]")])
