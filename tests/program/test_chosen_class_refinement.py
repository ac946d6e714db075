"""Which refinement a site makes of a classifier, and that a graph takes part as blocks do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_node.config import ModelSpec, SiteRefinement, Task, Which
from edge_node.errors import DataError
from edge_node.inference.classification.sites.graph_refinement import ClassGraphRefinement
from edge_node.inference.classification.sites.refinement import ClassRefinement
from edge_node.inference.messages.propagation.solution import Cause, PropagationError
from edge_node.model.model import Model
from edge_node.program.posteriors import class_refinement
from edge_node.program.posteriors.class_refinement import refined_classes
from tests.inference.classification.test_class_refinement import shared, sites_that_differ
from tests.program.test_program import learn, part, rows_for, spec_for

Made = ClassRefinement | ClassGraphRefinement | None


class Rows:
    """A site's rows, encoded."""

    source = None

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self.chunks = [(X[:80], y[:80]), (X[80:], y[80:])]

    def __iter__(self):
        return iter(self.chunks)


def made(kind: SiteRefinement, **sizes: int) -> Made:
    """Of a site of 150 rows that differs from another one."""
    train, _ = sites_that_differ(by=1.5)
    model = ModelSpec(site_refinement=kind, **sizes)
    return refined_classes(Rows(*train[0]), shared(train, 2), model)[0]  # type: ignore[arg-type]


def test_what_the_spec_names_is_made() -> None:
    """Or nothing; a graph holds all rows, blocks those that they may keep."""
    assert made(SiteRefinement.NONE) is None
    blocks = made(SiteRefinement.BLOCKS, site_rows=100, site_block_rows=50)
    graph = made(SiteRefinement.GRAPH, site_rows=100, site_neighbours=7)
    assert isinstance(blocks, ClassRefinement)
    assert isinstance(graph, ClassGraphRefinement)
    assert sum(len(each.told) for each in blocks.models) == 100
    assert len(graph.model.told) == 150
    assert graph.neighbours == 7


def test_a_graph_is_taken_where_no_block_holds_the_whole_site() -> None:
    """If the spec leaves the choice."""
    whole = made(SiteRefinement.AUTO, site_block_rows=150)
    assert isinstance(whole, ClassRefinement)
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=149), ClassGraphRefinement)
    assert isinstance(made(SiteRefinement.AUTO, site_rows=149), ClassGraphRefinement)


def test_where_it_has_no_answer_blocks_are_taken_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then its error is told."""

    def refuse(*_: object) -> None:
        raise PropagationError(Cause.NOT_CONVERGED, "no answer")

    monkeypatch.setattr(class_refinement.ClassGraphRefinement, "of", refuse)
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=60), ClassRefinement)
    with pytest.raises(PropagationError, match="no answer"):
        made(SiteRefinement.GRAPH)


def test_a_site_of_many_rows_isnt_joined_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to keep them all; asked, it does."""
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=60), ClassGraphRefinement)
    monkeypatch.setattr("edge_node.program.posteriors.site_kind._MOST_JOINED", 149)
    assert isinstance(made(SiteRefinement.AUTO, site_block_rows=60), ClassRefinement)
    assert isinstance(made(SiteRefinement.GRAPH), ClassGraphRefinement)


def test_where_no_rows_are_to_be_kept_a_graph_keeps_none() -> None:
    """Asked or unasked; one row is enough for one."""
    for kind in (SiteRefinement.AUTO, SiteRefinement.GRAPH):
        assert made(kind, site_rows=0) is None
        assert isinstance(made(kind, site_rows=1, site_block_rows=1), ClassGraphRefinement)


def test_a_graph_leaves_what_all_share_as_it_is(tmp_path: Path) -> None:
    """The same shared answers to the bit as without; sites answer alike from disk, and a damaged
    file is refused.
    """
    answers = []
    for kind in (SiteRefinement.GRAPH, SiteRefinement.NONE):
        spec = spec_for(Task.CLASSIFICATION, landmarks=8, site_refinement=kind, site_neighbours=5)
        batch = rows_for(spec, 120, 5)
        parts = [part(batch, rows) for rows in np.array_split(np.arange(120), 3)]
        model = next(iter(learn(spec, parts).values()))
        answers.append(model.predict(batch, which=Which.GLOBAL).probabilities)  # type: ignore[union-attr]
        if kind is SiteRefinement.GRAPH:
            joined = model
    np.testing.assert_array_equal(*answers)
    assert isinstance(joined.refinement, ClassGraphRefinement)
    joined.save(tmp_path / "model.npz")
    again = Model.load(tmp_path / "model.npz")
    assert isinstance(again.refinement, ClassGraphRefinement)
    own = [each.predict(batch, which=Which.SITE).probabilities for each in (joined, again)]  # type: ignore[union-attr]
    np.testing.assert_array_equal(*own)
    assert np.abs(own[0] - answers[0]).max() > 1e-3
    damaged = replace(joined.refinement, neighbours=0)
    replace(joined, refinement=damaged).save(tmp_path / "model.npz")
    with pytest.raises(DataError):
        Model.load(tmp_path / "model.npz")
