"""A site's refinement of the classifier that all share: it takes no sum."""

import numpy as np

from edge_node.config import ModelSpec, SiteRefinement
from edge_node.data.encoding.encoder import EncodedRows
from edge_node.data.sources.rare_classes import ClassRows
from edge_node.inference.classification.deviation import choose_deviation
from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.refinement import BlockModel, ClassRefinement
from edge_node.inference.features.blocks import first_blocks

__all__ = ["refined_classes"]

_JUDGED_ROWS = 300  # of a block that the deviation is chosen by: a fit costs their cube
_MOST_JUDGED = 4  # such blocks


def refined_classes(
    rows: EncodedRows, posterior: ClassPosterior, model: ModelSpec, *, timed: bool = False
) -> tuple[ClassRefinement | None, bool]:
    """A site's refinement of the classifier, and whether the site prefers it.

    None if the spec wants none, or without rows. It is made of all of the site's rows, those of
    rare classes, which took part in no sum, included.

    Args:
        rows: those with which this node took part.
        posterior: the shared one.
        model: how many rows are kept, in blocks of what size.
        timed: whether rows come in the order of time, the latest first.
    """
    if model.site_refinement is SiteRefinement.NONE:
        return None, False
    models = _blocks(rows, posterior, model, model.site_block_rows)
    if not models:
        return None, False
    judged = _blocks(rows, posterior, model, min(_JUDGED_ROWS, model.site_block_rows))
    choice = choose_deviation(judged[:: -(-len(judged) // _MOST_JUDGED)], timed=timed)
    return ClassRefinement.of(models, choice.deviation), choice.prefers_site


def _blocks(
    rows: EncodedRows, posterior: ClassPosterior, model: ModelSpec, size: int
) -> list[BlockModel]:
    """All of the site's rows, in blocks of at most ``size``."""
    told = tuple(range(len(posterior.offsets)))
    if isinstance(rows.source, ClassRows):
        told, rows = rows.source.classes, EncodedRows(rows.source.source, rows.encoder)
    placed = ((posterior.features.place(X), y) for X, y in rows)
    return [
        BlockModel(posterior, block, np.isin(block.targets, told))
        for block in first_blocks(placed, model.site_rows, size)
    ]
