"""The URI that a certificate carries for its holder's name and federation, percent-encoded.

tangentmesh://FEDERATION/node/NAME
tangentmesh://FEDERATION/aggregator
"""

import re
import urllib.parse
from typing import Literal

from edge_node.config.names import AGGREGATOR, check_federation_name, check_node_name
from edge_node.errors import ConfigurationError

__all__ = ["Role", "certificate_uri", "parse_certificate_uri"]

Role = Literal["node", "aggregator"]
"""What a member of a federation is."""

_URI = re.compile(r"tangentmesh://([^/?#]+)/(?:node/([^/?#]+)|(aggregator))")


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
