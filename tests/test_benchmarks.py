"""Benchmarks run, and say what they measured against what. No time is asserted."""

import pytest

from benchmarks.cpu import measure_cpu
from benchmarks.kernel import measure_kernel
from benchmarks.startup import measure_startup
from benchmarks.statistics import measure_statistics
from benchmarks.wire import measure_wire
from edge_node.errors import ConfigurationError

pytestmark = pytest.mark.slow


def test_statistics() -> None:
    """A ratio of two measured times."""
    found = measure_statistics(2000, 50, repeats=1)
    assert found["ratio"] == found["figure"] / found["limit"] > 0


def test_kernel_keeps_its_digits() -> None:
    """Against neural-tangents where rows are apart, in extended precision where they are not."""
    try:
        found = measure_kernel(700, 800, repeats=1)  # large enough for JAX
    except ConfigurationError as error:
        pytest.skip(str(error))
    assert found["ratio"] == found["figure"] / found["limit"] > 0
    assert found["error"] < 1e-9
    assert found["error_near"] < 1e-9


def test_wire_is_close_to_the_least_possible() -> None:
    """Bytes are exact: two per cent over sixteen a number, at a thousand landmarks."""
    found = measure_wire(1500, 1000)
    assert 1.0 <= found["ratio"] <= 1.02


def test_cpu() -> None:
    """A ratio of two measured times."""
    found = measure_cpu(1000, 30, nodes=3)
    assert found["ratio"] == found["figure"] / found["limit"] > 0


def test_startup() -> None:
    """A process that answers imports at least what it needs."""
    found = measure_startup(30, repeats=1)
    assert found["ratio"] == found["figure"] / found["limit"] > 0
    assert found["figure"] > found["interpreter_seconds"] > 0
