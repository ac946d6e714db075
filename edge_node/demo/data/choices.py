"""Which data the command's options ask for, and options that don't go together."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from edge_node.config import Task
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.datasets import BUNDLED, Dataset
from edge_node.errors import ConfigurationError

__all__ = ["Choices", "choose_data"]


@dataclass(frozen=True)
class Choices:
    """Which data the demonstration takes, as the command's options say it."""

    dataset: str = "breast-cancer"
    file: Path | None = None
    target: str | None = None
    site_column: str | None = None
    task: str | None = None
    event: str | None = None
    classes: str | None = None
    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def choose_data(choices: Choices) -> Dataset:
    """The built-in data, or the user's. Raises ConfigurationError, DataError."""
    own = {
        "--target": choices.target,
        "--site-column": choices.site_column,
        "--task": choices.task,
        "--event": choices.event,
        "--classes": choices.classes,
        "--ignore": choices.ignore,
        "--categorical": choices.categorical,
        "--missing": choices.missing,
    }
    if choices.file is None:
        given = [option for option, value in own.items() if value]
        if given:
            raise ConfigurationError(
                f"{', '.join(given)} without --csv", remedy="Give --csv FILE as well"
            )
        return BUNDLED[choices.dataset]()
    if choices.target is None:
        raise ConfigurationError(
            "--csv needs --target", expected="--target COLUMN", remedy="Name the column to predict"
        )
    _check_roles(choices)
    classes = _classes(choices)
    return load_csv(
        choices.file,
        choices.target,
        site_column=choices.site_column,
        task=Task(choices.task) if choices.task else None,
        event=choices.event,
        classes=classes,
        ignore=choices.ignore,
        categorical=choices.categorical,
        missing=choices.missing,
    )


def _check_roles(choices: Choices) -> None:
    """Raise ConfigurationError where two options say different things of one column."""
    roles: dict[str, set[str | None]] = {
        "--target": {choices.target},
        "--site-column": {choices.site_column} - {None},
        "--event": {choices.event} - {None},
        "--ignore": set(choices.ignore),
        "--categorical": set(choices.categorical),
    }
    numeric = choices.event or (choices.task and not Task(choices.task).has_classes)
    if not numeric:  # labels to predict may look like numbers
        roles["--categorical"].discard(choices.target)
    for (option, names), (other, others) in combinations(roles.items(), 2):
        for column in names & others:
            raise ConfigurationError(
                f"{option} and {other} can't both name the column {column!r}",
                remedy="Leave it to one of them",
            )


def _classes(choices: Choices) -> list[str]:
    """The labels that --classes names. Raises ConfigurationError where the options of a task are
    missing, or are those of another.
    """
    task = choices.task or (Task.SURVIVAL if choices.event else None)
    if task == Task.SURVIVAL and not choices.event:
        raise ConfigurationError(
            "--task survival needs --event",
            expected="--event COLUMN",
            remedy="Name the column that is 1 where the event was seen, and 0 where not",
        )
    if choices.event and task != Task.SURVIVAL:
        raise ConfigurationError(
            f"--event and --task {task} exclude each other",
            remedy="Leave --event out, or give --task survival",
        )
    if choices.classes is None:
        return []
    if task is not None and not Task(task).has_classes:
        raise ConfigurationError(
            f"--classes is for labels, and the task is {task}", remedy="Leave --classes out"
        )
    labels = [label.strip() for label in choices.classes.split(",") if label.strip()]
    if len(set(labels)) < max(len(labels), 2):
        raise ConfigurationError(
            "--classes doesn't list classes",
            expected="two or more different labels with commas between, such as low,mid,high",
            found=repr(choices.classes),
            remedy="Name each label of the target once, from the lowest to the highest",
        )
    return labels
