"""What a node holds when the program has run: encoder, posterior, and where they come from.

A model answers queries by itself, with the aggregator and all peers down. On disk it is one NumPy
archive without pickles, replaced atomically.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from scipy.special import ndtri

from edge_node.config import DataSpec, LandmarkKind, Task
from edge_node.data.encoder import Encoder
from edge_node.data.source import Batch
from edge_node.errors import DataError
from edge_node.inference.arrays import Matrix, Vector
from edge_node.inference.posterior import ClassPosterior, Posterior
from edge_node.security.files import write_atomically

__all__ = ["ClassPredictions", "IntervalPredictions", "Model", "Predictions", "Provenance"]

_FORMAT = 1


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sums a model was made of, and which choices were taken on the way."""

    federation: str
    spec_hash: str  # hexadecimal
    run: int
    cohorts: Mapping[str, tuple[str, ...]]  # by step: whose contributions its total holds
    rows: int
    sweeps: int
    kernel: str  # in a few words
    landmark_kind: LandmarkKind
    landmarks: int
    log_evidence: float
    uncovered_share: float  # mean(k** - phi'phi) / mean k**: what the landmarks don't see
    created: str  # ISO 8601, UTC

    @property
    def cohort(self) -> tuple[str, ...]:
        """The nodes whose rows the posterior was learnt from."""
        return self.cohorts["statistics"]


@dataclass(frozen=True)
class IntervalPredictions:
    """Regression: arrays of shape (n,) in the target's unit.

    ``sd`` is that of a new observation (noise included); ``lower`` and ``upper`` bound it with the
    probability asked for.
    """

    mean: Vector
    sd: Vector
    lower: Vector
    upper: Vector
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row."""
        columns = (self.mean.tolist(), self.sd.tolist(), self.lower.tolist(), self.upper.tolist())
        return [
            {"mean": mean, "sd": sd, "lower": lower, "upper": upper}
            for mean, sd, lower, upper in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class ClassPredictions:
    """Classification: ``probabilities`` (n, C) in the order of ``classes``; rows sum to one."""

    classes: tuple[str, ...]
    probabilities: Matrix
    warnings: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row."""
        return [
            {
                "label": self.classes[int(np.argmax(row))],
                "probabilities": dict(zip(self.classes, row.tolist(), strict=True)),
            }
            for row in self.probabilities
        ]


Predictions: TypeAlias = IntervalPredictions | ClassPredictions


@dataclass(frozen=True)
class Model:
    """Encoder and posterior under one schema, with their provenance."""

    data: DataSpec
    encoder: Encoder
    posterior: Posterior | ClassPosterior
    provenance: Provenance

    def predict(self, batch: Batch, *, level: float = 0.95) -> Predictions:
        """Predict a batch's targets.

        Args:
            batch: raw rows, as `edge_node.data.source` reads them; the target is not looked at.
            level: probability that an interval holds a new observation (regression).

        Raises:
            DataError: ``level`` is not strictly between 0 and 1.
        """
        if not 0 < level < 1:
            raise DataError(
                "not a probability", where="level", expected="0 < level < 1", found=str(level)
            )
        inputs = self.encoder.encode(batch)
        warnings = tuple(self.encoder.warnings_for(batch))
        if isinstance(self.posterior, ClassPosterior):
            return ClassPredictions(
                self.data.classes, self.posterior.predict_proba(inputs), warnings
            )
        mean, variance = self.posterior.predict(inputs)
        deviation = np.sqrt(variance + self.posterior.noise_variance)
        mean, deviation = self.encoder.unscale(mean, deviation)
        half_width = ndtri((1 + level) / 2) * deviation
        return IntervalPredictions(mean, deviation, mean - half_width, mean + half_width, warnings)

    def latent(self, batch: Batch) -> tuple[Matrix, Matrix]:
        """Mean and sd of the latent function at a batch, standardised units: (n, outputs) each."""
        inputs = self.encoder.encode(batch)
        if isinstance(self.posterior, ClassPosterior):
            contrasts, covariance = self.posterior.latent(inputs)
            return contrasts, np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        mean, variance = self.posterior.predict(inputs)
        return mean[:, None], np.sqrt(variance)[:, None]

    def save(self, path: Path) -> None:
        """Write the model to one file, atomically. Raises MachineError."""
        header = {
            "format": _FORMAT,
            "data": msgspec.to_builtins(self.data),
            "encoder": self.encoder.to_dict(),
            "provenance": msgspec.to_builtins(self.provenance),
        }
        buffer = io.BytesIO()
        text = np.frombuffer(msgspec.json.encode(header), dtype=np.uint8)
        arrays: dict[str, Any] = {"header": text, **self.posterior.to_arrays()}
        np.savez(buffer, **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read a model back.

        Raises:
            DataError: there is none, or the file is damaged or of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = msgspec.json.decode(arrays.pop("header").tobytes())
            if header["format"] != _FORMAT:
                raise ValueError(f"format {header['format']}")
            data = msgspec.convert(header["data"], DataSpec)
            kind = ClassPosterior if data.task is Task.CLASSIFICATION else Posterior
            return cls(
                data,
                Encoder.from_dict(header["encoder"]),
                kind.from_arrays(arrays),
                msgspec.convert(header["provenance"], Provenance),
            )
        except FileNotFoundError as error:
            raise DataError(
                "this node holds no posterior yet",
                where=str(path),
                remedy="Run `edge-node run` until `edge-node status` says complete",
            ) from error
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
            raise DataError(
                "the posterior file is damaged or of another version",
                where=str(path),
                expected=f"a model of format {_FORMAT}",
                found=str(error),
                remedy="Delete it; the node learns it again in the next run",
            ) from error
