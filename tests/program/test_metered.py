"""What a run has told is counted, and more than rows may tell is refused before it is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from edge_node.errors import CohortRefusedError
from edge_node.network.base import Network, Terms
from edge_node.network.memory import MemoryFederation
from edge_node.program.plan.metered import MeteredNetwork
from edge_node.security.disclosure.allowance import Allowance
from edge_node.step import Content, Step
from tests.support.networks import Watched

ALLOWANCE = Allowance(rows=30, columns=4, most_told=0.5, told=10)  # 50 more, 10 features


def run(program: Callable[[Network], Awaitable[Any]], **federation: Any) -> dict[str, Any]:
    """At nodes a, b and c."""
    return asyncio.run(MemoryFederation("abc", **federation).run(program))


async def told(network: Network, step: str, numbers: int, **terms: Any) -> None:
    """One sum."""
    await network.sum(Step(step), np.ones(numbers), **terms)


def test_numbers_are_counted() -> None:
    """Those of statistics; counts tell none."""

    async def program(network: Network) -> None:
        metered = MeteredNetwork(network, ALLOWANCE)
        await metered.sum(Step("counts", Content.COUNTS), np.ones(1000))
        await told(metered, "means", 20)
        assert metered.left == 30
        await metered.sum(Step("kmeans/0/sums", Content.PARTITION), np.ones(30))
        assert metered.left == 0
        assert dict(metered.bill) == {
            Step("counts"): 0,
            Step("means"): 20,
            Step("kmeans/0/sums"): 30,
        }

    run(program)


def test_one_number_too_many() -> None:
    """It is refused at every node, and nobody has sent anything."""
    totals: dict[str, Any] = {}

    async def program(network: Network) -> None:
        metered = MeteredNetwork(Watched(network, totals), ALLOWANCE)
        with pytest.raises(CohortRefusedError, match=r"at most 50 more, 0\.5 per cell"):
            await told(metered, "too many", 51)
        await told(metered, "enough", 50)

    run(program)
    assert list(totals) == ["enough"]


def test_one_feature_too_many() -> None:
    """Besides, whatever is left of the numbers."""

    async def program(network: Network) -> None:
        metered = MeteredNetwork(network, ALLOWANCE)
        with pytest.raises(CohortRefusedError, match=r"at most 10 features.*found 11"):
            await told(metered, "fine", 1, features=11)
        await told(metered, "coarse", 1, features=10)

    run(program)


def test_a_lost_node_leaves_fewer_rows_but_told_nothing_of_theirs() -> None:
    """What was told with its rows counts against the rows of all; what follows, against both."""

    async def program(network: Network) -> None:
        metered = MeteredNetwork(network, ALLOWANCE)
        await told(metered, "of all", 20)
        metered.allowance = Allowance(rows=20, columns=4, most_told=0.5, told=10)
        await told(metered, "of two", 10)
        assert metered.left == 20  # of 30 that the two have, and of 50 that the three had
        await told(metered, "of two, again", 20)
        assert metered.left == 0

    with_c = run(program, lost={"c": "of two"})
    assert sorted(with_c) == ["a", "b"]


def test_the_limit_goes_with_the_sum() -> None:
    """So that a site's guard can compare it with all that was told before; without any, none."""
    seen: list[Terms] = []

    class Spying(Watched):
        async def sum(self, step: Step, vector: Any, **terms: Any) -> Any:
            seen.append(Terms(**terms))
            return await super().sum(step, vector, **terms)

    async def program(network: Network) -> None:
        await told(MeteredNetwork(Spying(network), ALLOWANCE), "of sites", 20)
        await told(MeteredNetwork(Spying(network), Allowance.unlimited()), "of one process", 20)

    asyncio.run(MemoryFederation("a").run(program))
    assert [each.get("most_numbers") for each in seen] == [60, None]


def test_the_receipt() -> None:
    """For people: with what the rows may tell; nothing, where nobody hides anything."""

    async def program(network: Network) -> None:
        metered = MeteredNetwork(network, ALLOWANCE)
        await metered.sum(Step("counts", Content.COUNTS), np.ones(9))
        await told(metered, "means", 20)
        bill = metered.receipt(1)
        assert bill is not None
        assert (bill.steps, bill.before, bill.per_cell) == ({"means": 20}, 10, 0.25)
        assert bill.sizes == {"a": 16, "b": 16, "c": 8}
        assert MeteredNetwork(network, Allowance.unlimited()).receipt(1) is None

    run(program, sizes={"a": 16, "b": 16, "c": 8})
