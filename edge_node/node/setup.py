"""A node's beginning and end: its node file, enrolment, a renewed certificate, leaving."""

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_node.config import (
    FederationSpec,
    NodeConfig,
    SitePolicy,
    check_node_config,
    load_node_config,
    load_spec,
    parse_spec,
    to_toml,
)
from edge_node.config.names import check_node_name, join_address, split_address
from edge_node.config.paths import NodePaths
from edge_node.errors import ConfigurationError, IdentityError
from edge_node.network.discovery.client import read_address
from edge_node.network.discovery.enrolment import Enrolment, enrol
from edge_node.network.discovery.leaving import leave
from edge_node.network.discovery.renewal import renew
from edge_node.network.exchange.records import RecordStore
from edge_node.security.disclosure.departure import Departure
from edge_node.security.files import make_private_directory, remove, write_atomically
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.keyring import Keyring, request_key
from edge_node.security.pki.signing_requests import key_fingerprint, signing_request
from edge_node.security.pki.tokens import Token

__all__ = ["create_node", "enrol_node", "leave_node", "renew_node"]


def create_node(
    paths: NodePaths,
    *,
    name: str,
    data: Path,
    listen: str,
    advertise: str,
    no_inbound: bool,
    ignore: tuple[str, ...],
    threads: int,
    policy: SitePolicy,
) -> NodeConfig:
    """Write the node file. With ``no_inbound`` the node accepts no connections.

    Raises:
        ConfigurationError: there is one already, the name or an address is invalid, the data file
            does not exist, or the policy contradicts itself.
        MachineError: the directory can't be written.
    """
    check_node_name(name)
    _check_free(paths)
    if not data.is_file():
        raise ConfigurationError("no such data file", where=str(data), remedy="Check --data")
    if no_inbound:
        listen = advertise = ""
    else:
        advertise = _advertised(listen, advertise)
    config = NodeConfig(
        name=name,
        data=str(data.resolve()),
        listen=listen,
        advertise=advertise,
        ignore=ignore,
        threads=threads,
        policy=policy,
    )
    check_node_config(config, where="node file")
    make_private_directory(paths.root)
    write_atomically(paths.config, to_toml(config))
    return config


def _check_free(paths: NodePaths) -> None:
    """Check that there is no node file yet. Raises ConfigurationError."""
    if paths.config.exists():
        raise ConfigurationError(
            "there is a node here already",
            where=str(paths.config),
            remedy="Edit it, or use another --dir",
        )


def _advertised(listen: str, advertise: str) -> str:
    """What peers dial; by default this machine's name. Raises ConfigurationError."""
    _, port = split_address(listen, where="--listen", lowest_port=0)
    advertise = advertise or join_address(socket.getfqdn(), port)
    split_address(advertise, where="--advertise", lowest_port=0)
    return advertise


def enrol_node(
    paths: NodePaths, text: str, expected: Path | None, *, timeout: float
) -> dict[str, Any]:
    """Join the federation that issued a token, and keep identity, spec and discovery address.

    The key is on disk before its certificate is asked for. So it can be asked for again: after an
    answer that was lost, or while an offline authority hasn't signed yet.

    Args:
        paths: the node's directory; its node file must exist.
        text: the token; empty: the kept one, whose certificate was not signed yet.
        expected: a spec file that the federation's spec must equal, but for comments and order.
        timeout: seconds for each exchange with the aggregator.

    Returns:
        What to tell the user. While it is ``pending`` the fingerprint is the key's, afterwards the
        certificate's.

    Raises:
        ConfigurationError: there is no node file, or the spec is not the expected one.
        IdentityError: the token is not for this node, or was refused; nothing was changed.
        NetworkError: the aggregator can't be reached; nothing was changed.
    """
    config = load_node_config(paths.config)
    text = text or _kept_token(paths)
    token = _token_for(config, text, where=paths.config)
    wanted = load_spec(expected) if expected else None
    key_pem = request_key(paths.identity)  # before the token is used up
    enrolment = enrol(token, timeout=timeout, key_pem=key_pem)
    spec = parse_spec(enrolment.spec, where=f"spec received from {token.address}")
    if wanted is not None:
        _check_equal(spec, wanted, where=token.address)
    identity = enrolment.identity
    facts = {"node": config.name, "federation": spec.name, "pending": identity is None}
    if identity is None:
        write_atomically(paths.token, text.encode())
        csr = signing_request(key_pem, config.name)
        return facts | {"fingerprint": key_fingerprint(csr, config.name)}
    _keep_membership(paths, enrolment, identity)
    return facts | {
        "fingerprint": identity.fingerprint.hex(),
        "expires": identity.expires.isoformat(),
        "spec": str(paths.spec),
        "spec_hash": spec.digest().hex(),
        "discovery": enrolment.discovery,
    }


