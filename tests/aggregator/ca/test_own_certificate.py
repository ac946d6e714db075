"""The aggregator's own certificate and its authorities, while it runs."""

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aggregator.ca.authorities import Authorities
from aggregator.ca.own_certificate import OwnCertificate, issue_own
from aggregator.directory.config import load_config
from aggregator.directory.layout import Directory
from edge_node.security.pki.identity import Identity, load_identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.signing_requests import signing_request
from tests.aggregator.created import create
from tests.support.mesh import until


@pytest.fixture
def directory(tmp_path: Path, spec: Path) -> Directory:
    """An aggregator's, with certificates of a day."""
    made = Directory(tmp_path / "aggregator")
    create(made.path, spec, certificate_days=1.0)
    return made


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.time


def opened(directory: Directory, clock: Clock | None = None) -> OwnCertificate:
    """As the aggregator starts."""
    return OwnCertificate.open(directory, load_config(directory), now=clock or Clock())


def age(directory: Directory, share: float) -> Identity:
    """Give the aggregator a certificate of which that share of its life is over."""
    authorities, config = Authorities.load(directory.authority), load_config(directory)
    new = issue_own(authorities, config)
    made = new.life[0] - share * timedelta(days=1)
    pem = authorities.present.issue(
        signing_request(new.key_pem, "aggregator"),
        node="aggregator",
        hosts=config.hosts,
        role="aggregator",
        lifetime=config.lifetime,
        now=made,
    )
    old = Identity("aggregator", "hospitals", new.key_pem, pem, authorities.ca_pem)
    Keyring.begin(directory.identity, old)
    return old


def test_it_is_renewed_at_half_life(directory: Directory) -> None:
    """Not a moment before, however often it is looked at; then on disk and in memory."""
    old, clock = age(directory, 0.4), Clock()
    own = opened(directory, clock)
    clock.time = old.renewal_due - timedelta(seconds=1)
    for _ in range(3):
        own.check()
    assert load_identity(directory.identity) == own.identity == old
    clock.time = old.renewal_due
    own.check()
    assert load_identity(directory.identity) == own.identity != old


def test_one_that_has_ended_is_replaced_at_the_start(directory: Directory) -> None:
    """An aggregator that was off for long starts as ever."""
    old = age(directory, 1.1)
    assert opened(directory).identity.expires > old.expires


async def test_it_is_checked_while_the_aggregator_runs(directory: Directory) -> None:
    """At intervals, from the first one on."""
    old = age(directory, 0.6)
    own = opened(directory)
    task = asyncio.ensure_future(own.keep_current(0.001))
    try:
        await until(lambda: own.identity != old)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_authorities_are_read_again(directory: Directory) -> None:
    """A new one is trusted beside the old one; when it is the only one, the aggregator is its."""
    own = opened(directory)
    first = own.identity
    rolled = Authorities.load(directory.authority).rotate(directory.authority)
    own.check()
    assert own.authorities == rolled
    assert own.identity.ca_pem == rolled.ca_pem
    assert own.identity.certificate_pem == first.certificate_pem
    left = rolled.retire(directory.authority)
    own.check()
    assert own.authorities == left
    assert own.identity.ca_pem == left.ca_pem
    assert left.issued(own.identity.certificate_der)
    assert load_identity(directory.identity) == own.identity


def rewrite(file: Path, content: bytes, *, second: int) -> None:
    """Change a file at a time of its own, however soon after the time before."""
    file.write_bytes(content)
    os.utime(file, (second, second))


def test_trouble_is_logged_once(directory: Directory, caplog: pytest.LogCaptureFixture) -> None:
    """What was read before is used meanwhile; each check tries again."""
    caplog.set_level(logging.INFO)
    own = opened(directory)
    key, authorities = directory.authority / "key.pem", own.authorities
    content = key.read_bytes()
    rewrite(key, b"broken", second=1)
    for _ in range(3):
        own.check()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert own.authorities is authorities
    rewrite(key, content, second=2)
    own.check()
    assert caplog.messages[1:] == ["read the authorities again"]
    rewrite(key, b"broken", second=3)
    own.check()
    assert [record.levelno for record in caplog.records[2:]] == [logging.ERROR], "it is news again"
