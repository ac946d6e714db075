"""How nodes are taken out of a federation, and let in again: what the operator's commands do."""

import time

from aggregator.directory.config import load_config
from aggregator.directory.layout import Directory
from aggregator.registry.registry import Denial, Registry
from edge_node.errors import ConfigurationError

__all__ = ["allow", "denied", "deny", "evict"]


def deny(directory: Directory, who: str, *, reason: str) -> list[Denial]:
    """Deny certificates: all that a node has, or the one with a fingerprint.

    Raises:
        ConfigurationError: no federation here, or no certificate of this name or fingerprint.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        held = [*registry.nodes(), *registry.renewals().values()]
        found = [each for each in held if who in (each.name, each.fingerprint.hex())]
        if not found:
            raise _nobody(who, sorted({each.name for each in held}))
        now = time.time()
        denials = [Denial(each.fingerprint, each.name, reason, now) for each in found]
        registry.deny(denials)
    return denials


def evict(directory: Directory, node: str, *, reason: str) -> list[Denial]:
    """Take a node out: its certificates are denied, and its name is free.

    Raises:
        ConfigurationError: no federation here.
        RefusedError: no node of this name is enrolled.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        return registry.remove(node, reason=reason, now=time.time())


def allow(directory: Directory, who: str) -> list[Denial]:
    """Allow a node's certificates, or the one with a fingerprint, again.

    Raises:
        ConfigurationError: no federation here, or no such certificate is denied.
        MachineError: the registry can't be written.
    """
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        denials = registry.denials()
        found = [each for each in denials if who in (each.node, each.fingerprint.hex())]
        if not found:
            raise _nobody(who, sorted({each.node for each in denials}))
        registry.allow(each.fingerprint for each in found)
    return found


def denied(directory: Directory) -> list[Denial]:
    """The denylist. Raises ConfigurationError, MachineError."""
    load_config(directory)
    with Registry.open(directory.registry) as registry:
        return registry.denials()


def _nobody(who: str, names: list[str]) -> ConfigurationError:
    return ConfigurationError(
        "no certificate has this name or fingerprint",
        where=who,
        expected=f"the fingerprint of a certificate (64 hexadecimal digits), or one of"
        f" {', '.join(names) or 'no nodes'}",
        remedy="Look at `aggregator status`, or `aggregator denied`",
    )
