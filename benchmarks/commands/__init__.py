"""The commands of ``python -m benchmarks``, by what they are about.

A module of this folder need only define its ``click`` commands: ``commands`` finds them.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import click

__all__ = ["commands"]


def commands() -> Iterator[click.Command]:
    """Every command that a module of this folder defines."""
    for module in iter_modules(__path__, f"{__name__}."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, click.Command):
                yield value
