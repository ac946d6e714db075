"""Landmarks of a short-sighted kernel, whose gradients point at the rows near them.

Whoever knows where a landmark was twice, and its gradient there, knows two lines through the row
that has all of the weight. The control has no floors.
"""

import numpy as np
import pytest

from edge_node.arrays import Matrix
from edge_node.config import Floors, KernelKind
from edge_node.inference.features.nystrom import Features
from edge_node.inference.kernels.kernel import Kernel
from edge_node.inference.kernels.stationary import StationaryKernel
from edge_node.inference.messages.uncollapsed import Belief, local_bound
from tests.attacks.test_small_groups import LOCAL, floors_of, hospitals
from tests.inference.problems import normal

SPEC = hospitals()[0]
INPUTS, LANDMARKS, ROWS = 4, 40, 120
X = normal(1, ROWS, INPUTS)
Y = np.sin(2 * X[:, 0]) + 0.1 * normal(2, ROWS)
Z = normal(3, LANDMARKS, INPUTS)


def gradients(kernel: Kernel, Z: Matrix, floors: Floors, copies: int = 1) -> Matrix:
    """A site's part of the gradient in the landmarks (r, d)."""
    features = Features.build(kernel, Z, None)
    belief = Belief(normal(4, len(Z), 1), 0.5 * np.eye(len(Z)), 0.1, 1.0)
    rows = [(np.repeat(X, copies, axis=0), np.repeat(Y, copies))]
    sums = local_bound(rows, features, belief, belief.mean, None, fewest=floors.landmark)
    return sums.landmarks


def rows_found(kernel: Kernel, floors: Floors, copies: int = 1) -> int:
    """How many rows lie where a landmark's two lines meet, within .1 standard deviations."""
    moved = Z + 0.05 * normal(5, LANDMARKS, INPUTS)
    found = set()
    both = (gradients(kernel, each, floors, copies) for each in (Z, moved))
    for one, two, g, h in zip(Z, moved, *both, strict=True):
        lines = np.column_stack([g, -h])
        if not g.any() or not h.any():
            continue
        ways, *_ = np.linalg.lstsq(lines, two - one, rcond=None)
        apart = np.abs(X - (one + ways[0] * g)).max(axis=1)
        found |= set(np.flatnonzero(apart < 0.1).tolist())
    return len(found)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("local", "fewest", "most"), [(LOCAL, 0, 0), (not LOCAL, 3, ROWS)])
def test_no_row_lies_where_a_landmarks_gradients_point(
    local: bool, fewest: int, most: int, copies: int
) -> None:
    """Copies of a row are no rows alike."""
    kernel = StationaryKernel(KernelKind.RBF, 0.1)
    assert fewest <= rows_found(kernel, floors_of(SPEC, local), copies) <= most


def test_a_kernel_that_sees_far_has_all_gradients() -> None:
    """The floor takes nothing where many rows have a weight."""
    kernel = StationaryKernel(KernelKind.RBF, 1.5)
    given, all_ = (gradients(kernel, Z, floors_of(SPEC, local)) for local in (LOCAL, not LOCAL))
    assert np.array_equal(given, all_)
