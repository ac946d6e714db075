"""Real processes with public landmarks and a site column: one posterior, the pooled file's."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_node.config import (
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    LandmarkKind,
    ModelSpec,
    SiteRefinement,
    Task,
    TimingSpec,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.source import batch_from_rows, open_source
from edge_node.errors import MachineError
from edge_node.model.model import Model
from edge_node.program.simulation import simulate_pooled
from edge_node.serving import client
from tests.support.federation import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SITES = ("bern", "oslo", "pisa")
PUBLIC = "age,clinic\n" + "".join(f"{age},{site}\n" for age in range(20, 80, 4) for site in SITES)
SPEC = FederationSpec(
    name="clinics",
    data=DataSpec(
        task=Task.REGRESSION,
        target="stay",
        columns=(Column(name="age"), Column(name="clinic", kind=ColumnKind.SITE)),
    ),
    model=ModelSpec(
        landmark_kinds=(LandmarkKind.PUBLIC,),
        public_landmarks_sha256=hashlib.sha256(PUBLIC.encode()).hexdigest(),
        depths=(1,),
        metric_repetitions=0,
        site_refinement=SiteRefinement.NONE,
    ),
    timing=TimingSpec(heartbeat=0.2, liveness=5.0, settle=0.5, step=60.0),
    most_told=20.0,  # ninety rows of two numbers may tell next to nothing
    minimum_nodes=3,
)


def write_rows(folder: Path) -> dict[str, Path]:
    """A file per site, without the site column."""
    random = np.random.default_rng(0)
    files = {site: folder / f"{site}.csv" for site in SITES}
    for level, site in enumerate(SITES):
        ages = random.uniform(20, 80, 30)
        rows = [f"{age},{3 * level + np.sin(age / 9) + random.normal() / 5}" for age in ages]
        files[site].write_text("age,stay\n" + "".join(f"{row}\n" for row in rows))
    return files


def learn_pooled(files: dict[str, Path]) -> Model:
    """What one machine learns with all rows, and the sites' parts."""
    public = files["bern"].with_name("public.csv")
    (batch,) = open_source(public, SPEC.data, with_target=False).batches()
    sources = {site: open_source(file, SPEC.data, site=site) for site, file in files.items()}
    return simulate_pooled(SPEC, sources, public=batch)


def test_nodes_with_the_specs_file_reach_the_pooled_posterior(tmp_path: Path) -> None:
    """A node that names none, or another one, doesn't start; each answers as itself."""
    files = write_rows(tmp_path)
    public = tmp_path / "public.csv"
    public.write_text(PUBLIC)
    with Federation(tmp_path / "federation", SPEC, files, threads=1) as federation:
        federation.enrol_all()
        config = NodePaths(federation.node_directory("bern")).config
        run = ("edge_node", "run", "--dir", str(config.parent))
        with pytest.raises(MachineError, match=r"(?s)exit code 3.*`public_landmarks = \"FILE\"`"):
            federation.command(*run)
        for site in SITES:
            file = NodePaths(federation.node_directory(site)).config
            file.write_text(file.read_text().replace('rks = ""', 'rks = "../../public.csv"'))
        public.write_text(PUBLIC + "90,bern\n")
        with pytest.raises(MachineError, match=r"(?s)exit code 4.*expected SHA-256"):
            federation.command(*run)
        public.write_text(PUBLIC)
        federation.start_nodes()
        federation.wait_complete(deadline=60)
        pooled = learn_pooled(files)
        for site in SITES:
            (answer,) = client.predict(federation.node_directory(site), [{"age": 50.0}])
            (row,) = pooled.predict(
                batch_from_rows([{"age": 50.0, "clinic": site}], SPEC.data)
            ).rows()
            assert answer == pytest.approx(row, rel=1e-8)
    assert pooled.provenance.landmark_kind is LandmarkKind.PUBLIC
