"""A site's refinement of the classifier that all share: it takes no sum."""

import numpy as np

from edge_node.config import ModelSpec, SiteRefinement
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.rare_classes import ClassRows
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.deviation import choose_deviation
from edge_node.inference.classification.sites.graph_refinement import ClassGraphRefinement
from edge_node.inference.classification.sites.refinement import BlockModel, ClassRefinement
from edge_node.inference.classification.sites.site_classes import SiteClasses
from edge_node.inference.features.blocks import Block, first_blocks
from edge_node.inference.messages.propagation.solution import PropagationError
from edge_node.program.posteriors.site_kind import refinement_kind

__all__ = ["refined_classes"]

_JUDGED_ROWS = 300  # of a block that the deviation is chosen by: a fit costs their cube
_MOST_JUDGED = 4  # such blocks


def refined_classes(
    rows: EncodedRows, posterior: ClassPosterior, model: ModelSpec, *, timed: bool = False
) -> tuple[ClassRefinement | ClassGraphRefinement | None, bool]:
    """A site's refinement of the classifier, and whether the site prefers it.

    None without rows, or if the spec wants none or lets a site keep no rows. It is made of all of
    the site's rows, those of rare classes, which took part in no sum, included. Where the spec
    leaves the choice and a graph may be better (`site_kind`), it is a graph, unless its system
    can't be solved.

    Args:
        rows: those with which this node took part.
        posterior: the shared one.
        model: how many rows are kept, in blocks of what size, or joined to how many.
        timed: whether rows come in the order of time, the latest first.

    Raises:
        PropagationError: a graph was asked for, and its system can't be solved.
    """
    count = sum(len(y) for _, y in _own(rows, posterior)[1])
    kind = refinement_kind(count, posterior.features.kernel, model)
    if kind is SiteRefinement.NONE:
        return None, False
    judged = _blocks(rows, posterior, model, min(_JUDGED_ROWS, model.site_block_rows))
    choice = choose_deviation(judged[:: -(-len(judged) // _MOST_JUDGED)], timed=timed)
    if kind is not SiteRefinement.BLOCKS:
        try:
            graph = _by_graph(rows, posterior, choice.deviation, model.site_neighbours)
        except PropagationError:
            if kind is SiteRefinement.GRAPH:
                raise
        else:
            return graph, choice.prefers_site
    models = _blocks(rows, posterior, model, model.site_block_rows)
    return ClassRefinement.of(models, choice.deviation), choice.prefers_site


def _by_graph(
    rows: EncodedRows, posterior: ClassPosterior, deviation: float, neighbours: int
) -> ClassGraphRefinement:
    """Of all of the site's rows."""
    told, own = _own(rows, posterior)
    X, y = (np.concatenate(parts) for parts in zip(*own, strict=True))
    block = Block(posterior.features.place(X), y).shuffled()
    site = SiteClasses(posterior, block, np.isin(block.targets, told))
    return ClassGraphRefinement.of(site, deviation, neighbours)


def _blocks(
    rows: EncodedRows, posterior: ClassPosterior, model: ModelSpec, size: int
) -> list[BlockModel]:
    """The rows that the site keeps, in blocks of at most ``size``."""
    told, own = _own(rows, posterior)
    placed = ((posterior.features.place(X), y) for X, y in own)
    return [
        BlockModel(posterior, block, np.isin(block.targets, told))
        for block in first_blocks(placed, model.site_rows, size)
    ]


def _own(rows: EncodedRows, posterior: ClassPosterior) -> tuple[tuple[int, ...], EncodedRows]:
    """The classes that the site told of, and its rows of all classes."""
    if isinstance(rows.source, ClassRows):
        return rows.source.classes, EncodedRows(rows.source.source, rows.encoder)
    return tuple(range(len(posterior.offsets))), rows
