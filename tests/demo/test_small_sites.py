"""Sites of a few rows in the demonstration: they are shown as what they are, and end nothing."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_node.config import FederationSpec, Task
from edge_node.demo import experiment
from edge_node.demo.data.csv_file import load_csv
from edge_node.demo.data.sites import Site, split, write_sites
from edge_node.demo.folder import make_folder
from edge_node.errors import MachineError, NetworkError


def sites_of(folder: Path, task: Task, sizes: dict[str, int]) -> tuple[list[Site], Any]:
    """A user's file, as sites; and a federation of them, without processes."""
    random, lines = np.random.default_rng(0), ["site,a,b,y"]
    for site, count in sizes.items():
        for a, b in random.normal(size=(count, 2)):
            y = f"{a + b:.4f}" if task is Task.REGRESSION else "high" if a + b > 0 else "low"
            lines.append(f"{site},{a:.4f},{b:.4f},{y}")
    path = folder / "own.csv"
    path.write_text("\n".join(lines) + "\n")
    data = load_csv(path, "y", site_column="site")
    sites = split(data, "by-column", 0)
    spec = FederationSpec(name="small", data=data.data, minimum_rows=0)
    files = write_sites(sites, folder)
    return sites, SimpleNamespace(spec=spec, files=files, node_directory=lambda name: folder / name)


@pytest.mark.parametrize("task", [Task.REGRESSION, Task.CLASSIFICATION])
@pytest.mark.parametrize("rows", [2, 3, 4])
def test_a_site_of_a_few_rows_ends_nothing(task: Task, rows: int, tmp_path: Path) -> None:
    """It answers alone if it can; a site of one row can't, and a classifier says class shares."""
    sites, federation = sites_of(tmp_path, task, {"bern": 30, "oslo": 30, "tiny": rows})
    *_, tiny = sites
    answers = experiment._learn_alone(federation, tiny)
    if task is Task.REGRESSION and rows == 2:
        assert answers is None
    else:
        assert answers is not None
        assert len(answers(tiny.test)) == 1


@pytest.mark.parametrize("seen", [0, 1])
def test_a_site_that_saw_no_event_has_no_model_of_its_own(seen: int, tmp_path: Path) -> None:
    """Whatever it predicted, a later time would be likelier; the others go on."""
    random, path = np.random.default_rng(0), tmp_path / "own.csv"
    lines = ["site,a,months,died"]
    for site, died in {"bern": 1, "oslo": 1, "tiny": seen}.items():
        lines += [f"{site},{a:.4f},{np.exp(a):.4f},{died}" for a in random.normal(size=24)]
    path.write_text("\n".join(lines) + "\n")
    data = load_csv(path, "months", event="died", site_column="site")
    sites = split(data, "by-column", 0)
    spec = FederationSpec(name="small", data=data.data, minimum_rows=0)
    federation: Any = SimpleNamespace(spec=spec, files=write_sites(sites, tmp_path))
    assert (experiment._learn_alone(federation, sites[-1]) is not None) == bool(seen)


def test_an_error_names_the_site(tmp_path: Path) -> None:
    """Where a node doesn't answer: which one."""
    sites, federation = sites_of(tmp_path, Task.REGRESSION, {"bern": 9, "oslo": 9, "tiny": 2})
    with pytest.raises((MachineError, NetworkError), match="site tiny"):
        experiment._ask(federation, sites[-1], experiment.Which.AUTO)


def test_no_empty_report_is_left_behind(tmp_path: Path) -> None:
    """Whether it can be written is tried; an earlier report stays."""
    folder = tmp_path / "report"
    make_folder(folder, "report.json")
    assert list(folder.iterdir()) == []
    (folder / "report.json").write_text("{}")
    make_folder(folder, "report.json")
    assert (folder / "report.json").read_text() == "{}"
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="can't be written"):
        make_folder(tmp_path / "file", "report.json")


def test_what_a_site_alone_is_warned_of_is_not_said_of_the_federation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Errors are logged still, and warnings before and after."""
    log = logging.getLogger("edge_node.program")
    log.warning("before")
    with experiment._without_warnings():
        log.warning("of a model for comparison")
        log.error("an error")
    log.warning("after")
    assert caplog.messages == ["before", "an error", "after"]
