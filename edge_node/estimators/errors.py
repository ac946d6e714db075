"""The program's errors as users of scikit-learn know them: ValueErrors that speak of parameters.

The program speaks to operators of a federation, who have a spec and wait for other sites. A user of
an estimator has parameters and arrays. So errors are translated here, and nowhere else: each
becomes a ValueError too, and what it says of a spec is said of parameters.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from edge_node.errors import (
    CohortRefusedError,
    ConfigurationError,
    DataError,
    NumericalError,
    TangentMeshError,
)

__all__ = [
    "FitError",
    "InputError",
    "ParameterError",
    "RefusedRowsError",
    "in_users_words",
    "translated",
]


class InputError(DataError, ValueError):
    """X, y, ``sites`` or ``sample_weight`` can't be used."""


class ParameterError(ConfigurationError, ValueError):
    """A parameter is wrong."""


class RefusedRowsError(CohortRefusedError, ValueError):
    """The sites' rows may tell too little for a model."""


class FitError(NumericalError, ValueError):
    """The model can't be computed from these numbers."""


_KINDS: dict[type[TangentMeshError], type[TangentMeshError]] = {
    ConfigurationError: ParameterError,
    CohortRefusedError: RefusedRowsError,
    DataError: InputError,
    NumericalError: FitError,
}

_WORDS = (
    (r"Correct the spec\b", "Correct the parameter"),
    (r"List the column's `categories` in the federation spec, or leave", "Leave"),
    (r", or list the column's `categories` in the federation spec", ""),
    (r"Wait for more rows or more sites", "Give more rows, or more sites"),
    (r"Wait for more", "Give more"),
    (r"`public` landmarks need .*", "`landmark_kinds`: an estimator has no public ones"),
    (r"`(?:model|data)\.", "`"),
    (r"\b(?:over|in) the whole federation\b", "in all rows"),
    (r"\b[Tt]he federation's spec\b", "the parameters"),
    (r"\b[Tt]he federation spec\b", "the parameters"),
    (r"\b[Tt]he spec's\b", "the parameters'"),
    (r"\b[Tt]he spec\b", "the parameters"),
    (r"\bthe federation's rows\b", "the sites' rows"),
    (r"\bthe federation's\b", "the"),
    (r"\bin the federation\b", "in all"),
    (r"\b(this|some) node\b", r"\1 site"),
    (r"\blets members solve for rows\b", "lets sites solve for others' rows"),
    (r"\bthe federation\b", "all sites"),
)


def in_users_words(text: str) -> str:
    """What the program says, in the words of somebody who has parameters and no spec."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


@contextmanager
def translated() -> Iterator[None]:
    """Raise what a user's arguments can cause as a ValueError, in the user's words.

    Other errors, and those that are ValueErrors already, pass as they are.
    """
    try:
        yield
    except tuple(_KINDS) as error:
        if isinstance(error, ValueError):
            raise
        kind = next(_KINDS[each] for each in _KINDS if isinstance(error, each))
        raise kind(
            in_users_words(error.problem),
            where=in_users_words(error.where),
            expected=in_users_words(error.expected),
            found=in_users_words(error.found),
            remedy=in_users_words(error.remedy),
        ) from error
