"""The demonstration, as a newcomer runs it, and what its report must hold."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FIELDS = {
    "task", "dataset", "nodes", "sweeps", "wall_seconds", "bytes_per_edge", "uncovered_share",
    "evidence", "metrics", "max_abs_mean_diff_vs_pooled", "max_abs_sd_diff_vs_pooled",
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
    assert report["metrics"]["federated"]["accuracy"] >= 0.8
    assert report["metrics"]["federated"]["log_loss"] < report["metrics"]["alone"]["log_loss"]
