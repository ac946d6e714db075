"""Two identities in one directory, and no moment at which it holds none."""

import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edge_node.errors import IdentityError, MachineError
from edge_node.security.pki.identity import Identity, load_identity
from edge_node.security.pki.keyring import Keyring

Member = Callable[..., Identity]


@pytest.fixture
def old(member: Member) -> Identity:
    """In force."""
    return member("hospital-a")


@pytest.fixture
def new(member: Member) -> Identity:
    """Renewed."""
    return member("hospital-a")


@pytest.fixture
def ring(tmp_path: Path, old: Identity) -> Keyring:
    """Of a node that has enrolled."""
    return Keyring.begin(tmp_path / "identity", old)


def test_a_renewed_identity_waits_beside_the_old_one(
    tmp_path: Path, ring: Keyring, old: Identity, new: Identity
) -> None:
    """Either is found by its fingerprint; promoted, the new one is the only one."""
    ring.keep(new)
    for held in (ring, Keyring.open(tmp_path / "identity")):
        assert (held.current, held.renewed, held.newest) == (old, new, new)
        assert held.named(old.fingerprint) == old
        assert held.named(new.fingerprint) == held.named(b"unknown") == new
    ring.promote()
    for held in (ring, Keyring.open(tmp_path / "identity")):
        assert (held.current, held.renewed, held.newest) == (new, None, new)
        assert held.named(old.fingerprint) == new
    assert load_identity(tmp_path / "identity") == new


@pytest.mark.parametrize("step", range(1, 12))
@pytest.mark.parametrize("what", ["keep", "promote"])
def test_killed_at_any_point(
    tmp_path: Path, member: Member, what: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was the last change that reached the disk, a working identity is found there."""
    old, new = member("hospital-a"), member("hospital-a")
    ring = Keyring.begin(tmp_path / "identity", old)
    ring.request_key()
    if what == "promote":
        ring.keep(new)
    with monkeypatch.context() as patch:
        done = killed_after(patch, step)
        try:
            ring.keep(new) if what == "keep" else ring.promote()
        except SystemExit:
            assert len(done) >= step
        else:
            assert len(done) < step, "there are more points to be killed at"
    found = Keyring.open(tmp_path / "identity")
    assert found.current in (old, new)
    assert found.named(new.fingerprint) == found.newest
    assert found.newest in ((old, new) if what == "keep" else (new,))
    assert Keyring.open(tmp_path / "identity").current == found.current


def killed_after(patch: pytest.MonkeyPatch, step: int) -> list[str]:
    """The process ends just before its ``step``-th change of the directory."""
    done: list[str] = []

    def counted(name: str) -> None:
        change = getattr(Path, name)

        def changed(self: Path, *arguments: object, **settings: object) -> object:
            done.append(name)
            if len(done) >= step:
                raise SystemExit
            return change(self, *arguments, **settings)

        patch.setattr(Path, name, changed)

    counted("replace")
    counted("unlink")
    make = os.open

    def made(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            done.append("write")
            if len(done) >= step:
                raise SystemExit
        return make(path, flags, *mode)

    patch.setattr(os, "open", made)
    return done


def test_the_key_that_is_asked_for_stays_until_it_has_a_certificate(
    tmp_path: Path, ring: Keyring, new: Identity
) -> None:
    """Also over a restart; it is nobody else's to read; then it is gone."""
    key = ring.request_key()
    assert Keyring.open(tmp_path / "identity").request_key() == key
    assert (tmp_path / "identity" / "request.pem").stat().st_mode & 0o777 == 0o600
    ring.keep(new)
    assert (tmp_path / "identity" / "renewed.pem").stat().st_mode & 0o777 == 0o600
    assert ring.request_key() != key


def test_another_process_renews(tmp_path: Path, ring: Keyring, old: Identity, new: Identity):
    """A running node sees it, once."""
    assert not ring.refresh()
    Keyring.open(tmp_path / "identity").keep(new)
    assert ring.newest == old
    assert ring.refresh()
    assert ring.newest == new
    assert not ring.refresh()


def test_the_old_one_has_ended(tmp_path: Path, member: Member, new: Identity) -> None:
    """A node that was off for long starts with the renewed one."""
    old = member("hospital-a", lifetime=timedelta(days=1))
    Keyring.begin(tmp_path, old).keep(new)
    late = old.expires - timedelta(hours=1)
    assert Keyring.open(tmp_path, now=late).current == old
    longer = member("hospital-a", lifetime=timedelta(days=9))
    Keyring.open(tmp_path).keep(longer)
    assert Keyring.open(tmp_path, now=old.expires + timedelta(days=1)).current == longer


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx"])
def test_a_broken_renewed_identity_is_left_alone(
    tmp_path: Path, ring: Keyring, old: Identity, content: bytes
) -> None:
    """The one in force goes on."""
    path = tmp_path / "identity" / "renewed.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    assert Keyring.open(tmp_path / "identity").newest == old


def test_no_identity_at_all(tmp_path: Path) -> None:
    """Is said as ever."""
    with pytest.raises(IdentityError, match="edge-node enrol"):
        Keyring.open(tmp_path)


def test_enrolment_replaces_everything(tmp_path: Path, ring: Keyring, new: Identity) -> None:
    """Nothing of the former identity comes back."""
    ring.request_key()
    ring.keep(new)
    ring.request_key()
    fresh = Keyring.begin(tmp_path / "identity", ring.current)
    assert Keyring.open(tmp_path / "identity").renewed is fresh.renewed is None
    assert {p.name for p in (tmp_path / "identity").iterdir()} == {
        "key.pem", "certificate.pem", "ca.pem",
    }  # fmt: skip


def test_a_full_disk_changes_nothing(
    ring: Keyring, old: Identity, new: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewed identity counts once it is on disk."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(MachineError, match="No space left"):
        ring.keep(new)
    assert ring.newest == old


def test_half_life(old: Identity) -> None:
    """The minutes for slow clocks are no part of a life."""
    assert old.lifetime == timedelta(days=1)
    assert old.renewal_due == old.expires - timedelta(hours=12)


def test_authorities_are_trusted_together(tmp_path: Path, ring: Keyring, new: Identity) -> None:
    """The file of authorities serves both identities."""
    ring.keep(new)
    bundle = ring.current.ca_pem * 2
    ring.trust(bundle)
    for held in (ring, Keyring.open(tmp_path / "identity")):
        assert held.current.ca_pem == held.newest.ca_pem == bundle
