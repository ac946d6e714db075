"""Libraries that an environment may do without."""

from importlib.util import find_spec

import pytest

needs_neural_tangents = pytest.mark.skipif(
    find_spec("neural_tangents") is None,  # as beside the newest JAX; one that is broken fails
    reason="neural-tangents is not installed",
)
