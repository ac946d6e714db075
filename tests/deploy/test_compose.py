"""The compose file, for real: containers that enrol, reach one posterior and answer.

Needs a Docker engine with Compose. Where no image registry is reached, the base image is made from
Debian packages; packages come from wheels that are fetched first.
"""

import csv
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSPITALS = [f"hospital-{letter}" for letter in "abcd"]
BASE = "tangent-mesh-base:local"
DEADLINE = 240.0  # seconds from `up` to the last node's posterior

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(1500)]


def run(
    *command: str, check: bool = True, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder; its error is the test's."""
    environment = os.environ | {"BASE_IMAGE": BASE, "COMPOSE_PROJECT_NAME": "tangent-mesh-test"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done


def compose(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Compose v2 where it is, else docker-compose."""
    plugin = succeeds("docker", "compose", "version")
    program = ["docker", "compose"] if plugin else ["docker-compose"]
    return run(*program, "--file", "deploy/compose.yaml", *arguments, check=check)


def succeeds(*command: str) -> bool:
    """Whether a command is there and ends well."""
    return shutil.which(command[0]) is not None and run(*command, check=False).returncode == 0


def what_is_missing() -> str:
    """Why the containers can't run here, and what to do about it; empty if they can."""
    if not succeeds("docker", "info"):
        return "no Docker engine answers; install one, or start it"
    if not (succeeds("docker", "compose", "version") or succeeds("docker-compose", "version")):
        return "there is an engine, but no Compose; install docker-compose"
    if succeeds("docker", "image", "inspect", BASE):
        return ""
    if shutil.which("debootstrap") is None:
        return f"no base image {BASE}, and no debootstrap to make it; apt-get install debootstrap"
    if os.geteuid() != 0:
        return f"no base image {BASE}, which only root can make; run: sudo make docker-base"
    return ""


@pytest.fixture(scope="module")
def federation() -> Iterator[None]:
    """The running containers; they and their volumes go with the module."""
    if missing := what_is_missing():
        pytest.skip(missing)
    if not succeeds("docker", "image", "inspect", BASE):
        run("make", "docker-base")
    run("make", "wheels")
    run("make", "docker-image", f"BASE_IMAGE={BASE}")
    try:
        compose("up", "--detach", "--no-build")
        wait_for_posterior()
        yield
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


def wait_for_posterior() -> None:
    """Until all four hospitals hold the posterior of all four."""
    end = time.monotonic() + DEADLINE
    waiting = set(HOSPITALS)
    while waiting and time.monotonic() < end:
        for hospital in sorted(waiting):
            done = compose("exec", "-T", hospital, "edge-node", "status", "--json", check=False)
            if done.returncode == 0:
                status = json.loads(done.stdout)
                if status["phase"] == "complete" and status["cohort"] == HOSPITALS:
                    waiting.discard(hospital)
        time.sleep(1.0)
    assert not waiting, compose("logs", "--no-color", "--tail", "20").stdout


@pytest.mark.usefixtures("federation")
@pytest.mark.parametrize("hospital", ["hospital-a", "hospital-d"])
def test_a_hospital_answers_from_its_own_posterior(hospital: str) -> None:
    """`docker compose exec hospital-a edge-node predict`: probabilities for every row."""
    done = compose("exec", "-T", hospital, "edge-node", "predict", "--csv", "/data/new.csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    asked = (ROOT / "deploy/examples/new.csv").read_text().splitlines()
    assert len(rows) == len(asked) - 1
    for row in rows:
        assert float(row["p_benign"]) + float(row["p_malignant"]) == pytest.approx(1.0)


@pytest.mark.usefixtures("federation")
def test_all_hospitals_give_the_same_answer() -> None:
    """One posterior that all share; each may refine it for itself."""
    asked = ("edge-node", "predict", "--csv", "/data/new.csv", "--posterior", "global")
    answers = {compose("exec", "-T", hospital, *asked).stdout for hospital in HOSPITALS}
    assert len(answers) == 1


@pytest.mark.usefixtures("federation")
def test_containers_are_confined() -> None:
    """No root, a read-only file system, and nobody else's rows."""
    assert compose("exec", "-T", "hospital-a", "id", "-u").stdout.strip() == "10001"
    touched = compose("exec", "-T", "hospital-a", "touch", "/opt/file", check=False)
    assert touched.returncode != 0
    listed = compose("exec", "-T", "hospital-a", "ls", "/data").stdout.split()
    assert listed == ["new.csv", "rows.csv"]


@pytest.mark.usefixtures("federation")
def test_predictions_go_on_without_the_aggregator() -> None:
    """Nothing else is needed for an answer."""
    compose("stop", "--timeout", "5", "aggregator")
    done = compose("exec", "-T", "hospital-b", "edge-node", "predict", "--csv", "/data/new.csv")
    assert done.stdout.startswith("label,")
