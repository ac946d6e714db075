"""What a command loads before it does anything."""

import subprocess
import sys

import pytest

HEAVY = "jax scipy.stats sklearn matplotlib pandas networkx grpc cryptography rich asyncio"
NUMERICAL = f"{HEAVY} numpy scipy duckdb pyarrow"


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("edge_node.cli", NUMERICAL),
        ("edge_node.cli, edge_node.model.local", HEAVY),
        ("edge_node.cli, edge_node.serving.client", "jax scipy sklearn pandas cryptography"),
    ],
    ids=["any command", "predict", "status"],
)
def test_it_loads_nothing_that_it_does_not_need(modules: str, unwanted: str) -> None:
    """Not even through others: a prompt that waits for JAX is no prompt."""
    program = (
        f"import sys, {modules}\n"
        f"loaded = set({unwanted.split()}) & set(sys.modules)\n"
        "sys.exit(f'imported: {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
