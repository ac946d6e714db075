"""A site's own posterior answers unless it is clearly worse."""

import numpy as np
import pytest

from edge_node.inference.evaluation.preference import prefers_own
from tests.inference.problems import normal


@pytest.mark.parametrize(("worse", "preferred"), [(-0.5, True), (0.0, True), (0.5, False)])
def test_what_is_clearly_worse_is_not_preferred(worse: float, preferred: bool) -> None:
    """By half a nat, of 400 rows whose losses vary by one."""
    shared = normal(0, 400)
    own = shared + worse + normal(1, 400)
    own -= normal(1, 400).mean()
    assert prefers_own(own, shared) is preferred


def test_one_stretch_of_bad_luck_is_no_proof() -> None:
    """A tenth of the time is worse by two nats: of independent rows, that would decide."""
    shared = np.zeros(400)
    own = np.where(np.arange(400) < 40, 2.0, 0.0)
    assert prefers_own(own, shared)
    assert not prefers_own(np.random.default_rng(0).permutation(own), shared)


def test_few_rows_decide_little() -> None:
    """None: the shared one. One or two: the site's, unless there is no doubt."""
    assert not prefers_own(np.empty(0), np.empty(0))
    assert prefers_own(np.array([1.0, -0.5]), np.zeros(2))
    assert not prefers_own(np.array([1.0, 1.0]), np.zeros(2))
