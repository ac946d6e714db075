"""An encoding from the spec alone: whatever the rows are, it is the same, and they stay in it."""

import numpy as np
import pytest

from edge_node.config import parse_spec
from edge_node.data.encoding.bounds import bounded_encoder, presumed_covariance
from edge_node.data.encoding.encoder import Encoder
from edge_node.data.sources.source import Batch
from tests.config.test_private_spec import GOOD

SPEC = parse_spec(GOOD)
ENCODER = bounded_encoder(SPEC)
WIDTH = np.sqrt(3.0)


def batch_of(*rows: tuple[float, float, str | None, float]) -> Batch:
    """Rows of age, pressure, ward and days."""
    numeric, ward = [row[:2] for row in rows], [[row[2]] for row in rows]
    target = [row[3] for row in rows]
    return Batch(np.array(numeric), np.array(ward, dtype=object), np.array(target))


def test_bounds_become_a_box() -> None:
    """The middle is zero; a uniform column has unit variance; what is beyond counts as at it."""
    X = ENCODER.encode(batch_of((0, 150, "north", 1), (110, 240, "south", 1), (1e9, -1e9, "?", 1)))
    np.testing.assert_allclose(X[:, 0], [-WIDTH, WIDTH, WIDTH])
    np.testing.assert_allclose(X[:, 1], [0, WIDTH, -WIDTH])
    np.testing.assert_allclose(X[:, 2:4], [[0.5, -0.5], [-0.5, 0.5], [-0.5, -0.5]])
    np.testing.assert_allclose(X[:, 4], -0.1)
    assert ENCODER.feature_names[-1] == "pressure is missing"


def test_missing_cells_have_an_input_where_the_spec_says_so() -> None:
    """Elsewhere they are the middle; infinity is a bound."""
    X = ENCODER.encode(batch_of((np.nan, np.nan, None, 1), (np.inf, -np.inf, None, 1)))
    np.testing.assert_allclose(X[0], [0, 0, -0.5, -0.5, 0.9])
    np.testing.assert_allclose(X[1], [WIDTH, -WIDTH, -0.5, -0.5, -0.1])


def test_targets_are_scaled_by_their_bounds() -> None:
    """And there and back; beyond them they are the release's business."""
    y = ENCODER.targets(batch_of((0, 0, None, 0), (0, 0, None, 60), (0, 0, None, 45)))
    np.testing.assert_allclose(y, [-1, 1, 0.5])
    mean, sd = ENCODER.unscale(y, np.ones(3))
    np.testing.assert_allclose(mean, [0, 60, 45])
    np.testing.assert_allclose(sd, 30)


def test_predictions_tell_of_numbers_beyond_the_bounds() -> None:
    """How many, in which column; those at a bound are inside."""
    batch = batch_of((111, 60, "north", 1), (-5, 240, "north", 1), (0, np.nan, "north", 1))
    assert ENCODER.warnings_for(batch) == [
        "column 'age': 2 rows beyond the spec's bounds; they are treated as being at them"
    ]


def test_it_survives_being_saved() -> None:
    """With the bounds."""
    assert Encoder.from_dict(ENCODER.to_dict()) == ENCODER


def test_landmarks_are_spread_as_the_bounds_presume() -> None:
    """Independent columns of unit variance; categories that exclude each other."""
    covariance = presumed_covariance(ENCODER)
    np.testing.assert_allclose(covariance[:2, :2], np.eye(2))
    np.testing.assert_allclose(covariance[2:4, 2:4], [[0.25, -0.25], [-0.25, 0.25]])
    assert covariance[4, 4] == pytest.approx(0.09)
    np.testing.assert_array_equal(covariance[:2, 2:], 0)
