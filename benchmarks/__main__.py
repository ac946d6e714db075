"""The benchmarks' command line."""

import click

from benchmarks.commands import commands
from edge_node import console


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Measure something against its limit, or against a peer, in one run."""


for command in commands():
    cli.add_command(command)


if __name__ == "__main__":
    console.main(cli, program="python -m benchmarks")
