"""The aggregator is thin."""

import subprocess
import sys


def test_it_loads_no_numerical_or_data_library() -> None:
    """Not even through others: it starts on the smallest machine, and at once."""
    program = (
        "import sys, aggregator.cli, aggregator.server, aggregator.setup, aggregator.status\n"
        "heavy = {'jax', 'numpy', 'scipy', 'duckdb', 'pyarrow', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
