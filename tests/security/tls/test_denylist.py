"""What is denied stays denied, at once and after a restart."""

import asyncio
from pathlib import Path

import pytest

from edge_node.errors import IdentityError
from edge_node.security.tls.denylist import Denylist

A, B = b"a" * 32, b"b" * 32


def test_the_list_is_kept(tmp_path: Path) -> None:
    """A restarted node refuses what it refused before, also with the aggregator down."""
    path = tmp_path / "denied"
    Denylist(path).replace([B, A])
    kept = Denylist(path)
    assert A in kept
    with pytest.raises(IdentityError, match=r"hospital-a: the certificate was denied.*aggregator"):
        kept.check("hospital-a", A)
    kept.check("hospital-c", b"c" * 32)
    kept.replace([B])
    assert A not in Denylist(path)


def test_two_lists_are_told_apart() -> None:
    """By their digests, whatever the order."""
    one, other, empty = Denylist(), Denylist(), Denylist()
    one.replace([A, B])
    other.replace([B, A])
    assert one.digest == other.digest != empty.digest
    other.replace([B])
    assert one.digest != other.digest


def test_what_is_no_list_changes_nothing() -> None:
    """The list before stays."""
    held = Denylist()
    held.replace([A])
    with pytest.raises(IdentityError, match="32 bytes"):
        held.replace([A, b"short"])
    assert A in held


@pytest.mark.parametrize("content", ["no hexadecimal", "ff\nf"])
def test_a_broken_file(tmp_path: Path, content: str) -> None:
    """Does not keep a node from starting: the aggregator sends the list again."""
    (tmp_path / "denied").write_text(content)
    assert Denylist(tmp_path / "denied").digest == Denylist().digest


async def test_work_goes_on_while_its_peer_is_allowed() -> None:
    """And its result or error is passed on."""
    held = Denylist()
    held.replace([B])

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async def fail() -> None:
        raise OSError("broken")

    assert await held.while_allowed("a", A, work()) == "done"
    with pytest.raises(OSError, match="broken"):
        await held.while_allowed("a", A, fail())


async def test_work_with_a_denied_peer_does_not_begin() -> None:
    """Not even to its first pause."""
    held, begun = Denylist(), asyncio.Event()

    async def work() -> None:
        begun.set()

    await held.while_allowed("a", A, work())
    assert begun.is_set()  # it would
    begun.clear()
    held.replace([A])
    with pytest.raises(IdentityError, match="denied"):
        await held.while_allowed("a", A, work())
    assert not begun.is_set()


async def test_work_ends_as_soon_as_its_peer_is_denied() -> None:
    """Also work that was begun before; another peer's denial doesn't touch it."""
    held, ended = Denylist(), asyncio.Event()
    asked, answered = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def work() -> None:
        try:
            while True:
                await asked.acquire()
                answered.release()
        finally:
            ended.set()

    async def goes_on() -> None:
        asked.release()
        await asyncio.wait_for(answered.acquire(), 5)

    task = asyncio.ensure_future(held.while_allowed("a", A, work()))
    await goes_on()
    held.replace([B])
    for _ in range(5):
        await goes_on()
    held.replace([A, B])
    with pytest.raises(IdentityError, match="denied"):
        await asyncio.wait_for(task, 5)
    assert ended.is_set()
