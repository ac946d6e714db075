"""The command that tells how much privacy this site has spent."""

from typing import TYPE_CHECKING, Any

import click

from edge_node import console
from edge_node.cli.options import directory_option
from edge_node.config.paths import NodePaths

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["privacy"]


@click.command()
@directory_option
@console.json_option
def privacy(paths: NodePaths, as_json: bool) -> None:
    """Show and check the ledger of sums with noise: what they cost, and what is left.

    A ledger that was changed, or of which a part is missing, is an error (exit code 7).
    """
    from edge_node.security.privacy.spending_report import spending_report

    found = spending_report(paths)
    console.emit(found, as_json=as_json, text=lambda: _table(found))


def _table(found: dict[str, Any]) -> "Table":
    rows = [
        [
            each["time"],
            f"{each['run']}/{each['epoch']}",
            each["step"],
            each["level"],
            each["cohort"],
            each["honest"],
            f"{each['sigma'] / each['sensitivity']:.4g}",
            "-" if each["epsilon"] is None else f"{each['epsilon']:.4g}",
        ]
        for each in found["releases"]
    ]
    headings = [
        "time",
        "run/epoch",
        "sum",
        "level",
        ">nodes",
        ">honest",
        ">noise",
        ">epsilon so far",
    ]
    return console.table(headings, rows, title=_title(found))


def _title(found: dict[str, Any]) -> str:
    if not found["releases"]:
        return "Nothing was spent: this site took part in no sum with noise"
    spent = "no" if found["epsilon"] is None else f"epsilon {found['epsilon']:.4g}"
    text = f"Spent: {spent} ({found['level']} level, delta {found['delta']:g})"
    if found["budget"] is not None:
        text += f" of {found['budget']:g}"
    if found["alone"] is not None:
        text += f"; epsilon {found['alone']:.4g} if all other members pooled their noise"
    return text
