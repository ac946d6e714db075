"""A federation as `aggregator init` creates it."""

from pathlib import Path
from typing import Any

from aggregator import setup
from aggregator.directory.layout import Directory

SPEC = """
name = "hospitals"
[data]
task = "regression"
target = "y"
columns = [{name = "x"}]
"""


def create(path: Path, spec: Path, **settings: Any) -> dict[str, Any]:
    """``aggregator init`` in ``path``, for this machine; what it prints."""
    usual = {"hosts": ("localhost",), "port": 7700, "enrolment_port": 7701, "listen": "127.0.0.1"}
    return setup.create(Directory(path), spec, **(usual | settings))
