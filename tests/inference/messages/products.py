"""Products of messages, and comparisons, for tests."""

from collections.abc import Iterable
from functools import reduce

import numpy as np

from edge_node.inference.messages.canonical import Canonical
from edge_node.inference.messages.gaussian import Gaussian


def product(messages: Iterable[Gaussian]) -> Gaussian:
    """The product of one or more messages."""
    return reduce(Gaussian.__mul__, messages)


def assert_same(found: Canonical, expected: Canonical, error: float) -> None:
    """Precision and shift, to a relative and absolute error."""
    np.testing.assert_allclose(found.precision, expected.precision, rtol=error, atol=error)
    np.testing.assert_allclose(found.shift, expected.shift, rtol=error, atol=error)
