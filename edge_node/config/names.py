"""Names of nodes and federations, and the addresses at which nodes are dialled.

A node's name is a DNS label: gRPC compares it with the DNS name in the node's certificate. It is
also a folder's name and part of a URI. ``aggregator`` is reserved: a node with that name could pose
as the discovery service. A federation's name is free text.
"""

import re

from edge_node.errors import ConfigurationError

__all__ = [
    "AGGREGATOR",
    "check_federation_name",
    "check_node_name",
    "join_address",
    "split_address",
]

AGGREGATOR = "aggregator"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})")
_FEDERATION_LENGTH = 64  # the longest common name that X.509 allows
_HIGHEST_PORT = 65535


def check_node_name(name: str, *, where: str = "node name") -> str:
    """The name itself, if it is a DNS label and not reserved.

    Raises:
        ConfigurationError: it is something else.
    """
    if not _LABEL.fullmatch(name):
        raise ConfigurationError(
            "a node can't have this name",
            where=where,
            expected="1 to 63 lower-case letters, digits and hyphens, no hyphen at either end",
            found=repr(name),
            remedy="Choose a name such as 'hospital-a'",
        )
    if name == AGGREGATOR:
        raise ConfigurationError(
            f"the name {AGGREGATOR!r} is reserved for the discovery service",
            where=where,
            remedy="Choose a name such as 'hospital-a'",
        )
    return name


def check_federation_name(name: str, *, where: str = "federation name") -> str:
    """The name itself, if it is 1 to 64 printable characters. Raises ConfigurationError."""
    if not 0 < len(name) <= _FEDERATION_LENGTH or not name.isprintable() or name != name.strip():
        raise ConfigurationError(
            "a federation can't have this name",
            where=where,
            expected=f"1 to {_FEDERATION_LENGTH} printable characters, no space at either end",
            found=repr(name),
        )
    return name


def split_address(address: str, *, where: str = "address", lowest_port: int = 1) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[IPv6]:port``.

    Port 0 lets the system choose; it is accepted only with ``lowest_port=0``.

    Raises:
        ConfigurationError: the text is no address.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or not lowest_port <= int(match[3]) <= _HIGHEST_PORT:
        raise ConfigurationError(
            "not an address",
            where=where,
            expected=f"host:port, a port from {lowest_port} to {_HIGHEST_PORT}, IPv6 in brackets",
            found=repr(address),
        )
    return match[1] or match[2], int(match[3])


def join_address(host: str, port: int) -> str:
    """The inverse of ``split_address``: ``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
