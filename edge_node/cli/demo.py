"""The demonstration's command."""

from pathlib import Path
from typing import Any

import click

from edge_node import console
from edge_node.config import Task

__all__ = ["demo"]


@click.command()
@click.option(
    "--dataset",
    type=click.Choice(["breast-cancer", "diabetes"]),
    default="breast-cancer",
    show_default=True,
    help="Bundled data: 569 biopsies, or 442 diabetes patients.",
)
@click.option(
    "--csv", "file", type=click.Path(path_type=Path), help="Your own data instead; needs --target."
)
@click.option("--target", help="The column to predict.")
@click.option("--site-column", help="The column that says which site a row is from.")
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="A column to leave out; repeatable."
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="[default: by the target's values]",
)
@click.option("--nodes", default=5, show_default=True, help="How many nodes.")
@click.option(
    "--split",
    "how",
    type=click.Choice(["iid", "clustered", "by-column"]),
    help="How rows are spread over nodes. [default: clustered; by-column with --site-column]",
)
@click.option("--landmarks", default=200, show_default=True, help="How many landmarks.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default="report",
    show_default=True,
    help="Folder for report.json, predictions.csv and pictures.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the federation running, and say how to ask it, until Ctrl-C.",
)
@console.json_option
def demo(as_json: bool, **options: Any) -> None:
    """Run a whole federation on this machine: an aggregator and nodes as processes, real data.

    Each node reads only its own file. They reach one posterior; its predictions are compared with
    one machine holding all rows, and with each site alone.
    """
    from edge_node.demo.main import demonstrate

    demonstrate(as_json=as_json, **options)
