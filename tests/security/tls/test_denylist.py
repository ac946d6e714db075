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


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_work_ends_as_soon_as_its_peer_is_denied(when: str) -> None:
    """Also work that was begun before."""
    held, ended = Denylist(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    if when == "before":
        held.replace([A])
    task = asyncio.ensure_future(held.while_allowed("a", A, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.replace([B])
    assert when == "before" or not task.done()
    held.replace([A, B])
    with pytest.raises(IdentityError, match="denied"):
        await asyncio.wait_for(task, 5)
    assert when == "before" or ended.is_set()
