"""What is configured: a federation spec that all nodes share, and a node file that its site owns.

Both are TOML, read into frozen values. Unknown keys are refused: a misspelt setting must never
be a silent default. The spec's hash is taken over its canonical form, so comments and the order of
keys don't matter, and every value does. Each plan and each message is bound to that hash.

Read `spec` with `privacy` (what a federation agrees on), then `node` with `policy` (what a site
decides for itself) and `floors` (what both demand). `checks` and `private_checks` say what the
types can't, `files` reads and writes. `table` is what every TOML table is, `budget` turns bytes
into landmarks, `names` says what may be a name or an address, and `paths` where things are in a
node's directory.
"""

from edge_node.config.checks import check_node_config, check_spec
from edge_node.config.files import load_node_config, load_spec, parse_spec, to_toml
from edge_node.config.floors import Floors
from edge_node.config.node import NodeConfig
from edge_node.config.policy import Differencing, SitePolicy
from edge_node.config.privacy import Level, PrivacyPolicy, PrivacySpec
from edge_node.config.spec import (
    LARGEST_COHORT,
    SAFE_MOST_TOLD,
    SMALLEST_COHORT,
    SMALLEST_GROUP,
    Activation,
    Column,
    ColumnKind,
    DataSpec,
    Distribution,
    FederationSpec,
    KernelKind,
    LandmarkKind,
    Likelihood,
    ModelSpec,
    SiteRefinement,
    Task,
    TimingSpec,
    Which,
)

__all__ = [
    "LARGEST_COHORT",
    "SAFE_MOST_TOLD",
    "SMALLEST_COHORT",
    "SMALLEST_GROUP",
    "Activation",
    "Column",
    "ColumnKind",
    "DataSpec",
    "Differencing",
    "Distribution",
    "FederationSpec",
    "Floors",
    "KernelKind",
    "LandmarkKind",
    "Level",
    "Likelihood",
    "ModelSpec",
    "NodeConfig",
    "PrivacyPolicy",
    "PrivacySpec",
    "SitePolicy",
    "SiteRefinement",
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