def _keep_membership(paths: NodePaths, enrolment: Enrolment, identity: Identity) -> None:
    """Write what makes a directory a member's, the identity last. Raises MachineError."""
    write_atomically(paths.spec, enrolment.spec.encode(), mode=0o644)
    write_atomically(paths.discovery, f"{enrolment.discovery}\n".encode())
    Keyring.begin(paths.identity, identity)
    remove(paths.left)
    remove(paths.token)


def _token_for(config: NodeConfig, text: str, *, where: Path) -> Token:
    """The token, if it is this node's. Raises IdentityError."""
    token = Token.decode(text)
    if token.node != config.name:
        raise IdentityError(
            "the token is for another node",
            where=str(where),
            expected=f"a token for {config.name!r}",
            found=f"one for {token.node!r}",
            remedy=f"Ask the federation's operator for `aggregator token {config.name}`",
        )
    return token


def _check_equal(spec: FederationSpec, wanted: FederationSpec, *, where: str) -> None:
    """Check that the federation's spec is the expected one. Raises ConfigurationError."""
    if wanted.digest() != spec.digest():
        raise ConfigurationError(
            "the federation's spec is not the expected one",
            where=where,
            expected=wanted.digest().hex(),
            found=spec.digest().hex(),
            remedy="Ask the federation's operator what has changed",
        )


def _kept_token(paths: NodePaths) -> str:
    try:
        return paths.token.read_text()
    except OSError as error:
        raise ConfigurationError(
            "this node waits for no certificate",
            where=str(paths.token),
            remedy="Run `edge-node enrol TOKEN` with a token from the federation's operator",
        ) from error


def renew_node(paths: NodePaths) -> dict[str, Any]:
    """Ask for a certificate with a new key now. A node that runs takes it up by itself.

    Raises:
        ConfigurationError, IdentityError: this directory is not a member's.
        NetworkError: the aggregator can't be reached; nothing was changed.
        RefusedError: it doesn't renew this certificate; nothing was changed.
    """
    address = read_address(paths.discovery)
    renewed = asyncio.run(renew(address, Keyring.open(paths.identity)))
    return {
        "pending": renewed is None,
        "fingerprint": renewed.fingerprint.hex() if renewed else "",
        "expires": renewed.expires.isoformat() if renewed else "",
    }


def leave_node(paths: NodePaths, *, consent: bool, forget: bool) -> dict[str, Any]:
    """Leave the federation. A running node stops taking part, and says so.

    Args:
        paths: the node's directory.
        consent: let the others form totals without this node at once, though the difference to
            earlier totals is this node's sums.
        forget: delete the posterior and the records of runs. The data file is never touched. The
            ledger stays, too: it guards the others if the node comes back.

    Raises:
        ConfigurationError, IdentityError: this directory is not a member's.
        NetworkError: the aggregator can't be reached; nothing was changed.
        RefusedError: it doesn't know this node; nothing was changed.
        MachineError: a file can't be written.
    """
    address, identity = read_address(paths.discovery), Keyring.open(paths.identity).newest
    store = RecordStore(paths.state)
    plan = store.load_plan()
    departure = Departure.of(identity, plan.epoch if plan else 0) if consent else None
    asyncio.run(leave(address, identity, departure))
    if forget:
        store.clear()
        for file in (paths.model, *paths.state.glob("model.*")):
            remove(file)
    said = f"{identity.node} has left the federation on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    write_atomically(paths.left, f"{said}\n".encode())
    return {"node": identity.node, "consents": consent, "forgotten": forget}
