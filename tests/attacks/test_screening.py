"""Sums that find inputs which matter are sums over groups: of rows that have a value, of a class.

A class's rows with a value in a column may be one, and its sum is that value. If its rows with a
value that isn't the usual one are one, their products are that row. The control has no floors.
"""

from collections.abc import Callable

import numpy as np
import pytest

from edge_node.arrays import Matrix, Vector
from edge_node.config import Column, DataSpec, FederationSpec, ModelSpec, Task
from edge_node.data.sources.source import Batch, MemorySource
from edge_node.inference.features.screening import Screening
from edge_node.network.memory import MemoryFederation
from edge_node.packing import Layout, Symmetric
from edge_node.program.encoding import Encoding, agree_encoding
from edge_node.program.features.screening import Screened
from edge_node.program.simulation import completed
from tests.attacks.test_small_groups import LOCAL, floors_of

INPUTS, ROWS = 12, 200
SCREENING = Screening(INPUTS, targets=1, squared=False, pairs=True)
SINGLE = (2, 1, 1, INPUTS)
LAYOUT = Layout(
    {
        "sums": SINGLE,
        "squares": SINGLE,
        "products": Symmetric(INPUTS, 1),
        "fourth": (INPUTS,),
        "powers": (1,),
    }
)


def problem() -> tuple[FederationSpec, Matrix, Vector]:
    """Of class b, one row has a value in the last column; of class a, all have."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(ROWS, INPUTS)), np.repeat([0.0, 1.0], ROWS // 2)
    X[ROWS // 2 + 1 :, -1] = np.nan
    data = DataSpec(
        task=Task.CLASSIFICATION,
        target="y",
        columns=tuple(Column(name=f"x{i}") for i in range(INPUTS)),
        classes=("a", "b"),
    )
    return FederationSpec(name="screened", data=data, model=ModelSpec()), X, y


def screened(
    local: bool, problem: Callable[[], tuple[FederationSpec, Matrix, Vector]] = problem
) -> tuple[Screened, Vector]:
    """The site's rows as they are screened, and its sums."""
    spec, X, y = problem()
    source = MemorySource((Batch(X, np.empty((ROWS, 0), dtype=object), y),))
    floors = floors_of(spec, local)

    async def agreed(network: MemoryFederation) -> Encoding:
        return (await agree_encoding(network, source, spec.data, fewest=floors.category))[1]

    encoding = completed(MemoryFederation(["one"]).run(agreed))["one"]
    encoding = Encoding(
        encoding.encoder, encoding.covariance, encoding.given, (0,) * INPUTS
    )  # a column with many gaps would not be looked at at all
    rows = Screened(source, spec.data, encoding, floors.category)
    return rows, SCREENING.local(rows, rows.enough)


@pytest.mark.parametrize(("local", "told"), [(LOCAL, False), (not LOCAL, True)])
def test_the_only_value_of_a_class_is_not_told(local: bool, told: bool) -> None:
    """Its sum over the class follows from those of all rows, which the encoding tells."""
    rows, sums = screened(local)
    _, X, _ = problem()
    numbers = rows.encoder.numeric[-1]
    secret = (X[ROWS // 2, -1] - numbers.location) / numbers.scale
    z = np.nan_to_num((X[:, -1] - numbers.location) / numbers.scale)
    found = sums[INPUTS - 1] + 0.5 * z.sum()  # of z (1[b] - 1/2), over all rows
    assert np.isclose(found, secret, atol=1e-6) == told
    assert rows.given[:-1].all()


USUAL, OTHER = ROWS // 2 + 5, 7  # a row of class b, and one of class a


def unusual() -> tuple[FederationSpec, Matrix, Vector]:
    """Of class b, all but one row have no drink; of all rows, one has a drink and smokes."""
    spec, X, y = problem()
    random = np.random.default_rng(1)
    X[:, -1] = np.where(random.random(ROWS) < 0.5, 0.0, random.uniform(1, 3, ROWS))
    X[y == 1, -1], X[USUAL, -1] = 0.0, 2.0
    return spec, X, y


@pytest.mark.parametrize(("local", "told"), [(LOCAL, False), (not LOCAL, True)])
def test_the_only_unusual_row_of_a_class_is_not_told(local: bool, told: bool) -> None:
    """All its numbers follow from its class's products with the column in which it is unusual.

    Products and sums over all rows are what the encoding tells.
    """
    rows, sums = screened(local, unusual)
    Z, target = (np.concatenate(each) for each in zip(*rows, strict=True))
    Z = np.nan_to_num(Z)
    parts = LAYOUT.unpack(sums)
    share, of_class = -target.min(), target[:, 0] > 0
    products = parts["products"][0, -1] + share * Z[:, -1] @ Z
    of_one = parts["sums"][0, 0, 0] + share * Z.sum(axis=0)
    number = rows.encoder.numeric[-1]
    usual = -number.location / number.scale
    away = of_one[-1] - usual * of_class.sum()
    row = (products - usual * of_one) / away
    assert np.allclose(row[:-1], Z[USUAL, :-1], atol=1e-6) == told
    assert rows.given[:-1].all()


def unusual_twice() -> tuple[FederationSpec, Matrix, Vector]:
    """Two columns are mostly zero, and one row is otherwise in both."""
    spec, X, y = problem()
    random = np.random.default_rng(2)
    for column, first in ((-1, 0), (-2, 20)):
        rows = np.r_[first : first + 20, 100 + first : 120 + first, OTHER]
        X[:, column] = 0.0
        X[rows, column] = random.uniform(1, 3, len(rows))
    return spec, X, y


def test_of_two_columns_in_which_one_row_is_unusual_there_is_no_product() -> None:
    """It would be the row's target, times what the encoding tells."""
    rows, _ = screened(LOCAL, unusual_twice)
    assert rows.given.all()
    assert not rows.enough[-1, -2]
    assert rows.enough[-1, :-2].all()
    assert screened(not LOCAL, unusual_twice)[0].enough[-1, -2]


def test_products_over_a_small_class_are_not_given() -> None:
    """As those of a panel (`test_panels`): b has fewer rows than twice the columns, in one pair."""
    rows, _ = screened(LOCAL)
    assert rows.enough[:-1, :-1].all()
    assert not rows.enough[-1].any()
    assert screened(not LOCAL)[0].enough[-1].any()


def test_a_census_says_which_columns_are_not_looked_at() -> None:
    """Those that a site calls hardly unknown: of few values, mostly missing, linear in others."""
    spec, X, y = problem()
    X[:, 3] = X[:, 3] > 0
    source = MemorySource((Batch(X, np.empty((ROWS, 0), dtype=object), y),))

    async def agreed(network: MemoryFederation) -> Encoding:
        return (await agree_encoding(network, source, spec.data, fewest=5))[1]

    encoding = completed(MemoryFederation(["one"]).run(agreed))["one"]
    rows = Screened(source, spec.data, encoding, 5)
    assert set(range(INPUTS)) - set(rows.looked_at) == {3, INPUTS - 1}
