"""Where things are in a node's directory. docs/design.md, section 3, shows all of it."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["NodePaths"]


@dataclass(frozen=True)
class NodePaths:
    """The files of the node whose directory is ``root``."""

    root: Path

    @property
    def config(self) -> Path:
        """The node file, owned by the site."""
        return self.root / "node.toml"

    @property
    def spec(self) -> Path:
        """The federation spec, received at enrolment."""
        return self.root / "federation.toml"

    @property
    def identity(self) -> Path:
        """Key and certificates."""
        return self.root / "identity"

    @property
    def discovery(self) -> Path:
        """One line: host:port of the discovery service."""
        return self.root / "identity" / "discovery"

    @property
    def token(self) -> Path:
        """The enrolment token, while the certificate has yet to be signed."""
        return self.root / "identity" / "token"

    @property
    def denylist(self) -> Path:
        """Fingerprints of certificates that the operator has denied."""
        return self.root / "identity" / "denied"

    @property
    def state(self) -> Path:
        """Plan, completed steps, masking keys: what a restart resumes from."""
        return self.root / "state"

    @property
    def lock(self) -> Path:
        """Held by the process that runs."""
        return self.root / "lock"

    @property
    def left(self) -> Path:
        """One line that says when the node has left its federation; absent while it is a member."""
        return self.root / "state" / "left"

    @property
    def ledger(self) -> Path:
        """The cohorts that this node has contributed to."""
        return self.root / "state" / "ledger"

    @property
    def ledger_key(self) -> Path:
        """The secret under which the ledger names versions of rows."""
        return self.root / "identity" / "ledger.key"

    @property
    def privacy_ledger(self) -> Path:
        """The sums with noise that this site took part in, and what privacy they cost."""
        return self.root / "state" / "privacy.ledger"

    @property
    def privacy_head(self) -> Path:
        """The hash of that ledger's end."""
        return self.root / "identity" / "privacy.head"

    @property
    def model(self) -> Path:
        """The posterior that answers queries."""
        return self.root / "state" / "model.npz"
