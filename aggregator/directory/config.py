"""Where an aggregator listens and what nodes dial: ``aggregator.toml``, and ``ports.json``."""

import ipaddress
import tomllib
from datetime import timedelta
from typing import Any

import msgspec

from aggregator.directory.layout import Directory
from edge_node.errors import ConfigurationError, MachineError
from edge_node.security.files import write_atomically

__all__ = [
    "AggregatorConfig",
    "Ports",
    "check_config",
    "load_config",
    "read_ports",
    "save_config",
]

_MOST_DAYS = 825


class AggregatorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``aggregator.toml``.

    A port of 0 is chosen at the first start and kept from then on: nodes remember it.
    """

    hosts: tuple[str, ...]  # names and addresses in its certificate; the first is what nodes dial
    port: int = 7700  # discovery, mutual TLS
    enrolment_port: int = 7701  # enrolment, TLS with the server's certificate only
    listen: str = "0.0.0.0"  # noqa: S104 - nodes of other machines dial it, with mutual TLS
    certificate_days: float = 90.0  # lifetime of certificates; they are renewed at half of it
    authority_offline: bool = msgspec.field(default=False, name="authority_elsewhere")
    """Whether ca/ holds certificates only, and the key is on another machine."""

    @property
    def lifetime(self) -> timedelta:
        """How long a certificate is valid."""
        return timedelta(days=self.certificate_days)


class Ports(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two TCP ports; 0: not chosen yet."""

    discovery: int
    enrolment: int


def load_config(directory: Directory) -> AggregatorConfig:
    """Read ``aggregator.toml``. Raises ConfigurationError."""
    where = str(directory.config)
    try:
        table: dict[str, Any] = tomllib.loads(directory.config.read_text(encoding="utf-8"))
        config = msgspec.convert(table, AggregatorConfig)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "there is no aggregator in this directory",
            where=where,
            remedy="Run `aggregator init`, or name its directory with --dir or AGGREGATOR_DIR",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            "the file can't be read", where=where, found=error.strerror or str(error)
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("not valid TOML", where=where, found=str(error)) from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            str(error), where=where, remedy="See `aggregator init --help` for the settings"
        ) from error
    return check_config(config, where=where)


def check_config(config: AggregatorConfig, *, where: str) -> AggregatorConfig:
    """The configuration itself, if its values make sense. Raises ConfigurationError."""
    ports = (config.port, config.enrolment_port)
    try:
        ipaddress.ip_address(config.listen)
        listens = True
    except ValueError:
        listens = False
    complaints = {
        "`hosts` is empty: name at least one host that nodes dial": not config.hosts,
        f"`listen` is not an IP address: {config.listen!r}": not listens,
        f"a port is not between 0 and 65535: {max(ports, key=abs)}": (
            not all(0 <= port <= 65535 for port in ports)
        ),
        f"`certificate_days` is not between 0 and {_MOST_DAYS}: {config.certificate_days}": (
            not 0 < config.certificate_days <= _MOST_DAYS
        ),
        f"`port` and `enrolment_port` are both {config.port}": ports[0] == ports[1] != 0,
    }
    for complaint, wrong in complaints.items():
        if wrong:
            raise ConfigurationError(complaint, where=where, remedy="Correct it")
    return config


def save_config(directory: Directory, config: AggregatorConfig) -> None:
    """Write ``aggregator.toml``. Raises MachineError."""
    hosts = ", ".join(_quoted(host) for host in config.hosts)
    lines = [
        "# Where this aggregator listens, and what nodes dial.",
        f"hosts = [{hosts}]  # in its certificate; the first is what nodes dial",
        f"port = {config.port}  # discovery",
        f"enrolment_port = {config.enrolment_port}",
        f"listen = {_quoted(config.listen)}",
        f"certificate_days = {config.certificate_days}  # renewed when half of it is over",
        f"authority_elsewhere = {str(config.authority_offline).lower()}  # ca/ holds no key",
    ]
    write_atomically(directory.config, ("\n".join(lines) + "\n").encode(), mode=0o644)


def read_ports(directory: Directory, config: AggregatorConfig) -> Ports:
    """The ports: as configured, or where that is 0 as they were bound last. Raises MachineError."""
    bound = Ports(discovery=0, enrolment=0)
    if directory.ports.exists():
        try:
            bound = msgspec.json.decode(directory.ports.read_bytes(), type=Ports)
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise MachineError(
                "the file can't be read",
                where=str(directory.ports),
                found=str(error),
                remedy="Remove it and start the aggregator again",
            ) from error
    return Ports(
        discovery=config.port or bound.discovery,
        enrolment=config.enrolment_port or bound.enrolment,
    )


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return msgspec.json.encode(text).decode()
