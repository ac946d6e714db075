"""What a node has spent of its privacy, from its ledger, for people and programs."""

import math
from typing import Any

import msgspec

from edge_node.config import Level, load_node_config
from edge_node.config.paths import NodePaths
from edge_node.security.privacy.privacy_ledger import Entry, read_ledger, spent

__all__ = ["spending_report"]


def spending_report(paths: NodePaths) -> dict[str, Any]:
    """Read and check a node's ledger.

    Returns:
        ``releases`` (lines of the ledger, oldest first); ``level`` and ``delta``, of the site's own
        demand where it has one; ``epsilon`` spent at these, None if a release hid less; ``alone``,
        what it would be if in every cohort all others had pooled their noise; ``budget`` and what
        is ``left`` of it, None without a demand.

    Raises:
        ConfigurationError: the directory isn't a node's.
        RefusedError: the ledger was changed, or a part of it is missing.
    """
    demand = load_node_config(paths.config).policy.privacy
    entries = read_ledger(paths.privacy_ledger, paths.privacy_head)
    level = demand.level if demand else _least(entries)
    delta = demand.delta if demand else entries[-1].delta if entries else 0.0
    epsilon = spent([(entry.level, entry.rho) for entry in entries], level, delta)
    alone = spent([(entry.level, entry.rho * entry.honest) for entry in entries], level, delta)
    return {
        "level": level.value,
        "delta": delta,
        "epsilon": epsilon if math.isfinite(epsilon) else None,
        "alone": alone if math.isfinite(alone) else None,
        "budget": demand.epsilon if demand else None,
        "left": max(0.0, demand.epsilon - epsilon) if demand else None,
        "releases": [msgspec.to_builtins(entry) for entry in entries],
    }


def _least(entries: tuple[Entry, ...]) -> Level:
    """The level that all releases reach."""
    return Level.SITE if all(each.level is Level.SITE for each in entries) else Level.RECORD
