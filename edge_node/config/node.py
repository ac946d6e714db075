"""What one site decides: its data, its addresses, its policy."""

from edge_node.config.policy import SitePolicy
from edge_node.config.table import Table

__all__ = ["NodeConfig"]


class NodeConfig(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The node file (``node.toml``), owned by the site. Paths are relative to its directory."""

    name: str
    data: str  # CSV or Parquet file with this site's rows
    listen: str = "0.0.0.0:7710"  # empty: accepts no inbound connection, becomes a leaf
    advertise: str = ""  # host:port that peers dial; empty with an empty `listen`
    public_landmarks: str = ""  # the file whose hash is the spec's `public_landmarks_sha256`
    ignore: tuple[str, ...] = ()  # columns of the file that the federation does not use
    threads: int = 0  # 0: all cores; one where rows are few
    policy: SitePolicy = SitePolicy()
