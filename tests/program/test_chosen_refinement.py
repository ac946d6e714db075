"""Which refinement a site makes, and that a graph takes part as blocks do."""

from pathlib import Path

import numpy as np
import pytest

from edge_node.config import Activation, ModelSpec, SiteRefinement, Task, Which
from edge_node.errors import DataError
from edge_node.inference.kernels.convolutional import ConvolutionalKernel
from edge_node.inference.regression.conditional import ConditionalStatistics, local_conditional
from edge_node.inference.regression.graph_refinement import GraphRefinement
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.model import Model
from edge_node.program.posteriors.regression import refined
from edge_node.program.posteriors.site_kind import refinement_kind
from tests.inference.problems import features_on, normal, regression
from tests.program.test_program import learn, part, rows_for, spec_for

FEATURES = features_on(normal(0, 12, 3))
X, Y = regression(1, rows=120, noise=0.05)
ROWS = [(X[:80], Y[:80])]
PIXELS = ConvolutionalKernel((2, 2, 1), Activation.RELU, 1, 2.0, 0.0)


def shared() -> tuple[Posterior, ConditionalStatistics]:
    """The global posterior, and its total."""
    (total,) = local_conditional([(X, Y)], FEATURES, [0.1])
    return Posterior.of(total.message, FEATURES, total.evidence(0.1)), total


def made(kind: SiteRefinement, **sizes: int) -> Refinement | GraphRefinement | None:
    """Of a site of eighty rows."""
    return refined(ROWS, *shared(), ModelSpec(site_refinement=kind, **sizes))


def test_what_the_spec_names_is_made() -> None:
    """Or nothing; without rows neither."""
    assert made(SiteRefinement.NONE) is None
    assert isinstance(made(SiteRefinement.BLOCKS), Refinement)
    assert isinstance(made(SiteRefinement.GRAPH), GraphRefinement)
    for kind in SiteRefinement:
        assert refined([], *shared(), ModelSpec(site_refinement=kind)) is None


def test_where_no_rows_are_to_be_kept_a_graph_keeps_none() -> None:
    """Asked or unasked; one row is enough for one."""
    for kind in (SiteRefinement.AUTO, SiteRefinement.GRAPH):
        assert made(kind, site_rows=0) is None
        assert made(kind, site_rows=1, site_block_rows=1) is not None


def test_where_a_block_holds_the_whole_site_blocks_are_taken() -> None:
    """A graph could only come close to it."""
    neighbours = {"site_neighbours": 60}
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=80, **neighbours), Refinement)
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=10, **neighbours), GraphRefinement)


def test_otherwise_the_evidence_chooses() -> None:
    """A graph with many neighbours beats blocks of ten rows, and one neighbour loses to forty."""
    for sizes, best in (
        ({"site_block_rows": 10, "site_neighbours": 60}, GraphRefinement),
        ({"site_block_rows": 40, "site_neighbours": 1}, Refinement),
    ):
        found = [made(kind, **sizes) for kind in (SiteRefinement.BLOCKS, SiteRefinement.GRAPH)]
        chosen = made(SiteRefinement.AUTO, **sizes)
        assert isinstance(chosen, best)
        evidences = [each.posterior.log_evidence for each in found if each is not None]
        assert chosen.posterior.log_evidence == max(evidences)
        assert len(set(evidences)) == 2


def test_a_site_of_many_rows_isnt_joined_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to keep them all; asked, it does."""
    sizes = {"site_block_rows": 10, "site_neighbours": 60}
    assert isinstance(made(SiteRefinement.AUTO, **sizes), GraphRefinement)
    monkeypatch.setattr("edge_node.program.posteriors.site_kind._MOST_JOINED", 79)
    assert isinstance(made(SiteRefinement.AUTO, **sizes), Refinement)
    assert isinstance(made(SiteRefinement.GRAPH, **sizes), GraphRefinement)


def test_images_arent_joined_unasked() -> None:
    """Each pair of rows costs what a layer of pixels does."""
    sizes = ModelSpec(site_block_rows=10)
    assert refinement_kind(80, FEATURES.kernel, sizes) is SiteRefinement.AUTO
    assert refinement_kind(80, PIXELS, sizes) is SiteRefinement.BLOCKS
    asked = ModelSpec(site_block_rows=10, site_refinement=SiteRefinement.GRAPH)
    assert refinement_kind(80, PIXELS, asked) is SiteRefinement.GRAPH


def test_a_graph_leaves_what_all_share_as_it_is(tmp_path: Path) -> None:
    """The same sums and shared answers to the bit as without; sites answer alike from disk."""
    answers = []
    for kind in (SiteRefinement.GRAPH, SiteRefinement.NONE):
        spec = spec_for(Task.REGRESSION, landmarks=8, site_refinement=kind, site_neighbours=5)
        batch = rows_for(spec, 120, 5)
        parts = [part(batch, rows) for rows in np.array_split(np.arange(120), 3)]
        model = next(iter(learn(spec, parts).values()))
        answers.append(model.predict(batch, which=Which.GLOBAL))
        if kind is SiteRefinement.GRAPH:
            assert isinstance(model.refinement, GraphRefinement)
            model.save(tmp_path / "model.npz")
            again = Model.load(tmp_path / "model.npz")
            own = [each.predict(batch, which=Which.SITE) for each in (model, again)]
            np.testing.assert_array_equal(own[0].mean, own[1].mean)
            assert not np.array_equal(own[0].mean, answers[0].mean)
    np.testing.assert_array_equal(answers[0].mean, answers[1].mean)
    np.testing.assert_array_equal(answers[0].sd, answers[1].sd)


@pytest.mark.parametrize("damage", ["kind", "neighbours", "inputs"])
def test_a_damaged_graph_is_refused(damage: str, tmp_path: Path) -> None:
    """By what is wrong in the site's archive."""
    spec = spec_for(Task.REGRESSION, landmarks=8, site_refinement=SiteRefinement.GRAPH)
    batch = rows_for(spec, 60, 5)
    parts = [part(batch, rows) for rows in np.array_split(np.arange(60), 3)]
    next(iter(learn(spec, parts).values())).save(tmp_path / "model.npz")
    site = tmp_path / "model.site.npz"
    with np.load(site) as archive:
        arrays = dict(archive)
    wrong = {"kind": np.array("tree"), "neighbours": np.array(0), "inputs": arrays["inputs"][1:]}
    np.savez(site, **(arrays | {damage: wrong[damage]}))
    with pytest.raises(DataError, match=r"model.site.npz.*damaged"):
        Model.load(tmp_path / "model.npz")
