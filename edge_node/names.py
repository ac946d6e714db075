"""Names of nodes, federations and steps, and the URI that a certificate carries for them.

A node's name is a DNS label, because gRPC checks it as the DNS name in the node's certificate;
it is also a folder's name and part of a URI. ``aggregator`` is reserved: a node of that name
could pose as the discovery service. A federation's name is free text; in a URI it is
percent-encoded.

    tangentmesh://FEDERATION/node/NAME
    tangentmesh://FEDERATION/aggregator
"""

import re
import urllib.parse

from edge_node.errors import ConfigurationError

__all__ = [
    "AGGREGATOR",
    "certificate_uri",
    "check_federation_name",
    "check_node_name",
    "parse_certificate_uri",
    "repeated_step",
    "split_address",
    "summed_step",
]

AGGREGATOR = "aggregator"

_AGAIN = "/again-"
_COUNTING = re.compile(r"(.*/)?counts|folds")  # steps that sum counts and nothing but counts
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_URI = re.compile(r"tangentmesh://([^/?#]+)/(?:node/([^/?#]+)|(aggregator))")
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


def certificate_uri(federation: str, name: str) -> str:
    """The URI in the certificate of a node, or of the aggregator (``name`` is AGGREGATOR)."""
    authority = urllib.parse.quote(federation, safe="")
    path = AGGREGATOR if name == AGGREGATOR else f"node/{name}"
    return f"tangentmesh://{authority}/{path}"


def parse_certificate_uri(uri: str) -> tuple[str, str]:
    """The federation and the name of a URI, which must be as ``certificate_uri`` writes it.

    Raises:
        ConfigurationError: the URI does not follow the grammar.
    """
    if match := _URI.fullmatch(uri):
        federation, name = urllib.parse.unquote(match[1]), match[2] or AGGREGATOR
        if certificate_uri(federation, name) == uri:
            if match[2]:
                check_node_name(name, where=uri)
            return check_federation_name(federation, where=uri), name
    raise ConfigurationError(
        "not the URI of a member of a federation",
        expected="tangentmesh://FEDERATION/node/NAME or tangentmesh://FEDERATION/aggregator",
        found=repr(uri),
    )


def split_address(address: str, *, where: str = "address", lowest_port: int = 1) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[IPv6]:port``; port 0 (let the system choose) is one
    only with ``lowest_port=0``. Raises ConfigurationError.
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


def repeated_step(step: str, times: int) -> str:
    """The name of a step that was taken so many times before."""
    return f"{step}{_AGAIN}{times}" if times else step


def summed_step(step: str) -> str:
    """The step that says what is summed: of a repeated one, the first.

    Whoever compares totals by their step must compare these. A repeated count stands for itself:
    after a crash the others may count who is left, though it tells the counts of who isn't.
    """
    first, again, _ = step.partition(_AGAIN)
    return step if again and _COUNTING.fullmatch(first) else first
