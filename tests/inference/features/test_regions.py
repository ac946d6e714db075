"""Regions of a site and the rows around them."""

import numpy as np
import pytest

from edge_node.inference.features.regions import Regions
from tests.inference.problems import normal


def test_a_region_takes_its_own_rows_and_those_around() -> None:
    """Each row has one region; no row that is left out is nearer to the centre than one taken."""
    X = normal(0, 3000, 3)
    regions = Regions.of(X)
    assert sorted(np.concatenate(regions.rows)) == list(range(3000))
    for number, own in enumerate(regions.rows):
        assert (regions.of_row[own] == number).all()
        taken = regions.surroundings(number)
        assert len(taken) == len(set(taken)) == 1000
        assert set(own) <= set(taken)
        distances = np.linalg.norm(X - X[own].mean(axis=0), axis=1)
        others = np.setdiff1d(taken, own)
        assert distances[others].max() <= np.delete(distances, taken).min() + 1e-12


@pytest.mark.parametrize("rows", [1, 2, 400])
def test_of_few_rows_it_takes_all(rows: int) -> None:
    """Copies, too."""
    regions = Regions.of(np.zeros((rows, 2)))
    for number in range(len(regions.rows)):
        assert regions.surroundings(number).tolist() == list(range(rows))
