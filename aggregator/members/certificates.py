"""Who holds which certificate: the registry's content, as a value.

A node's certificate in force is the one that plans name. A renewed one is accepted as soon as the
node calls with it, which shows that the node holds it. It replaces the one in force when a plan
names it, or at once if no plan names the one in force.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from aggregator.registry.registry import Denial, EnrolledNode, Registry
from edge_node.errors import RefusedError
from edge_node.security.disclosure.departure import Departure
from edge_node.security.pki.certificates import life_of
from edge_node.security.tls.credentials import Caller
from edge_node.security.tls.denylist import Denylist

__all__ = ["HAS_LEFT", "NodeCertificates"]

HAS_LEFT = "it has left the federation"
"""Why the certificates of a node that left are denied."""


@dataclass(frozen=True)
class NodeCertificates:
    """The certificates of all nodes.

    Args:
        nodes: every enrolled node by name, with its certificate in force.
        renewals: nodes that have a renewed certificate beside it, by name, with that one.
        denials: denied certificates by fingerprint.
        departures: consents of nodes that have left.
        requested: names of nodes whose request the offline authority has not signed yet.
    """

    nodes: Mapping[str, EnrolledNode] = field(default_factory=dict)
    renewals: Mapping[str, EnrolledNode] = field(default_factory=dict)
    denials: Mapping[bytes, Denial] = field(default_factory=dict)
    departures: tuple[Departure, ...] = ()
    requested: frozenset[str] = frozenset()

    @classmethod
    def read(cls, registry: Registry) -> Self:
        """What the registry has now. Raises MachineError."""
        return cls(
            nodes={node.name: node for node in registry.nodes()},
            renewals=registry.renewals(),
            denials={denial.fingerprint: denial for denial in registry.denials()},
            departures=tuple(registry.departures()),
            requested=frozenset(request.node for request in registry.requests.all()),
        )

    @cached_property
    def denylist_digest(self) -> bytes:
        """SHA-256 by which a node knows that it holds the same denylist."""
        denylist = Denylist()
        denylist.replace(self.denials)
        return denylist.digest

    def with_enrolled(self, node: EnrolledNode) -> Self:
        """With a certificate in force; a renewed one of the node's is forgotten."""
        renewals = {name: each for name, each in self.renewals.items() if name != node.name}
        return replace(self, nodes={**self.nodes, node.name: node}, renewals=renewals)

    def with_renewed(self, node: EnrolledNode) -> Self:
        """With a renewed certificate beside the one in force."""
        return replace(self, renewals={**self.renewals, node.name: node})

    def with_adopted(self, fingerprints: Iterable[bytes]) -> Self:
        """With the renewed certificates among these in force."""
        named = set(fingerprints)
        adopted = {n: each for n, each in self.renewals.items() if each.fingerprint in named}
        left = {name: each for name, each in self.renewals.items() if name not in adopted}
        return replace(self, nodes={**self.nodes, **adopted}, renewals=left)

    def has_left(self, peer: Caller) -> bool:
        """Whether the caller was a member, and has left."""
        denial = self.denials.get(peer.fingerprint)
        return denial is not None and denial.reason == HAS_LEFT

    def member(self, peer: Caller) -> EnrolledNode:
        """The node that calls, with its certificate in force.

        Raises:
            RefusedError: the caller is no member, or its certificate is not good.
        """
        if (denial := self.denials.get(peer.fingerprint)) is not None:
            raise denial.error()
        node = self.nodes.get(peer.name)
        if node is None or peer.role != "node":
            raise RefusedError(
                f"{peer.name} is not enrolled here: run `edge-node enrol` with a new token"
            )
        if peer.fingerprint not in (node.fingerprint, self.shown(peer, node).fingerprint):
            raise _void(peer, node)
        return node

    def shown(self, peer: Caller, node: EnrolledNode) -> EnrolledNode:
        """The node with the certificate that it calls with, which may be the renewed one."""
        renewed = self.renewals.get(node.name, node)
        return renewed if peer.fingerprint == renewed.fingerprint else node


def _void(peer: Caller, node: EnrolledNode) -> RefusedError:
    issued, _ = life_of(node.certificate, where=f"certificate of {node.name}")
    return RefusedError(
        f"another certificate was issued for {node.name} since; this one is void",
        expected=f"the one of {issued:%Y-%m-%d %H:%M} UTC, fingerprint"
        f" {node.fingerprint.hex()[:16]}",
        found=f"fingerprint {peer.fingerprint.hex()[:16]}",
        remedy="Two machines may run with copies of one directory, or it came from a backup:"
        f" `aggregator token {node.name} --replace` lets one of them enrol anew",
    )
