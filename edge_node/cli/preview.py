"""The command that says what this site would tell, before anything is sent."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_node import console
from edge_node.cli.options import directory_option
from edge_node.config.paths import NodePaths

if TYPE_CHECKING:
    from rich.console import Group

    from edge_node.node.preview import Preview

__all__ = ["preview"]


@click.command()
@click.option(
    "--spec",
    type=click.Path(path_type=Path),
    help="The federation's spec. [default: the one received at enrolment]",
)
@click.option(
    "--sites",
    type=click.IntRange(min=2),
    help="Assume that many other sites. [default: as many as the first run needs]",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    help="Assume that each of them has that many distinct rows. [default: as many as this site]",
)
@directory_option
@console.json_option
def preview(
    paths: NodePaths, spec: Path | None, sites: int | None, rows: int | None, as_json: bool
) -> None:
    """Say what this site would tell in a run, and send nothing.

    Each sum is listed in the order of the run: over how many rows of this site, how many values,
    how many of them are real-valued numbers, and of how many features. The other sites are assumed
    to be alike. A run that would be refused is an error (exit code 7).
    """
    from edge_node.node.preview import preview as preview_of

    found = preview_of(paths, spec=spec, sites=sites, rows=rows)
    console.emit(found.as_dict(), as_json=as_json, text=lambda: _shown(found))


def _shown(found: "Preview") -> "Group":
    """The table, what it comes to, and what should be noticed."""
    from rich.console import Group
    from rich.text import Text

    headings = ("sum", "of", ">rows", ">values", ">numbers", ">features")
    rows = [
        (
            each.step,
            each.content,
            f"{each.rows:,}",
            f"{each.values:,}",
            f"{each.numbers:,}" if each.numbers else "-",
            f"{each.features:,}" if each.features else "-",
        )
        for each in found.sums
    ]
    assumed = (
        f"What {found.site} would tell of {found.rows:,} distinct rows, with {found.sites} other"
        f" sites of {found.sites_rows:,} rows each (assumed)"
    )
    bill = found.bill
    said = [f"In all {bill.summary}.", *bill.notices] if bill else []
    if found.privacy:
        said.append(f"In all one sum with noise: {found.privacy.summary}.")
    return Group(assumed, console.table(headings, rows), *map(Text, said))
