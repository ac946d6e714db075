"""Decoders of what a node keeps about its privacy: both ledgers, and the denylist.

Ledgers are chained by hashes, so a mutated line alone would be refused by its hash. Here the chain
is mended after each mutation, as somebody would who changes a ledger on purpose.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from edge_node.config import Level
from edge_node.security.disclosure.cohort import Claim, Cohort
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.privacy.discrete_gaussian import DiscreteGaussian
from edge_node.security.privacy.privacy_ledger import PrivacyLedger, Release, read_ledger, spent
from edge_node.security.tls.denylist import Denylist
from edge_node.step import Step
from tests.fuzz.targets import Target

__all__ = ["ledger_targets"]

FIRST = hashlib.sha256(b"tangentmesh/v1/ledger").hexdigest()
FIRST_RELEASE = hashlib.sha256(b"tangentmesh/v1/privacy-ledger").hexdigest()


def mended(first: str, texts: bytes) -> bytes:
    """A log with one line for each line of ``texts``, and chains that fit."""
    lines, chain = [], first
    for text in texts.split(b"\n"):
        chain = hashlib.sha256(chain.encode() + b" " + text).hexdigest()
        lines.append(chain.encode() + b" " + text + b"\n")
    return b"".join(lines)


def texts_of(log: bytes) -> bytes:
    """The lines of a log without their chains."""
    return b"\n".join(line[65:] for line in log.splitlines())


def ledger_targets(directory: Path) -> Iterator[Target]:
    """All of them; files are written in ``directory``."""
    yield from _contributions(directory)
    yield from _releases(directory)
    denied = directory / "denied"

    def deny(data: bytes) -> None:
        denied.write_bytes(data)
        assert len(Denylist(denied).digest) == 32

    yield Target("denylist", (bytes(32).hex().encode() + b"\n" + b"ab" * 32 + b"\n",), deny, 20)


def _contributions(directory: Path) -> Iterator[Target]:
    path, key = directory / "ledger", directory / "ledger.key"
    ledger = Ledger.open(path, key, new=True)
    claims = {node: Claim(node.encode() * 32, node == "c") for node in "abc"}
    for epoch in (1, 2):
        ledger.contribute(Cohort(1, epoch, "a", claims), 0, Step("s"))
        ledger.settle(1, epoch + 1, 0, ["a", "b"])
    ledger.consent("b")
    whole = path.read_bytes()

    def as_it_is(data: bytes) -> None:
        path.write_bytes(data)
        list(Ledger.open(path, key, new=False).steps.values())

    def with_chains(data: bytes) -> None:
        as_it_is(mended(FIRST, data))

    yield Target("contributions", (whole,), as_it_is, 20)
    yield Target("contributions, mended", (texts_of(whole),), with_chains, 20)


def _releases(directory: Path) -> Iterator[Target]:
    path, head = directory / "privacy", directory / "privacy.head"
    ledger = PrivacyLedger(path, head, level=Level.RECORD, delta=1e-5)
    noise = DiscreteGaussian(Level.RECORD, multiplier=5.0, sensitivity=2.0**29, size=3)
    for epoch in (1, 2):
        ledger.charge(noise, Release(1, epoch, bytes([epoch]) * 32, "s", cohort=3))
    whole, heads = path.read_bytes(), head.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        entries = read_ledger(path, head)
        spent([(each.level, each.rho) for each in entries], Level.RECORD, 1e-5)

    def read_whole(data: bytes) -> None:
        head.write_bytes(heads)
        read(data)

    def read_mended(data: bytes) -> None:
        head.write_bytes(FIRST_RELEASE.encode())  # lines are believed that it doesn't know of
        read(mended(FIRST_RELEASE, data))

    def read_head(data: bytes) -> None:
        head.write_bytes(data)
        read(whole)

    yield Target("releases", (whole,), read_whole, 10)
    yield Target("releases, mended", (texts_of(whole),), read_mended, 10)
    yield Target("releases' head", (heads,), read_head, 10)
