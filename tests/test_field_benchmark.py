"""The fleet's benchmark runs on small fleets, and says what it should."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.field.changes import measure_changes
from benchmarks.field.drawn import Exact, drawn
from benchmarks.field.figure import draw_field
from benchmarks.field.priors import measure_priors
from benchmarks.field.talk import measure_talk

pytestmark = pytest.mark.slow


def test_the_exact_posterior_is_the_sparse_systems() -> None:
    """Its mean and variances are those of dense algebra."""
    fleet, truth = drawn(200, measuring=0.5, samples=0)
    exact, devices = Exact(fleet), fleet.devices
    inverse = np.linalg.inv(exact.precision.toarray())
    h = np.where(devices.measuring, devices.readings / devices.noise, 0.0)
    np.testing.assert_allclose(exact.mean, inverse @ h, atol=1e-9)
    np.testing.assert_allclose(exact.variances(np.arange(60)), inverse.diagonal()[:60])
    assert np.mean(np.abs(truth - exact.mean)) < np.mean(np.abs(truth))


def test_errors_fall_with_messages_and_own_noise_beats_loopy_variances(tmp_path: Path) -> None:
    """Until nobody has anything to say; the figures are drawn."""
    rows = list(measure_talk(600, measuring=0.5, samples=16, losses=(0.0, 0.2), most_ticks=400))
    for lost in (0.0, 0.2):
        talk = [row for row in rows if row["part"] == "talk" and row["lost"] == lost]
        assert talk[-1]["mean_error"] < 0.01 < talk[0]["mean_error"]
        assert talk[-1]["variance_error"] < 0.3 * talk[-1]["loopy_error"]
    lost, all_come = (
        max(row["messages"] for row in rows if row["part"] == "talk" and row["lost"] == lost)
        for lost in (0.2, 0.0)
    )
    assert lost > all_come
    answers = {row["variances"]: row for row in rows if row["part"] == "answer"}
    assert abs(answers["own noise"]["bias"]) < 0.02
    draw_field(rows, tmp_path / "field.png")
    assert (tmp_path / "field.png").stat().st_size > 1000


def test_changes_cost_less_than_a_new_start() -> None:
    """One device that comes or leaves, against all."""
    whole, *rows = measure_changes(1000, measuring=0.5, lost=0.2)
    assert [row["changed"] for row in rows] == [1, 1, 10, 10, 1]
    for row in rows:
        assert row["mean_error"] < 0.01
        assert row["sent"] < whole["sent"] / 2
    assert max(row["sent"] for row in rows[:2]) < whole["sent"] / 10


def test_a_part_of_their_own_makes_messages_converge() -> None:
    """Without it, and with finite elements, all at once diverges."""
    rows = list(measure_priors(150))
    ends = {(row["prior"], row.get("own"), row["measuring"]): row for row in rows}
    assert ends["Vecchia", 0.0, 0.5]["together"] == "diverges"
    assert ends["finite elements", None, 0.5]["together"] == "diverges"
    assert ends["Vecchia", 0.02, 0.5]["together"].isdigit()
    assert ends["Vecchia", 0.02, 0.5]["quiet"].isdigit()
    assert all(row["walks"] > 1 for row in rows)
