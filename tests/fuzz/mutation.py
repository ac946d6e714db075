"""Changes of bytes that keep most of their structure: the mutations that fuzzers know best."""

from collections.abc import Callable, Sequence
from random import Random

__all__ = ["mutated"]

_TELLING = (0, 1, 0x0A, 0x20, 0x22, 0x2C, 0x7F, 0x80, 0x93, 0xC0, 0xC4, 0xDC, 0xFF)
_LARGEST = 1 << 16  # bytes of an input


def mutated(data: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """``data`` with one to eight changes; ``others`` are spliced in."""
    changed = bytearray(data)
    for _ in range(1 << random.randrange(4)):
        random.choice(_CHANGES)(changed, others, random)
    return bytes(changed[:_LARGEST])


def _flip(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice(_TELLING)


def _step(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    if data:
        place = random.randrange(len(data))
        data[place] = (data[place] + random.randint(-3, 3)) % 256


def _insert(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    place = random.randint(0, len(data))
    data[place:place] = random.randbytes(random.choice((1, 1, 2, 4, 8, 64)))


def _delete(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    place = random.randint(0, len(data))
    del data[place : place + random.choice((1, 1, 2, 4, 8, 64))]


def _cut(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    del data[random.randint(0, len(data)) :]


def _repeat(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    start = random.randint(0, len(data))
    piece = data[start : start + random.choice((1, 4, 16, 256))]
    data[start:start] = piece * random.choice((1, 1, 2, 20))


def _splice(data: bytearray, others: Sequence[bytes], random: Random) -> None:
    other = random.choice(others)
    start, place = random.randint(0, len(other)), random.randint(0, len(data))
    data[place:] = other[start:]


def _fill(data: bytearray, _: Sequence[bytes], random: Random) -> None:
    start = random.randint(0, len(data))
    size = len(data[start : start + random.choice((2, 4, 8))])
    data[start : start + size] = random.choice((b"\0", b"\xff", b"\x7f", b"9")) * size


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], Random], None], ...] = (
    _flip,
    _set,
    _step,
    _insert,
    _delete,
    _cut,
    _repeat,
    _splice,
    _fill,
)
