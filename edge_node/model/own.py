"""What a site may hold on top of the posterior that all share, and its archive.

It has the site's own rows, so it lies in a file of its own beside the model's, and stays here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_node.inference.classification.posterior import ClassPosterior
from edge_node.inference.classification.sites.graph_refinement import ClassGraphRefinement
from edge_node.inference.classification.sites.refinement import ClassRefinement
from edge_node.inference.likelihoods.posterior import LatentPosterior
from edge_node.inference.regression.graph_refinement import GraphRefinement
from edge_node.inference.regression.posterior import Posterior
from edge_node.inference.regression.refinement import Refinement
from edge_node.model.archive import read_archive, write_archive

__all__ = ["OwnPosterior", "own_path", "read_own", "write_own"]

OwnPosterior: TypeAlias = Refinement | GraphRefinement | ClassRefinement | ClassGraphRefinement

_KINDS: Mapping[str, type[Refinement] | type[GraphRefinement]] = {
    kind.kind: kind for kind in (Refinement, GraphRefinement)
}
"""A regression's, by what its archive says."""

_CLASS_KINDS: Mapping[str, type[ClassRefinement] | type[ClassGraphRefinement]] = {
    kind.kind: kind for kind in (ClassRefinement, ClassGraphRefinement)
}
"""A classification's."""


def own_path(path: Path) -> Path:
    """Where a site's own part of the model at ``path`` lies."""
    return path.with_suffix(f".site{path.suffix}")


def write_own(path: Path, header: bytes, own: OwnPosterior, *, prefers_site: bool) -> None:
    """Replace the site's part, of the model with this header. Raises MachineError."""
    text = np.frombuffer(header, dtype=np.uint8)
    prefers = np.array(prefers_site)
    write_archive(path, {"header": text, "prefers_site": prefers, **own.to_arrays()})


def read_own(
    path: Path, header: bytes, posterior: Posterior | ClassPosterior | LatentPosterior
) -> tuple[OwnPosterior | None, bool]:
    """The site's part, if there is one and it belongs to the model with this header; and whether
    the site prefers it. Raises whatever a damaged file does: see `archive.refusing_damage`.
    """
    if not path.exists():
        return None, False
    arrays = read_archive(path)
    if arrays.pop("header").tobytes() != header:
        return None, False
    prefers = bool(arrays["prefers_site"])
    if isinstance(posterior, ClassPosterior):
        of_classes = _CLASS_KINDS[arrays["kind"].item()]
        return of_classes.from_arrays(arrays, posterior), prefers
    kind = _KINDS[arrays["kind"].item()]
    return kind.from_arrays(arrays, posterior.features), prefers
