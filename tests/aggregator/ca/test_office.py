"""The aggregator's own certificate and its authorities, while it runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from aggregator.ca.authorities import Authorities
from aggregator.ca.certification import Certification
from aggregator.ca.office import Office, make_identity
from aggregator.directory.layout import Directory, load_config
from aggregator.registry.registry import Registry
from aggregator.setup import create
from edge_node.security.pki.identity import Identity, load_identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.pki.signing_requests import signing_request

SPEC = """
name = "hospitals"
[data]
task = "regression"
target = "y"
columns = [{name = "x"}]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """An aggregator's, with certificates of a day."""
    (tmp_path / "spec.toml").write_text(SPEC)
    made = Directory(tmp_path / "aggregator")
    create(
        made,
        tmp_path / "spec.toml",
        hosts=("localhost",),
        port=1,
        enrolment_port=2,
        listen="127.0.0.1",
        certificate_days=1.0,
    )
    return made


@asynccontextmanager
async def running(office: Office) -> AsyncIterator[Certification]:
    """While the aggregator runs."""
    with Registry.open(office.directory.registry) as registry:
        certification = Certification(registry, office.authorities)
        task = asyncio.ensure_future(office.keep_renewing(certification, 0.01))
        try:
            yield certification
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that the office does."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)


def opened(directory: Directory) -> Office:
    """As the aggregator starts."""
    return Office.open(directory, load_config(directory))


def age(directory: Directory, share: float) -> Identity:
    """Give the aggregator a certificate of which that share of its life is over."""
    authorities, config = Authorities.load(directory.authority), load_config(directory)
    new = make_identity(authorities, config)
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


async def test_it_is_renewed_at_half_life(directory: Directory) -> None:
    """On disk and in memory."""
    old = age(directory, 0.6)
    office = opened(directory)
    async with running(office):
        await until(lambda: office.own.current != old)
    assert load_identity(directory.identity) == office.own.current


async def test_it_is_not_renewed_before(directory: Directory) -> None:
    """The same certificate is shown."""
    old = age(directory, 0.4)
    office = opened(directory)
    async with running(office):
        await asyncio.sleep(0.1)
    assert load_identity(directory.identity) == office.own.current == old


def test_one_that_has_ended_is_replaced_at_the_start(directory: Directory) -> None:
    """An aggregator that was off for long starts as ever."""
    old = age(directory, 1.1)
    assert opened(directory).own.current.expires > old.expires


async def test_authorities_are_read_again(directory: Directory) -> None:
    """A new one is trusted beside the old one; when it is the only one, the aggregator is its."""
    office = opened(directory)
    first = office.own.current
    async with running(office) as certification:
        rolled = Authorities.load(directory.authority).rotate(directory.authority)
        await until(lambda: office.own.current.ca_pem == rolled.ca_pem)
        assert office.own.current.certificate_pem == first.certificate_pem
        await until(lambda: certification.authorities == rolled)
        left = rolled.retire(directory.authority)
        await until(lambda: certification.authorities == left)
        assert office.own.current.ca_pem == left.ca_pem
        assert left.issued(office.own.current.certificate_der)
    assert load_identity(directory.identity) == office.own.current


async def test_trouble_is_said_once(directory: Directory, caplog: pytest.LogCaptureFixture) -> None:
    """And what was read before goes on; then it is tried again."""
    caplog.set_level(logging.INFO)
    office = opened(directory)
    key = directory.authority / "key.pem"
    content = key.read_bytes()
    async with running(office):
        key.write_bytes(b"broken")
        await until(lambda: caplog.records)
        await asyncio.sleep(0.2)
        assert [r.levelno for r in caplog.records] == [logging.ERROR]
        key.write_bytes(content)
        await until(lambda: any("read the authorities again" in m for m in caplog.messages))
