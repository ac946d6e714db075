"""Public landmarks are the spec's file or nothing; what is wrong is named, and doctor says it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_node.config import (
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    ModelSpec,
    NodeConfig,
    Task,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.source import Batch
from edge_node.demo.federation import write_spec
from edge_node.errors import ConfigurationError, DataError
from edge_node.node.doctor import examine

TEXT = "age,ward\n30,north\n,south\n50,\n60,north\n"


def spec_of(text: str, landmarks: int = 3) -> FederationSpec:
    """A federation whose public landmarks are this file."""
    columns = (Column(name="age"), Column(name="ward", kind=ColumnKind.CATEGORICAL))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return FederationSpec(
        name="clinics",
        data=DataSpec(task=Task.REGRESSION, target="stay", columns=columns),
        model=ModelSpec(landmarks=landmarks, public_landmarks_sha256=digest),
    )


def read(folder: Path, spec: FederationSpec, file: str = "public.csv") -> Batch | None:
    """The landmarks of a node whose directory is ``folder``."""
    config = NodeConfig(name="clinic-a", data="rows.csv", public_landmarks=file)
    return read_public_landmarks(folder, config, spec, where=folder / "node.toml")


@pytest.mark.parametrize("landmarks", [3, 10])
def test_the_first_rows_are_the_landmarks(tmp_path: Path, landmarks: int) -> None:
    """As many as the spec asks for; cells may be missing, and the target may be there or not."""
    with_target = "stay," + TEXT.replace("\n", "\n1,").removesuffix("1,")
    for text in (TEXT, with_target):
        (tmp_path / "public.csv").write_text(text)
        rows = read(tmp_path, spec_of(text, landmarks))
        assert rows is not None
        assert rows.target is None
        count = min(landmarks, 4)
        np.testing.assert_array_equal(rows.numeric[:, 0], [30, np.nan, 50, 60][:count])
        assert rows.categorical[:, 0].tolist() == ["north", "south", None, "north"][:count]


def test_a_spec_without_public_landmarks_needs_no_file(tmp_path: Path) -> None:
    """Whatever node.toml names."""
    spec = FederationSpec(name="clinics", data=spec_of("").data)
    assert read(tmp_path, spec, "") is None
    assert read(tmp_path, spec, "gone.csv") is None


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    """No key, no file, another file, a file that doesn't fit: exit codes 3, 4, 4, 4."""
    file = tmp_path / "public.csv"
    with pytest.raises(ConfigurationError, match=r"node.toml.*public_landmarks = \"FILE\""):
        read(tmp_path, spec_of(TEXT), "")
    with pytest.raises(DataError, match=f"{file}: the file can't be read"):
        read(tmp_path, spec_of(TEXT))
    file.write_text(TEXT.replace("60", "61"))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    expected = hashlib.sha256(TEXT.encode()).hexdigest()
    with pytest.raises(DataError, match=f"expected SHA-256 {expected}, found {found}"):
        read(tmp_path, spec_of(TEXT))
    other = TEXT.replace("age", "years")
    file.write_text(other)
    with pytest.raises(DataError, match="column 'age' is missing"):
        read(tmp_path, spec_of(other))


def test_doctor_looks_at_the_file(tmp_path: Path) -> None:
    """Right, wrong, and none in the spec."""
    paths = NodePaths(tmp_path)
    paths.config.write_text('name = "clinic-a"\ndata = "r.csv"\npublic_landmarks = "public.csv"\n')

    def finding() -> tuple[str, int]:
        (found,) = [each for each in examine(paths) if each.check == "public landmarks"]
        return found.text, found.exit_code

    (tmp_path / "public.csv").write_text(TEXT)
    write_spec(spec_of(TEXT), paths.spec)
    assert finding() == ("3 rows of the spec's file", 0)
    (tmp_path / "public.csv").write_text(TEXT + "70,north\n")
    text, code = finding()
    assert (code, "SHA-256" in text) == (4, True)
    write_spec(FederationSpec(name="clinics", data=spec_of("").data), paths.spec)
    assert finding() == ("none in the spec", 0)
