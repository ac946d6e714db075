"""What this site would tell in a run: the program, with others that are assumed, and nothing sent.

The other sites are taken to have rows like this one's, so a total is this site's own vector times
a whole number. Which sums there are, in which order and of what size, follows from the spec, the
schema and the number of rows. So a preview is right as far as the others are of the assumed sizes.
Only steps that end when they have converged may be a few more or fewer.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import msgspec

from edge_node.arrays import Vector
from edge_node.config import (
    FederationSpec,
    Floors,
    NodeConfig,
    PrivacySpec,
    load_node_config,
    load_spec,
)
from edge_node.config.paths import NodePaths
from edge_node.data.sources.distinct import distinct_rows_given
from edge_node.data.sources.public import read_public_landmarks
from edge_node.data.sources.rare_classes import without_rare_classes
from edge_node.data.sources.source import FileSource, open_source
from edge_node.data.sums.census import Census
from edge_node.data.sums.given import Given, given_by
from edge_node.network.base import NetworkLayer, Terms
from edge_node.network.memory import MemoryFederation
from edge_node.program import infer
from edge_node.program.plan.allowances import unknown_columns
from edge_node.security.disclosure.allowance import Allowance, remaining_rows
from edge_node.security.disclosure.bill import Bill
from edge_node.security.disclosure.ledger import Ledger
from edge_node.security.disclosure.lifetime import Life
from edge_node.security.disclosure.policy import check_disclosure, check_privacy, check_task
from edge_node.step import Step

__all__ = ["Preview", "PreviewedSum", "preview"]


@dataclass(frozen=True)
class PreviewedSum:
    """A sum that this site would contribute to.

    Attributes:
        step: its name.
        content: what the nodes contribute to it.
        rows: over how many of this site's rows it is, at most: a partition's sums and counts are
            over groups of them.
        values: how many values are summed.
        numbers: how many of them are real-valued numbers that nothing protects.
        features: the resolution of a sum of outer products; 0: it is of none.
    """

    step: str
    content: str
    rows: int
    values: int
    numbers: int
    features: int


@dataclass(frozen=True)
class Preview:
    """What a site would tell.

    Attributes:
        site: its name.
        rows: how many distinct rows it has.
        sites: how many other sites are assumed.
        sites_rows: how many distinct rows each of them is assumed to have.
        sums: in the order of the run.
        bill: of the run; None: noise protects what is told.
        privacy: what that noise promises.
    """

    site: str
    rows: int
    sites: int
    sites_rows: int
    sums: tuple[PreviewedSum, ...]
    bill: Bill | None
    privacy: PrivacySpec | None = None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "site": self.site,
            "rows": self.rows,
            "assumed": {"sites": self.sites, "rows": self.sites_rows},
            "sums": [asdict(each) for each in self.sums],
            "bill": self.bill.as_dict() if self.bill else None,
            "privacy": msgspec.to_builtins(self.privacy),
        }


def preview(
    paths: NodePaths, *, spec: Path | None = None, sites: int | None = None, rows: int | None = None
) -> Preview:
    """What the site in a directory would tell in its next run.

    Args:
        paths: of the directory; it need not have enrolled if a spec is given.
        spec: the federation's; None: as it was received at enrolment.
        sites: how many other sites to assume; None: as many as the first run needs.
        rows: how many distinct rows each of them has; None: as many as this site.

    Raises:
        ConfigurationError: there is no node, or no spec.
        DataError: the rows don't fit the schema.
        RefusedError: the site's policy excludes the federation, or its rows may not tell so much.
        NumericalError: there is nothing to learn from rows like these.
    """
    config, federation = load_node_config(paths.config), load_spec(spec or paths.spec)
    check_task(config.policy, federation.data.task)
    check_privacy(config.policy, federation.privacy)
    check_disclosure(config.policy, federation)
    file = paths.root / config.data
    source = open_source(file, federation.data, ignore=config.ignore, site=config.name)
    own = distinct_rows_given(source, federation, config.policy)
    others = _Others(
        own,
        federation.minimum_nodes - 1 if sites is None else sites,
        own if rows is None else rows,
    )
    network = _Assumed(config.name, others, life=_life(paths))
    bill = asyncio.run(_bill(network, source, federation, config, paths))
    return Preview(
        config.name,
        others.own,
        others.sites,
        others.rows,
        tuple(network.sums),
        bill,
        federation.privacy,
    )


async def _bill(
    network: "_Assumed",
    source: FileSource,
    spec: FederationSpec,
    config: NodeConfig,
    paths: NodePaths,
) -> Bill | None:
    public = read_public_landmarks(paths.root, config, spec, where=paths.config)
    allowance = None
    if spec.privacy is None:
        floors = Floors.of(spec, config.policy)
        kept = without_rare_classes(source, spec.data, floors.category)
        allowance = network.allowance(spec, given_by(kept, spec.data, floors.category))
    model = await infer(
        network,
        source,
        spec,
        public=public,
        policy=config.policy,
        allowance=allowance,
        partitioned=network.partitioned,
    )
    return model.provenance.bill


def _life(paths: NodePaths) -> Life:
    """What this site's rows have told."""
    if not paths.ledger_key.exists():
        return Life((), {})
    return Ledger.open(paths.ledger, paths.ledger_key, new=False).life


@dataclass(frozen=True)
class _Others:
    """How many distinct rows there are: this site's own, and those of assumed sites."""

    own: int
    sites: int
    rows: int

    @property
    def total(self) -> int:
        """Of all sites."""
        return self.own + self.sites * self.rows

    @property
    def factor(self) -> int:
        """How many times this site's rows that is, about."""
        return max(1, round(self.total / max(self.own, 1)))


class _Assumed(NetworkLayer):
    """One site, and others like it; ``sums`` is what it would contribute to."""

    def __init__(self, site: str, others: _Others, *, life: Life) -> None:
        super().__init__(MemoryFederation([site]).network(site))
        self.sums: list[PreviewedSum] = []
        self._others = others
        self._life = life

    @property
    def sizes(self) -> Mapping[str, int]:
        """As each site would sign it."""
        assumed = {f"assumed-{i + 1}": self._others.rows for i in range(self._others.sites)}
        rows = {self.node: self._others.own, **assumed}
        return {site: 1 << (max(number, 1).bit_length() - 1) for site, number in rows.items()}

    def partitioned(self) -> bool:
        """Whether this site's rows have been in cells before."""
        return any(self._life.partitions(0))

    def allowance(self, spec: FederationSpec, given: Given) -> Allowance:
        """What rows of such sites may tell, if all give what this one gives."""
        census = Census.read(given.census * self._others.factor, spec.data)
        return Allowance(
            rows=remaining_rows(self.sizes, self._others.total, spec.coalition),
            columns=unknown_columns(spec.data, census.known),
            most_told=spec.most_told,
            told=self._life.told(),
            class_rows=census.smallest_class(spec.coalition, Floors.of(spec).category),
        )

    async def sum(self, step: Step, vector: Vector, **terms: Unpack[Terms]) -> Vector:
        """The total that sites like this one would have."""
        numbers = len(vector) if step.tells_numbers else 0
        features = terms.get("features", 0)
        if len(vector):  # without values it carries a decision, and says nothing of rows
            self.sums.append(
                PreviewedSum(
                    str(step), step.content, self._others.own, len(vector), numbers, features
                )
            )
        return await super().sum(step, vector * self._others.factor, **terms)
