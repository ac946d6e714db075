"""The checks of `edge-node doctor`.

Nothing is changed, except that the state directory is made where it is missing, and nothing of the
data leaves the node.
"""

import asyncio
import secrets
import shutil
import socket
from datetime import UTC, datetime
from functools import cached_property

from edge_node.config import (
    SAFE_MOST_TOLD,
    FederationSpec,
    NodeConfig,
    load_node_config,
    load_spec,
)
from edge_node.config.names import split_address
from edge_node.config.paths import NodePaths
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.source import open_source
from edge_node.errors import (
    ConfigurationError,
    IdentityError,
    MachineError,
    NetworkError,
    TangentMeshError,
)
from edge_node.model.model import Model
from edge_node.network.discovery.client import ask_clock, read_address
from edge_node.network.exchange.records import RecordStore
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.policy import check_disclosure, check_privacy, check_task
from edge_node.security.files import make_private_directory, remove, write_atomically
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring
from edge_node.security.privacy.discrete_gaussian import check_noise_available
from edge_node.security.privacy.spending_report import spending_report
from edge_node.serving import client

__all__ = ["Checks"]

_MOST_SKEW = 60.0  # seconds
_PROBE_BYTES = 32 << 20  # about the records of one run; an empty file fits on a full disk, too


class Checks:
    """Each method is a check of a node's directory: it returns good news or raises."""

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
        """There is one, and it makes sense."""
        if not self._paths.config.exists():
            raise ConfigurationError(
                "there is no node here",
                where=str(self._paths.config),
                remedy="Make one with `edge-node init`, or name its directory with --dir",
            )
        return f"{self._config.name}, data in {self._config.data}"

    def membership(self) -> str:
        """The node has enrolled, and its certificate is good for a while."""
        if not self._paths.spec.exists():
            raise IdentityError(
                "this node has not enrolled yet",
                where=str(self._paths.root),
                remedy="Get a token from the federation's operator, then `edge-node enrol TOKEN`."
                " The other checks follow",
            )
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

    def state_directory(self) -> str:
        """A file as large as a run's records can be written there."""
        state = self._paths.state
        make_private_directory(state)
        probe = state / ".doctor"
        write_atomically(probe, secrets.token_bytes(_PROBE_BYTES))
        remove(probe)
        free = shutil.disk_usage(state).free
        return f"{state} can be written, {free / 1e9:,.1f} GB are free"

    def port(self) -> str:
        """The node can listen where its node file says."""
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
                    "the port can't be bound",
                    where=self._config.listen,
                    found=error.strerror or str(error),
                    remedy="End the program that has it, or set another `listen` in node.toml",
                ) from error
        return f"{self._config.listen} is free"

    def advertised(self) -> str:
        """The name by which peers dial this node can be resolved."""
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

    def federation_spec(self) -> str:
        """The spec, received at enrolment, can be read."""
        task, target = self._spec.data.task, self._spec.data.target
        return f"{self._spec.name!r}: {task} of {target!r}, hash {self._spec.digest().hex()[:16]}"

    def policy(self) -> str:
        """The site's policy lets it take part in this federation."""
        policy = self._config.policy
        check_task(policy, self._spec.data.task)
        check_privacy(policy, self._spec.privacy)
        check_disclosure(policy, self._spec)
        peers = f", with {', '.join(policy.peers)} only" if policy.peers else ""
        rows = f", {policy.minimum_rows} rows" if policy.minimum_rows else ""
        return (
            f"sums over at least {policy.min_cohort} nodes{rows}{peers};"
            f" differencing: {policy.differencing}; {self._most_told()}"
        )

    def _most_told(self) -> str:
        """How much the spec lets rows tell."""
        if self._spec.privacy is not None:
            return "noise protects what is told"
        most = self._spec.most_told
        raised = ", RAISED: members may solve for rows" if most > SAFE_MOST_TOLD else ""
        told = f"at most {most:g} numbers told per cell of others' rows{raised}"
        return f"{told} (`edge-node preview` lists them)"

    def privacy(self) -> str:
        """The spec promises as much privacy as the site demands, and some of its budget is left."""
        found, promise = spending_report(self._paths), self._spec.privacy
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

    def data_file(self) -> str:
        """Every row fits the schema."""
        config = self._config
        path = self._paths.root / config.data
        source = open_source(path, self._spec.data, ignore=config.ignore, site=config.name)
        return f"{source.rows} rows fit the schema"

    def public_landmarks(self) -> str:
        """The file is the one that the spec names, if it names one."""
        paths = self._paths
        rows = read_public_landmarks(paths.root, self._config, self._spec, where=paths.config)
        return "none in the spec" if rows is None else f"{len(rows)} rows of the spec's file"

    def ledger(self) -> str:
        """The record of this site's contributions is whole."""
        paths = self._paths
        if not paths.ledger_key.exists() and not any(paths.state.glob("run-*")):
            return "none yet: this node has never contributed"
        ledger = Ledger.open(paths.ledger, paths.ledger_key, new=False)
        contributions, steps = sum(map(len, ledger.steps.values())), len(ledger.steps)
        told = f"{ledger.life.told():,} numbers told over this site's rows"
        return f"whole: {contributions} contributions to {steps} steps, {told}"

    def records(self) -> str:
        """Plan and completed steps are whole, where there are any."""
        state = self._paths.state
        if damaged := RecordStore(state).damaged():
            raise MachineError(
                "files are damaged",
                where=str(state),
                found=", ".join(str(path.relative_to(state)) for path in damaged),
                remedy="The node ignores them and asks for them again. Look after the disk",
            )
        return "whole"

    def posterior(self) -> str:
        """The model can be read, where there is one."""
        if not self._paths.model.exists():
            return "none yet"
        origin = Model.load(self._paths.model).provenance
        text = f"of run {origin.run}, {len(origin.cohort)} nodes, {origin.created}"
        if origin.spec_hash != self._spec.digest().hex():
            text += "; of another federation spec, and not used"
        return text

    def aggregator(self) -> str:
        """It answers, lets this node take part, and its clock agrees with this machine's."""
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
