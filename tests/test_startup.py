"""What a command loads before it does anything."""

import subprocess
import sys

import pytest

HEAVY = "jax scipy.stats sklearn matplotlib pandas networkx grpc cryptography rich asyncio"
SELDOM = "jax scipy.special scipy.optimize scipy.stats sklearn matplotlib pandas networkx rich"
NUMERICAL = f"{HEAVY} numpy scipy duckdb pyarrow"


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("edge_node.cli", NUMERICAL),
        ("edge_node.cli, edge_node.model.local", HEAVY),
        ("edge_node.cli, edge_node.serving.client", "jax scipy sklearn pandas cryptography"),
        ("edge_node.cli, edge_node.node.doctor", SELDOM),
        ("edge_node.cli, edge_node.node.daemon", SELDOM),
    ],
    ids=["any command", "predict", "status", "doctor", "run"],
)
def test_it_loads_nothing_that_it_does_not_need(modules: str, unwanted: str) -> None:
    """Not even through others: a prompt that waits for JAX is no prompt."""
    assert loaded_with(modules, unwanted) == ""


def test_what_is_loaded_is_found() -> None:
    """The control: every library, by the name that the test above looks for."""
    for names in (NUMERICAL, SELDOM):
        assert loaded_with(", ".join(names.split()), names) == names


def loaded_with(modules: str, names: str) -> str:
    """Which of ``names`` a process has loaded after it has imported ``modules``."""
    program = f"import sys, {modules}\nprint(*[n for n in {names.split()} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
