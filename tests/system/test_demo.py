"""The demonstration, as a newcomer runs it, and what its report must hold."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FIELDS = {
    "task", "dataset", "nodes", "sums", "traversals", "wall_seconds", "bytes_per_edge",
    "uncovered_share", "evidence", "metrics", "schema",
    "max_abs_mean_diff_vs_pooled", "max_abs_sd_diff_vs_pooled",
}  # fmt: skip
SHARED = Path(__file__).parents[3] / "shared" / "data"


def demo(folder: Path, *options: str) -> dict[str, Any]:
    """Run ``edge-node demo`` and read its report, which is also what ``--json`` prints."""
    command = [sys.executable, "-m", "edge_node", "demo", "--json", "--report", str(folder)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert json.loads(done.stdout) == report
    assert report.keys() >= FIELDS
    assert report["secure_sum"] is True
    assert report["max_abs_mean_diff_vs_pooled"] < 1e-8
    assert report["max_abs_sd_diff_vs_pooled"] < 1e-8
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(node["test_rows"] for node in report["nodes"])
    for picture in ("predictions.png", "network.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    return report


def test_breast_cancer_over_five_hospitals(tmp_path: Path) -> None:
    """Non-IID sites: as good as pooled, and much better than the sites alone."""
    report = demo(tmp_path / "report")
    metrics = report["metrics"]
    assert len(report["nodes"]) == 5
    assert metrics["federated"]["accuracy"] >= 0.96
    assert metrics["federated"]["log_loss"] <= 0.12
    assert metrics["federated"]["accuracy"] > metrics["alone"]["accuracy"]
    assert metrics["federated"]["log_loss"] < metrics["alone"]["log_loss"]
    assert set(metrics["federated"]) == {"accuracy", "log_loss", "ece"}


def test_diabetes_regression(tmp_path: Path) -> None:
    """Intervals with the coverage they promise, better than the sites alone."""
    options = ("--dataset", "diabetes", "--nodes", "3", "--landmarks", "80")
    metrics = demo(tmp_path / "report", *options)["metrics"]
    assert metrics["federated"]["rmse"] < metrics["alone"]["rmse"]
    assert 0.88 <= metrics["federated"]["coverage95"] <= 1.0
    assert set(metrics["federated"]) == {"rmse", "nll", "coverage95"}


def test_a_users_file_with_its_own_sites(tmp_path: Path) -> None:
    """Four real hospitals, with missing cells."""
    file = SHARED / "heart_disease_four_hospitals.csv.gz"
    if not file.exists():
        pytest.skip(f"{file.name} is not there")
    report = demo(
        tmp_path / "report", "--csv", str(file), "--target", "heart_disease",
        "--site-column", "site", "--ignore", "diagnosis_num", "--landmarks", "80",
    )  # fmt: skip
    assert len(report["nodes"]) == 4
    schema = {column["column"]: column for column in report["schema"]}
    assert schema["site"]["role"] == "site"
    assert schema["age"]["range"][0] > 0
    assert schema["cholesterol_mg_dl"]["missing"] > 0
    assert report["metrics"]["federated"]["accuracy"] >= 0.8
    assert report["metrics"]["federated"]["log_loss"] < report["metrics"]["alone"]["log_loss"]


def start(folder: Path, rows: int) -> subprocess.Popen[str]:
    """Run the demonstration of a user's file, whose name no federation can have.

    What it keeps meanwhile is in ``folder / "tmp"``.

    Args:
        folder: a fresh one.
        rows: how many the file has.
    """
    name = f" {'x' * 80}.csv"
    lines = [f"{i % 97},{i % 89},{('hi', 'lo')[i % 2]}\n" for i in range(rows)]
    (folder / name).write_text("a,b,y\n" + "".join(lines))
    (folder / "tmp").mkdir()
    options = ("--csv", name, "--target", "y", "--split", "iid", "--nodes", "3")
    return subprocess.Popen(
        [sys.executable, "-m", "edge_node", "demo", "--landmarks", "20", *options],
        cwd=folder, env=os.environ | {"TMPDIR": str(folder / "tmp")},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def files_in(folder: Path) -> list[Path]:
    """All files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def running_in(folder: Path) -> list[str]:
    """Command lines of the processes that were given a path in a folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile
            continue
        found += [command] if str(folder) in command else []
    return found


def test_it_ends_with_the_nodes_reason(tmp_path: Path) -> None:
    """So few rows may tell nothing: the nodes refuse, and there is no silent waiting for them."""
    process = start(tmp_path, 60)
    _, errors = process.communicate()
    assert process.returncode == 7, errors
    assert "the federation's rows may tell" in errors
    assert "hospital-a, hospital-b, hospital-c: refused:" in errors
    assert "Traceback" not in errors
    assert files_in(tmp_path / "tmp") == []
    logs = {file.name for file in (tmp_path / "report" / "logs").iterdir()}
    assert logs == {"aggregator.log", "hospital-a.log", "hospital-b.log", "hospital-c.log"}


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc: Linux only")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_cleans_up_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """No copy of a row and no process stays behind."""
    process = start(tmp_path, 900)
    end = time.monotonic() + 120.0
    while not [c for c in running_in(tmp_path / "tmp") if "edge_node run" in c]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [file for file in files_in(tmp_path / "tmp") if file.name == "hospital-a.csv"]
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert files_in(tmp_path / "tmp") == []
    assert running_in(tmp_path / "tmp") == []
