"""What a node's ledger is told about its words."""

import numpy as np
import pytest

from edge_node.network.base import Terms
from edge_node.network.tree.contribution import telling_of
from edge_node.security.disclosure.contribution import Telling
from edge_node.step import Content, Step
from tests.support.words import wide_words

VECTOR = np.array([1.0, -2.5, 0.0])


def telling(vector: np.ndarray = VECTOR, content: Content = Content.STATISTICS) -> Telling:
    """Of a vector with a limit."""
    terms: Terms = {"most_numbers": 100}
    return telling_of(Step("s", content), vector, wide_words(vector), terms)


@pytest.mark.parametrize(
    ("content", "numbers"),
    [(Content.COUNTS, 0), (Content.STATISTICS, 3), (Content.PARTITION, 3), (Content.NOISY, 0)],
)
def test_how_many_numbers(content: Content, numbers: int) -> None:
    """Counts tell none, nor does what noise hides."""
    told = telling(content=content)
    assert (told.numbers, told.most) == (numbers, 100)


def test_words_are_known_again() -> None:
    """The same ones, and no others."""
    assert telling().words == telling(VECTOR.copy()).words
    assert telling().words != telling(VECTOR + 1e-9).words
    assert telling().words != telling(VECTOR[:2]).words


def test_zeros_say_nothing_of_rows() -> None:
    """But their totals tell what others give."""
    assert not telling().silent
    silent = telling(np.zeros(3))
    assert silent.silent
    assert silent.numbers == 3
