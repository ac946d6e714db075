"""Labels as numbers: contrasts, offsets, targets."""

import numpy as np
import pytest

from edge_node.errors import NumericalError
from edge_node.inference.classification.classes import LabelRows, class_offsets, contrast, one_hot
from tests.inference.problems import classification


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_contrasts_are_orthonormal_and_blind_to_the_common_part(classes: int) -> None:
    """Q'Q = I and 1'Q = 0; with two classes the second counts as positive."""
    Q = contrast(classes)
    np.testing.assert_allclose(Q.T @ Q, np.eye(classes - 1), atol=1e-12)
    np.testing.assert_allclose(Q.sum(axis=0), 0, atol=1e-12)
    assert contrast(2)[1, 0] > 0


def test_offsets_are_log_proportions() -> None:
    """A class that nobody gives counts as half a row; two classes there must be."""
    np.testing.assert_allclose(np.exp(class_offsets(np.array([1.0, 3.0]))), [0.25, 0.75])
    np.testing.assert_allclose(np.exp(class_offsets(np.array([1.5, 3.0, 0.0]))), [0.3, 0.6, 0.1])
    for counts in ([5.0, 0.0], [5.0, np.nan], [5.0]):
        with pytest.raises(NumericalError, match=r"at least two classes.*rows of 1"):
            class_offsets(np.array(counts))


def test_label_rows_are_centred_contrasts_of_the_indicators() -> None:
    """They sum to zero over the federation, and rows can be read twice."""
    X, y = classification(0, classes=3)
    offsets = class_offsets(np.bincount(y.astype(int)))
    rows = LabelRows([(X[:50], y[:50]), (X[50:], y[50:])], offsets)
    first, second = ([Y for _, Y in rows] for _ in range(2))
    Y = np.concatenate(first)
    assert rows.outputs == 2
    assert Y.shape == (150, 2)
    np.testing.assert_allclose(Y.sum(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(Y @ contrast(3).T, np.eye(3)[y.astype(int)] - np.exp(offsets))
    assert np.array_equal(np.concatenate(second), Y)


@pytest.mark.parametrize("wrong", [-1.0, 2.0, 0.5, np.nan])
def test_what_is_no_class_index_is_refused(wrong: float) -> None:
    """It names how many it found, and not which: a node reports why it refuses."""
    with pytest.raises(NumericalError, match="from 0 to 1, found 1 other values"):
        one_hot(np.array([0.0, wrong]), 2)
