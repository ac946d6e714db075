"""The authorities' directory: one, or two while a new one takes over."""

import shutil
from pathlib import Path

import pytest

from aggregator.ca.authorities import Authorities
from edge_node.errors import ConfigurationError
from edge_node.security.pki.authority import Authority


def test_a_new_authority_is_there_wholly_or_not_at_all(tmp_path: Path) -> None:
    """A process that is killed on the way leaves the old one, or the new one, never none."""
    ca = tmp_path / "ca"
    Authority.create(ca, "hospitals")
    old = Authorities.load(ca)
    both = old.rotate(ca)
    with pytest.raises(ConfigurationError, match="taking over already"):
        both.rotate(ca)
    (proof,) = [each.proof for each in both.certificates if each.proof]
    (ca / "next" / "proof").unlink()
    assert Authorities.load(ca) == old
    (ca / "next" / "proof").write_bytes(proof)
    assert Authorities.load(ca) == both
    for name in ("key.pem", "certificate.pem"):  # the takeover had come so far
        (ca / "next" / "retiring").touch()
        shutil.copy(ca / "next" / name, ca / name)
        broken = Path(shutil.copytree(ca, tmp_path / f"after {name}"))
        left = Authorities.load(broken)
        assert left.fingerprints == both.fingerprints[1:]
        assert left.present.key_pem == both.newest.key_pem
        assert not (broken / "next").exists()
    with pytest.raises(ConfigurationError, match="no new authority"):
        old.retire(ca)
