"""What is configured: a federation spec that all nodes share, and a node file that its site owns.

Both are TOML, read into frozen values. Unknown keys are refused: a misspelt setting must never
be a silent default. The spec's hash is taken over its canonical form, so that comments and key
order don't matter and every value does; it is bound into each plan and each message.
"""

from edge_node.config.checks import check_node_config, check_spec
from edge_node.config.files import load_node_config, load_spec, parse_spec, to_toml
from edge_node.config.node import NodeConfig
from edge_node.config.policy import Differencing, SitePolicy
from edge_node.config.privacy import Level, PrivacyPolicy, PrivacySpec
from edge_node.config.spec import (
    LARGEST_COHORT,
    SMALLEST_COHORT,
    Activation,
    Column,
    ColumnKind,
    DataSpec,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    ModelSpec,
    Task,
    TimingSpec,
    Which,
)

__all__ = [
    "LARGEST_COHORT",
    "SMALLEST_COHORT",
    "Activation",
    "Column",
    "ColumnKind",
    "DataSpec",
    "Differencing",
    "FederationSpec",
    "KernelKind",
    "LandmarkKind",
    "Level",
    "ModelSpec",
    "NodeConfig",
    "PrivacyPolicy",
    "PrivacySpec",
    "SitePolicy",
    "Task",
    "TimingSpec",
    "Which",
    "check_node_config",
    "check_spec",
    "load_node_config",
    "load_spec",
    "parse_spec",
    "to_toml",
]
