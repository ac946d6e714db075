"""Names are strict, and a certificate's URI says exactly one federation and one member."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.config.names import AGGREGATOR, check_federation_name, check_node_name, split_address
from edge_node.errors import ConfigurationError
from edge_node.security.pki.uri import certificate_uri, parse_certificate_uri

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
nodes = labels.filter(lambda name: name != AGGREGATOR)
printable = st.characters(exclude_categories=("C", "Z"))
federations = st.text(printable, min_size=1, max_size=64)


@given(federations, nodes | st.just(AGGREGATOR))
def test_uri_round_trip(federation: str, name: str) -> None:
    """A URI names the federation and member it was made for, whatever the federation's name."""
    uri = certificate_uri(federation, name)
    assert uri.isascii()
    assert parse_certificate_uri(uri) == (federation, name)


@pytest.mark.parametrize(
    "uri",
    [
        "https://mesh/node/a",
        "tangentmesh://mesh/node/",
        "tangentmesh://mesh/node/aggregator",
        "tangentmesh://mesh/node/A",
        "tangentmesh://mesh/node/a/b",
        "tangentmesh://mesh/node/a?x",
        "tangentmesh://mesh/aggregator/a",
        "tangentmesh://mesh/root",
        "tangentmesh:///node/a",
        "tangentmesh://m%65sh/node/a",  # two spellings of one name
        "tangentmesh://mesh/node/a\n",
    ],
)
def test_other_uris(uri: str) -> None:
    """A URI that the project would not write is refused."""
    with pytest.raises(ConfigurationError):
        parse_certificate_uri(uri)


@given(nodes)
def test_node_names(name: str) -> None:
    """DNS labels are node names."""
    assert check_node_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "a\n", "é", "a b", "aggregator", ".."]
)
def test_bad_node_names(name: str) -> None:
    """Anything else is not, and the message shows what was found, and where."""
    with pytest.raises(ConfigurationError) as caught:
        check_node_name(name, where="node.toml")
    assert repr(name) in str(caught.value)
    assert caught.value.where == "node.toml"


@pytest.mark.parametrize("name", ["", " a", "a\n", "a" * 65, "a\x00b"])
def test_bad_federation_names(name: str) -> None:
    """A federation's name is short and printable."""
    with pytest.raises(ConfigurationError, match="federation"):
        check_federation_name(name)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("mesh.example.org:7701", ("mesh.example.org", 7701)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("hospital_a:7710", ("hospital_a", 7710)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    """An address has a host and a port."""
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address",
    ["", "mesh", ":7701", "mesh:", "mesh:0", "mesh:65536", "::1:7701", "mesh:x", "a b:1", "m:٣"],
)
def test_bad_addresses(address: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match="not an address"):
        split_address(address)
