"""What a device knows before it hears from others: its place, its reading, its own noise.

The noise is drawn once, when a device comes: one number a sample for its regression on its
neighbours, and one for its reading. `spread` says what it is for.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_node.arrays import Matrix, Vector
from edge_node.errors import DataError
from edge_node.inference.numerics.distances import Indices

__all__ = ["Devices"]


@dataclass(frozen=True)
class Devices:
    """Devices in the order in which they came.

    Attributes:
        names: int (n,), ascending; a name is never used again.
        places: (n, 2).
        readings: (n,), NaN: the device doesn't measure, it only asks.
        noise: (n,), the variance of a reading's error, positive.
        draws: (n, 2, S), standard normal: for the regression, and for the reading.

    Raises:
        DataError: shapes differ, names don't ascend, or a number isn't finite.
    """

    names: Indices
    places: Matrix
    readings: Vector
    noise: Vector
    draws: NDArray[np.float64]

    def __post_init__(self) -> None:
        n, shapes = len(self.names), [self.readings.shape, self.noise.shape]
        fits = shapes == [(n,), (n,)] and len(self.places) == n == len(self.draws)
        if not fits or (np.diff(self.names) <= 0).any():
            raise DataError("devices need one place, reading and noise each, by ascending name")
        finite = np.isfinite(self.places).all() and np.isfinite(self.draws).all()
        if not finite or np.isinf(self.readings).any() or not (self.noise > 0).all():
            raise DataError(
                "a device's numbers are wrong",
                expected="finite places, readings (NaN where there is none), and noise above 0",
            )

    @classmethod
    def drawn(
        cls,
        places: Matrix,
        readings: Vector,
        noise: Vector | float,
        *,
        samples: int,
        random: np.random.Generator,
        first: int = 0,
    ) -> Self:
        """New devices, which draw their noise.

        Args:
            places: (n, 2).
            readings: (n,), NaN where there is none.
            noise: (n,), or one for all.
            samples: S.
            random: what they draw from.
            first: the name of the first one.
        """
        n = len(places)
        noises = np.broadcast_to(np.asarray(noise, dtype=np.float64), (n,))
        names = np.arange(first, first + n)
        return cls(names, places, readings, noises, random.normal(size=(n, 2, samples)))

    @property
    def measuring(self) -> NDArray[np.bool_]:
        """Which have a reading (n,)."""
        return ~np.isnan(self.readings)

    def take(self, index: Indices | NDArray[np.bool_]) -> Self:
        """Some of them."""
        return type(self)(
            self.names[index],
            self.places[index],
            self.readings[index],
            self.noise[index],
            self.draws[index],
        )

    def followed(self, by: Self) -> Self:
        """With others, who came later. Raises DataError: they have drawn another number of samples,
        or their names don't follow.
        """
        if by.draws.shape[1:] != self.draws.shape[1:]:
            raise DataError(
                "newcomers have drawn another number of samples",
                expected=str(self.draws.shape[2]),
                found=str(by.draws.shape[2]),
            )
        return type(self)(
            np.concatenate([self.names, by.names]),
            np.concatenate([self.places, by.places]),
            np.concatenate([self.readings, by.readings]),
            np.concatenate([self.noise, by.noise]),
            np.concatenate([self.draws, by.draws]),
        )
