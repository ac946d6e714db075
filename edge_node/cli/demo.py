"""The demonstration's command."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge_node import console
from edge_node.config import SAFE_MOST_TOLD, Task
from edge_node.errors import ConfigurationError, MachineError

__all__ = ["demo"]

_EXTRA = ("matplotlib", "networkx", "sklearn")  # of `tangent-mesh[demo]`, as they are imported
_OF_FEDERATION = ("site_column", "nodes", "how", "landmarks", "most_told", "keep")  # not of --graph


@click.command()
@click.option(
    "--dataset",
    type=click.Choice(["breast-cancer", "diabetes"]),
    help="Bundled data: 569 biopsies, or 442 diabetes patients. "
    "[default: breast-cancer; with --graph diabetes]",
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
    "--categorical",
    multiple=True,
    metavar="COLUMN",
    help="A column whose cells are labels, whatever they look like; repeatable.",
)
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help="Read cells with this text as missing, as empty ones are; repeatable.",
)
@click.option(
    "--task",
    type=click.Choice([task.value for task in Task]),
    help="What the target is. [default: inferred from its values]",
)
@click.option(
    "--event",
    metavar="COLUMN",
    help="Survival: the column that is 1 where the event was seen, 0 where not.",
)
@click.option(
    "--classes",
    metavar="LABELS",
    help="Ordinal: the labels in order, with commas between.",
)
@click.option("--nodes", default=5, show_default=True, help="How many nodes.")
@click.option(
    "--split",
    "how",
    type=click.Choice(["iid", "clustered", "by-column"]),
    help="How rows are spread over nodes. [default: clustered; by-column with --site-column]",
)
@click.option(
    "--landmarks",
    type=click.IntRange(min=2),
    help="How many landmarks, at most. [default: as many as the rows allow]",
)
@click.option(
    "--most-told",
    type=click.FloatRange(min=0, min_open=True),
    default=SAFE_MOST_TOLD,
    show_default=True,
    help="Numbers per cell of the others' rows, at most; more lets members solve for rows.",
)
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
@click.option(
    "--graph",
    is_flag=True,
    help="Instead of a federation: watch messages converge on a graph of twelve rows, in seconds.",
)
@console.json_option
def demo(*, graph: bool, dataset: str | None, **options: Any) -> None:
    """Run a whole federation on this machine: an aggregator and nodes as processes, real data.

    Each node reads only its own file. They reach one posterior; its predictions are compared with
    one machine holding all rows, and with each site alone.
    """
    _check_extra()
    from edge_node.demo.data.choices import Choices

    dataset = dataset or ("diabetes" if graph else "breast-cancer")
    names = Choices.__dataclass_fields__.keys() - {"dataset"}
    choices = Choices(dataset, **{name: options.pop(name) for name in names})
    if graph:
        _check_no_federation()
        from edge_node.demo.graph.watch import watch

        watch(choices, report=options["report"], as_json=options["as_json"])
    else:
        from edge_node.demo.main import demonstrate

        demonstrate(choices, **options)


def _check_no_federation() -> None:
    """Raise ConfigurationError where --graph stands beside an option of the federation."""
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in _OF_FEDERATION
        and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT
    ]
    if given:
        raise ConfigurationError(
            f"{', '.join(given)} beside --graph, which starts no federation",
            remedy="Leave out one or the other",
        )


def _check_extra() -> None:
    """Raise MachineError where a package is missing that only the demonstration needs."""
    absent = [name for name in _EXTRA if find_spec(name) is None]
    if absent:
        raise MachineError(
            "the demonstration needs packages that are not installed",
            expected=", ".join(_EXTRA),
            found=f"no {', '.join(absent)}",
            remedy="Install them: pip install 'tangent-mesh[demo]'",
        )
