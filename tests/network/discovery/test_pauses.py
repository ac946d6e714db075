"""Pauses end in time or early, and differ from node to node."""

import asyncio

import pytest

from edge_node.network.discovery.pauses import rest, varied


async def test_a_pause_ends_in_time() -> None:
    """Though nothing has happened."""
    news = asyncio.Event()
    await rest(0.001, news)
    assert not news.is_set()


@pytest.mark.parametrize("which", [0, 1])
async def test_news_end_a_pause(which: int) -> None:
    """Any of them."""
    events = [asyncio.Event(), asyncio.Event()]
    resting = asyncio.ensure_future(rest(3600.0, *events))
    await asyncio.sleep(0)
    assert not resting.done()
    events[which].set()
    await resting


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 75.0), (0.5, 100.0), (1.0, 125.0)])
def test_pauses_are_varied(random: float, seconds: float) -> None:
    """By a quarter in each direction."""
    assert varied(100.0, random) == seconds
