"""What is where in an aggregator's directory.

aggregator.toml    where it listens and what nodes dial (`aggregator.directory.config`)
federation.toml    the spec that all nodes share
ca/                the federation's certificate authority
identity/          the aggregator's own key and certificate
registry.sqlite    nodes, tokens, plans
ports.json         the ports it is bound to, written at each start
lock               held by the process that runs
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Directory"]


@dataclass(frozen=True)
class Directory:
    """Where an aggregator keeps its things."""

    path: Path

    @property
    def config(self) -> Path:
        """``aggregator.toml``; it is written last, so where it is, everything is."""
        return self.path / "aggregator.toml"

    @property
    def spec(self) -> Path:
        """``federation.toml``."""
        return self.path / "federation.toml"

    @property
    def authority(self) -> Path:
        """``ca/``."""
        return self.path / "ca"

    @property
    def identity(self) -> Path:
        """``identity/``."""
        return self.path / "identity"

    @property
    def certificate(self) -> Path:
        """``identity/certificate.pem``: missing until an offline authority has signed it."""
        return self.identity / "certificate.pem"

    @property
    def registry(self) -> Path:
        """``registry.sqlite``."""
        return self.path / "registry.sqlite"

    @property
    def ports(self) -> Path:
        """``ports.json``."""
        return self.path / "ports.json"

    @property
    def lock(self) -> Path:
        """``lock``."""
        return self.path / "lock"
