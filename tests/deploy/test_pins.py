"""What is installed is pinned, hash-checked, and the same everywhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ["requirements.txt", "requirements-runtime.txt", "requirements-build.txt"]


def pins(name: str) -> dict[str, str]:
    """The version, marker and hashes of each package."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {line.split("==")[0]: line for line in lines}


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_a_version_and_hashes(name: str) -> None:
    """And no line says where it comes from."""
    for line in pins(name).values():
        assert re.match(r"[a-z0-9-]+==\S+ ", line), line
        assert "--hash=sha256:" in line
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", FILES[1:])
def test_a_part_is_pinned_as_the_whole(name: str) -> None:
    """What an image runs, and what builds it, is what is tested here."""
    whole = pins(FILES[0])
    assert pins(name).items() <= whole.items()


def test_the_build_backend_is_among_them() -> None:
    """Whatever builds the wheel was checked like everything else."""
    assert "hatchling" in pins("requirements-build.txt")
    install = re.findall(r"pip\S*(?: --python \S+)? install[^&]*", dockerfile())
    assert len(install) == 3
    for command in install:
        assert "--require-hashes" in command or "--no-index" in command


def test_wheels_are_for_the_images_python() -> None:
    """`make wheels` fetches for the Python of the image, not for that of .venv."""
    makefile = (ROOT / "Makefile").read_text()
    (version,) = re.findall(r"^IMAGE_PYTHON := (\S+)$", makefile, re.MULTILINE)
    assert f"ARG BASE_IMAGE=python:{version}-" in dockerfile()
    assert "--python-version $(IMAGE_PYTHON)" in makefile


def dockerfile() -> str:
    """Its text, each instruction on one line."""
    return (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
