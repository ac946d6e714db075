"""Small federations of real processes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from edge_node.config import FederationSpec, LandmarkKind, ModelSpec, TimingSpec
from edge_node.demo.data.datasets import Dataset, breast_cancer
from edge_node.demo.data.sites import Site, split, write_sites
from edge_node.demo.federation import LocalFederation

Start = Callable[..., LocalFederation]

QUICK = TimingSpec(heartbeat=0.2, liveness=3.0, settle=0.5, step=60.0)


@pytest.fixture(scope="session")
def biopsies() -> Dataset:
    """569 rows, 30 numeric inputs, two classes."""
    return breast_cancer()


@pytest.fixture(scope="session")
def sites(biopsies: Dataset) -> list[Site]:
    """Five hospitals, each with its own kind of patient."""
    return split(biopsies, "clustered", 5)


@pytest.fixture
def make_federation(
    tmp_path: Path, biopsies: Dataset, sites: list[Site]
) -> Iterator[Callable[..., LocalFederation]]:
    """Makes federations that end with the test: ``make_federation(landmarks=40)``."""
    with ExitStack() as stack:

        def make(
            timing: TimingSpec = QUICK,
            *,
            minimum_nodes: int = len(sites),
            policies: Mapping[str, Sequence[str]] | None = None,
            **model: object,
        ) -> LocalFederation:
            settings = {"landmarks": 40, "depths": (1,), "landmark_kinds": (LandmarkKind.KMEANS,)}
            spec = FederationSpec(
                name="biopsies",
                data=biopsies.data,
                model=ModelSpec(**(settings | model)),
                timing=timing,
                minimum_nodes=minimum_nodes,
            )
            files = write_sites(sites, tmp_path)
            federation = LocalFederation(
                tmp_path / "federation", spec, files, threads=1, policies=policies
            )
            return stack.enter_context(federation)

        yield make


def pooled_file(sites: list[Site], path: Path) -> Path:
    """The training rows of some sites in one file."""
    pyarrow.csv.write_csv(pa.concat_tables([site.train for site in sites]), path)
    return path
