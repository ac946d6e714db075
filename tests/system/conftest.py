"""Small federations of real processes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_node.config import (
    SAFE_MOST_TOLD,
    FederationSpec,
    LandmarkKind,
    ModelSpec,
    SitePolicy,
    TimingSpec,
)
from edge_node.demo.data.datasets import Dataset, breast_cancer
from edge_node.demo.data.sites import Site, split, write_sites
from tests.support.federation import Federation

Make = Callable[..., Federation]

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
def make_federation(tmp_path: Path, biopsies: Dataset, sites: list[Site]) -> Iterator[Make]:
    """Makes federations that end with the test: ``make_federation(nodes=3, landmarks=150)``.

    They have the first so many of ``sites``, and a model that is small, but for what is asked.
    """
    with ExitStack() as stack:

        def make(
            timing: TimingSpec = QUICK,
            *,
            nodes: int,
            minimum_nodes: int | None = None,
            policies: Mapping[str, SitePolicy] | None = None,
            most_told: float = SAFE_MOST_TOLD,
            **model: object,
        ) -> Federation:
            settings = {"landmarks": 40, "depths": (1,), "landmark_kinds": (LandmarkKind.KMEANS,)}
            spec = FederationSpec(
                name="biopsies",
                data=biopsies.data,
                model=ModelSpec(**(settings | model)),
                timing=timing,
                minimum_nodes=minimum_nodes or nodes,
                most_told=most_told,
            )
            files = write_sites(sites[:nodes], tmp_path)
            federation = Federation(
                tmp_path / "federation", spec, files, threads=1, policies=policies
            )
            return stack.enter_context(federation)

        yield make
