"""Public landmarks: rows that are nobody's, from a file that every node of the federation has.

The spec names the file by the SHA-256 of its bytes, so that all nodes take the same points. It has
the schema's columns; a target is ignored.
"""

import hashlib
from itertools import islice
from pathlib import Path

import numpy as np

from edge_node.config import FederationSpec, NodeConfig
from edge_node.data.sources.source import BATCH_ROWS, Batch, open_source
from edge_node.data.sources.stamp import Stamp
from edge_node.errors import ConfigurationError, DataError

__all__ = ["read_public_landmarks"]


def read_public_landmarks(
    root: Path, config: NodeConfig, spec: FederationSpec, *, where: Path
) -> Batch | None:
    """The file's first rows, as many as the spec asks for; None where it asks for no public ones.

    Args:
        root: what paths in the node file are relative to.
        config: the node file.
        spec: the federation's.
        where: the node file's path, for messages.

    Raises:
        ConfigurationError: the node file names no file.
        DataError: there is no such file, it is another one, or it doesn't fit the schema.
    """
    expected = spec.model.public_landmarks_sha256
    if not expected:
        return None
    if not config.public_landmarks:
        raise ConfigurationError(
            "the federation has public landmarks, and no file is named for them",
            where=str(where),
            expected='`public_landmarks = "FILE"`',
            remedy="Get the file from the federation's operator, and name it in node.toml",
        )
    path = root / config.public_landmarks
    stamp = Stamp.of(path)
    found = _sha256(path)
    if found != expected:
        raise DataError(
            "the file is not the federation's public landmarks",
            where=str(path),
            expected=f"SHA-256 {expected}",
            found=found,
            remedy="Get it again from the federation's operator; no byte may differ",
        )
    batches = open_source(path, spec.data, with_target=False).batches()
    rows = _first(list(islice(batches, -(-spec.landmark_count // BATCH_ROWS))), spec.landmark_count)
    stamp.check(path)
    return rows


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            "the file can't be read", where=str(path), found=str(error), remedy="Check the path"
        ) from error


def _first(batches: list[Batch], count: int) -> Batch:
    return Batch(
        np.concatenate([batch.numeric for batch in batches])[:count],
        np.concatenate([batch.categorical for batch in batches])[:count],
    )
