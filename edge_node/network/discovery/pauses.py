"""Pauses between calls of the aggregator: they end early when there is news, and are varied, so
that hundreds of nodes don't call at once.
"""

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["Rest", "rest", "varied"]

Rest = Callable[..., Awaitable[None]]
"""``rest(seconds, *news)``; tests give another one, whose clock they move."""


async def rest(seconds: float, *news: asyncio.Event) -> None:
    """Return after ``seconds``, or as soon as one of the events is set."""
    waiters = [asyncio.ensure_future(event.wait()) for event in news]
    try:
        await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


def varied(seconds: float, random: float) -> float:
    """Seconds, shortened or extended by up to a quarter; ``random`` is between 0 and 1."""
    return seconds * (0.75 + random / 2)
