"""What every table of a configuration file has in common."""

import msgspec

__all__ = ["Table"]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML table: frozen, and closed to unknown keys."""
