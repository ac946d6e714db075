"""What two Pythons exchange: the sites' rows and how to train on them, and what came out of it.

NumPy's own files, which any version reads. Nothing here needs more than NumPy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Checkpoint", "Job", "Training"]

Arrays: TypeAlias = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class Training:
    """How to train.

    Attributes:
        method: "mlp" (FedAvg) or "xgboost" (FedXgbBagging).
        checkpoints: rounds after which the model answers, ascending; the last one is the last.
        classes: how many; 0: a regression.
        epochs: of a site over its rows in a round; trees have none.
        rate: Adam's, or XGBoost's for the trees of all sites of a round together.
        batch: rows of a step.
        hidden: units of each hidden layer.
        seed: of the first parameters, and of the order of rows.
    """

    method: str
    checkpoints: tuple[int, ...]
    classes: int = 0
    epochs: int = 5
    rate: float = 1e-3
    batch: int = 64
    hidden: tuple[int, ...] = (128, 128)
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """Standardised rows of each site, (n_i, d) and (n_i,), and test rows (n, d), in float32.

    ``asked`` (n,) is the number of the site that each test row is asked of.
    """

    training: Training
    inputs: Arrays
    targets: Arrays
    test: NDArray[Any]
    asked: NDArray[Any]

    @property
    def sites(self) -> int:
        """How many there are."""
        return len(self.inputs)

    def write(self, path: Path) -> None:
        """Into a file."""
        sites = {f"inputs{i}": X for i, X in enumerate(self.inputs)}
        sites |= {f"targets{i}": y for i, y in enumerate(self.targets)}
        how = np.array(json.dumps(asdict(self.training)))
        np.savez(path, training=how, test=self.test, asked=self.asked, **_plain(sites))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a file."""
        with np.load(path) as file:
            how: dict[str, Any] = json.loads(str(file["training"]))
            how |= {name: tuple(value) for name, value in how.items() if isinstance(value, list)}
            sites = sum(name.startswith("inputs") for name in file.files)
            return cls(
                Training(**how),
                tuple(file[f"inputs{i}"] for i in range(sites)),
                tuple(file[f"targets{i}"] for i in range(sites)),
                file["test"],
                file["asked"],
            )


@dataclass(frozen=True)
class Checkpoint:
    """What a model answers after some rounds, and what these have cost.

    Attributes:
        rounds: how many.
        outputs: means (n,) of the test rows in the standardised target's unit, or probabilities
            (n, C).
        own: the same of models that each site trained for another round, and didn't send: each
            test row asked of its site. Empty: there are none.
        residual: the mean squared residual of all rows that were learnt from.
        own_residual: that of the sites' own models.
        received: bytes of the models that a site was sent, serialised.
        sent: bytes of the models that a site sent, serialised.
        cpu_seconds: of all sites' training, without Flower's own.
        seconds: since the first round began.
    """

    rounds: int
    outputs: NDArray[Any]
    own: NDArray[Any]
    residual: float
    own_residual: float
    received: int
    sent: int
    cpu_seconds: float
    seconds: float

    def write(self, path: Path) -> None:
        """Into a file."""
        np.savez(path, **_plain({each.name: getattr(self, each.name) for each in fields(self)}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a file."""
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        return cls(**{name: v if v.ndim else v.item() for name, v in found.items()})


def _plain(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Typed so that none is taken for an option of `numpy.savez`."""
    return dict(arrays)
