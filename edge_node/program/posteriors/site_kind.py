"""Which refinement a site makes: the one that the spec names, or what fits its rows."""

from edge_node.config import ModelSpec, SiteRefinement
from edge_node.inference.kernels.kernel import Kernel

__all__ = ["refinement_kind"]

_MOST_JOINED = 100_000
"""Rows of a site up to which a graph is made unasked: a row takes some milliseconds, and a
classifier's as many numbers as there are features."""


def refinement_kind(count: int, kernel: Kernel, model: ModelSpec) -> SiteRefinement:
    """What a site makes. AUTO is left only where a graph may be better than blocks.

    Where one block holds the whole site, a graph could only come close to it. It isn't made
    unasked of many rows, of which it has to keep all; nor of images, whose pairs take too long. A
    site without rows, or one that may keep none, makes nothing.

    Args:
        count: the site's rows.
        kernel: of the shared features.
        model: what the spec wants, and how many rows are kept, in blocks of what size.
    """
    if not count or not model.site_rows:
        return SiteRefinement.NONE
    whole = count <= min(model.site_block_rows, model.site_rows)
    joinable = kernel.differentiable and count <= _MOST_JOINED
    if model.site_refinement is SiteRefinement.AUTO and (whole or not joinable):
        return SiteRefinement.BLOCKS
    return model.site_refinement
