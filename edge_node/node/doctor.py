"""Is everything in place? Each check says what is right, or what is wrong and what to do.

Checks don't stop at the first problem: an operator wants the whole list. Nothing is changed, and
nothing of the data leaves the node.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from edge_node.config import FederationSpec, NodeConfig, load_node_config, load_spec
from edge_node.config.names import split_address
from edge_node.config.paths import NodePaths
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.source import open_source
from edge_node.errors import (
    IdentityError,
    MachineError,
    NetworkError,
    TangentMeshError,
)
from edge_node.network.discovery.client import ask_clock, read_address
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.policy import check_privacy, check_task
from edge_node.security.files import make_private_directory, write_atomically
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.privacy.noise import check_noise_available
from edge_node.security.privacy.spending import spending
from edge_node.serving import client

__all__ = ["Finding", "examine"]

_MOST_SKEW = 60.0  # seconds


@dataclass(frozen=True)
class Finding:
    """What one check found; ``error`` is None where all is well."""

    check: str
    text: str
    error: TangentMeshError | None = None

    @property
    def mark(self) -> str:
        """For the table."""
        return "ok" if self.error is None else "WRONG"

    @property
    def exit_code(self) -> int:
        """0, or that of the error."""
        return 0 if self.error is None else self.error.exit_code

    def as_dict(self) -> dict[str, object]:
        """For ``--json``."""
        facts: dict[str, object] = {"check": self.check, "ok": self.error is None}
        return facts | (self.error.as_dict() if self.error else {"finding": self.text})


def examine(paths: NodePaths) -> list[Finding]:
    """Run every check on a node's directory."""
    patient = _Patient(paths)
    checks: dict[str, Callable[[], str]] = {
        "node file": patient.node_file,
        "federation spec": patient.federation_spec,
        "policy": patient.policy,
        "privacy": patient.privacy,
        "ledger": patient.ledger,
        "state directory": patient.state_directory,
        "key and certificate": patient.certificate,
        "data file": patient.data_file,
        "public landmarks": patient.public_landmarks,
        "listening port": patient.port,
        "advertised address": patient.advertised,
        "aggregator and clock": patient.aggregator,
    }
    return [_finding(check, ask) for check, ask in checks.items()]


def _finding(check: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(check, ask())
    except TangentMeshError as error:
        return Finding(check, str(error), error)


class _Patient:
    """A node's directory under examination. Every method returns good news or raises."""

    def __init__(self, paths: NodePaths) -> None:
        self._paths = paths

    @cached_property
    def _config(self) -> NodeConfig:
        return load_node_config(self._paths.config)

    @cached_property
    def _spec(self) -> FederationSpec:
        return load_spec(self._paths.spec)

    @cached_property
    def _identity(self) -> Identity:
        return Keyring.open(self._paths.identity).newest

    def node_file(self) -> str:
        return f"{self._config.name}, data in {self._config.data}"

    def federation_spec(self) -> str:
        task, target = self._spec.data.task, self._spec.data.target
        return f"{self._spec.name!r}: {task} of {target!r}, hash {self._spec.digest().hex()[:16]}"

    def policy(self) -> str:
        policy = self._config.policy
        check_task(policy, self._spec.data.task)
        check_privacy(policy, self._spec.privacy)
        peers = f", with {', '.join(policy.peers)} only" if policy.peers else ""
        rows = f", {policy.minimum_rows} rows" if policy.minimum_rows else ""
        return (
            f"sums over at least {policy.min_cohort} nodes{rows}{peers};"
            f" differencing: {policy.differencing}"
        )

    def privacy(self) -> str:
        found, promise = spending(self._paths), self._spec.privacy
        releases = f"{len(found['releases'])} sums with noise so far"
        if found["budget"] is not None:
            releases += f", epsilon {found['left']:.3g} left of this site's {found['budget']:g}"
        if promise is None:
            return f"the federation promises none; {releases}"
        check_noise_available()
        return (
            f"epsilon {promise.epsilon:g} a run, delta {promise.delta:g}, {promise.level} level;"
            f" {releases}"
        )

    def ledger(self) -> str:
        paths = self._paths
        if not paths.ledger_key.exists() and not any(paths.state.glob("run-*")):
            return "none yet: this node has never contributed"
        steps = Ledger.open(paths.ledger, paths.ledger_key, new=False).steps
        return f"whole: {sum(map(len, steps.values()))} contributions to {len(steps)} steps"

    def state_directory(self) -> str:
        make_private_directory(self._paths.state)
        probe = self._paths.state / ".doctor"
        write_atomically(probe, b"")
        probe.unlink()
        return f"{self._paths.state} can be written"

    def certificate(self) -> str:
        identity = self._identity
        if identity.node != self._config.name:
            raise IdentityError(
                "the certificate is another node's",
                where=str(self._paths.identity),
                expected=f"DNS SAN {self._config.name}",
                found=f"DNS SAN {identity.node}",
                remedy="Set `name` in node.toml back, or enrol under the new name",
            )
        left = identity.expires - datetime.now(UTC)
        until = f"until {identity.expires:%Y-%m-%d %H:%M} UTC, in {left.days} days"
        if left < identity.lifetime / 4:
            raise IdentityError(
                "the certificate ends soon; it should have been renewed long ago",
                where=str(self._paths.identity),
                expected=f"a renewal at {identity.renewal_due:%Y-%m-%d %H:%M} UTC",
                found=until,
                remedy="Run `edge-node renew`, which says what is in the way; once it has ended: "
                f"`aggregator token {identity.node} --replace`",
            )
        return f"SAN {identity.node}, {until}; to be renewed from {identity.renewal_due:%Y-%m-%d}"

    def data_file(self) -> str:
        config = self._config
        path = self._paths.root / config.data
        source = open_source(path, self._spec.data, ignore=config.ignore, site=config.name)
        return f"{source.rows} rows fit the schema"

    def public_landmarks(self) -> str:
        paths = self._paths
        rows = read_public_landmarks(paths.root, self._config, self._spec, where=paths.config)
        return "none in the spec" if rows is None else f"{len(rows)} rows of the spec's file"

    def port(self) -> str:
        if not self._config.listen:
            return "accepts no inbound connection: a leaf"
        if self._running():
            return f"{self._config.listen}: the running node has it"
        host, port = split_address(self._config.listen, where="listen", lowest_port=0)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                raise MachineError(
                    "the port can't be had",
                    where=self._config.listen,
                    found=error.strerror or str(error),
                    remedy="End the program that has it, or set another `listen` in node.toml",
                ) from error
        return f"{self._config.listen} is free"

    def advertised(self) -> str:
        if not self._config.advertise:
            return "none"
        host, _ = split_address(self._config.advertise, where="advertise", lowest_port=0)
        try:
            found = socket.getaddrinfo(host, None)[0][4][0]
        except OSError as error:
            raise NetworkError(
                "the advertised host's name can't be resolved",
                where=self._config.advertise,
                found=str(error),
                remedy="Set `advertise` in node.toml to a name or address that the peers reach",
            ) from error
        return f"{self._config.advertise} is {found}"

    def aggregator(self) -> str:
        address = read_address(self._paths.discovery)
        ahead = asyncio.run(ask_clock(address, self._identity)).total_seconds()
        if abs(ahead) > _MOST_SKEW:
            raise MachineError(
                "this machine's clock differs from the aggregator's",
                where=address,
                expected=f"at most {_MOST_SKEW:.0f} s",
                found=f"{ahead:+.0f} s",
                remedy="Set the clock, for example by NTP: certificates have dates",
            )
        return f"{address} answers; its clock is {ahead:+.1f} s ahead"

    def _running(self) -> bool:
        try:
            client.status(self._paths.root, timeout=2.0)
        except TangentMeshError:
            return False
        return True
