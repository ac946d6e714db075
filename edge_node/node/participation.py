"""How a node takes part in runs: the program, once for each run that the aggregator plans.

A run ends in one of four ways. The posterior is here: then the node still helps others to the last
total. Or this site's guard refuses the epoch's cohort: then the run is tried again with the next
epoch's. Or the run has failed; or a newer run begins.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_node.config import FederationSpec, NodeConfig
from edge_node.config.paths import NodePaths
from edge_node.data.sources.distinct import distinct_rows_given
from edge_node.data.sources.source import Batch, FileSource
from edge_node.errors import CohortRefusedError, DataError, RefusedError, TangentMeshError
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase
from edge_node.model.model import Model
from edge_node.network.exchange.feed import PlanFeed
from edge_node.network.exchange.records import RecordStore
from edge_node.network.exchange.relay import Progress
from edge_node.network.threaded import ThreadedNetwork
from edge_node.network.tree.agreement import confirm
from edge_node.network.tree.tree import RunSuperseded, TreeNetwork
from edge_node.program import infer
from edge_node.security.disclosure.guard import SiteGuard
from edge_node.security.disclosure.policy import (
    check_cohort,
    check_disclosure,
    check_privacy,
    check_task,
)
from edge_node.security.privacy.privacy_ledger import PrivacyLedger

__all__ = ["Participation"]

_log = logging.getLogger(__name__)


@dataclass
class Participation:
    """A site's part in the federation's runs, and what has become of it.

    Attributes:
        paths: of the node's directory.
        config: the node's.
        spec: the federation's.
        source: the site's rows.
        public: public landmarks, where the spec has any.
        feed: plans.
        store: records of runs.
        connect: makes the network of a run.
        tell: tells the aggregator at once what has changed here.
        phase: how far the node is in ``run``.
        run: the newest one that this node has heard of.
        reason: why the node refuses to take part; empty: it takes part.
        refused_epoch: the epoch whose cohort alone is refused; 0: none.
        model: the newest posterior.
        network: of the run in progress.
        planned: how many steps it takes at most; 0: that isn't planned yet.
        guard: the site's; None: it takes part in nothing, and ``reason`` says why.
    """

    paths: NodePaths
    config: NodeConfig
    spec: FederationSpec
    source: FileSource
    public: Batch | None
    feed: PlanFeed
    store: RecordStore
    connect: Callable[[int, SiteGuard, PrivacyLedger | None], TreeNetwork]
    tell: Callable[[], None]
    phase: Phase = Phase.IDLE
    run: int = 0
    reason: str = ""
    refused_epoch: int = 0
    model: Model | None = None
    network: TreeNetwork | None = None
    planned: int = 0

    def __post_init__(self) -> None:
        self.guard = self._open_guard()

    @property
    def progress(self) -> Progress:
        """How far the run in progress is; empty if there is none."""
        return self.network.progress if self.network else Progress()

    async def take_part(self) -> None:
        """Run the program once for each run that the aggregator plans.

        If this site refuses an epoch's cohort, the run is tried again with the next epoch's.
        """
        epoch = tried = 0
        while self.guard is not None:
            plan = await self.feed.wait_newer(epoch)
            epoch = plan.epoch
            if self.model and self.model.provenance.run == plan.run:
                await self._hand_over(plan, self.guard)
            elif plan.run != tried:
                await self._run_program(plan, self.guard)
                tried = 0 if self.refused_epoch else plan.run

    def load_model(self) -> None:
        """Take up the posterior on disk, if it is of this federation's spec."""
        if self.paths.model.exists():
            try:
                self.model = Model.load(self.paths.model)
            except DataError as error:
                _log.warning("%s", error)
        if self.model and self.model.provenance.spec_hash != self.spec.digest().hex():
            self.model = None  # of another federation spec: it answers other questions

    def end(self, reason: str) -> None:
        """The node has left the federation; its posterior goes on answering, if it was kept."""
        self._enter(self.run, Phase.REFUSED, reason)
        self.model = self.model if self.paths.model.exists() else None

    def _open_guard(self) -> SiteGuard | None:
        policy, file = self.config.policy, self.source.path
        try:
            check_task(policy, self.spec.data.task)
            check_privacy(policy, self.spec.privacy)
            check_disclosure(policy, self.spec)
            rows = distinct_rows_given(self.source, self.spec, policy)
            guard = SiteGuard.open(self.paths, self.config, self.spec, file, rows)
        except RefusedError as error:
            _log.error("%s", error)
            self._enter(self.run, Phase.REFUSED, error)
            return None
        self.source.stamp.check(self.source.path)  # the guard has the version of these very rows
        return guard

    def _ledger(self) -> PrivacyLedger | None:
        """Where sums with noise are paid for; None: the spec has none."""
        promise = self.spec.privacy
        if promise is None:
            return None
        return PrivacyLedger(
            self.paths.privacy_ledger,
            self.paths.privacy_head,
            level=promise.level,
            delta=promise.delta,
            demand=self.config.policy.privacy,
        )

    async def _hand_over(self, plan: Plan, guard: SiteGuard) -> None:
        """Help others to complete a run that is complete here: they may lack its last total."""
        self._enter(plan.run, Phase.COMPLETE)
        self.network = self.connect(plan.run, guard, self._ledger())
        try:
            await self.network.hand_over(plan)
        except TangentMeshError as error:
            _log.warning("can't help others to complete the run: %s", error)
        finally:
            self.network = None

    async def _run_program(self, plan: Plan, guard: SiteGuard) -> None:
        self._enter(plan.run, Phase.RUNNING)
        self.planned = 0
        self.store.prune(plan.run)
        self.network = network = self.connect(plan.run, guard, self._ledger())
        _log.info("a run begins", extra={"run": plan.run, "nodes": len(plan.cohort)})
        try:
            model = await self._learn(plan, network, guard)
        except RunSuperseded:
            _log.info("a newer run begins", extra={"run": plan.run})
            return
        except CohortRefusedError as error:
            _log.warning("this cohort is refused: %s", error, extra={"run": plan.run})
            epoch = max(plan.epoch, network.epoch.number)
            self._enter(plan.run, Phase.REFUSED, error, epoch=epoch)
            return
        except TangentMeshError as error:
            _log.error("the run failed: %s", error, extra={"run": plan.run})
            self._enter(plan.run, Phase.REFUSED, error)
            return
        finally:
            self.network = None
            self.tell()
        self.store.run(plan.run).finish()
        self.model, self.phase = model, Phase.COMPLETE
        cohort = ", ".join(model.provenance.cohort)
        _log.info("the posterior is here", extra={"run": plan.run, "cohort": cohort})

    async def _learn(self, plan: Plan, network: TreeNetwork, guard: SiteGuard) -> Model:
        """The run's model, once all nodes have compared transcripts and it is on disk."""
        check_cohort(self.config.policy, self.config.name, plan.cohort)
        if network.ledger is not None and self.spec.privacy is not None:
            network.ledger.check(self.spec.privacy, run=plan.run, cohort=len(plan.cohort))
        model = await self._in_thread(network, guard)
        await confirm(network)
        await asyncio.to_thread(model.save, self.paths.model)
        return model

    async def _in_thread(self, network: TreeNetwork, guard: SiteGuard) -> Model:
        """The program in a thread of its own: it computes while this loop talks."""
        proxy = ThreadedNetwork(network, asyncio.get_running_loop())
        try:
            return await asyncio.to_thread(
                lambda: asyncio.run(
                    infer(
                        proxy,
                        self.source,
                        self.spec,
                        public=self.public,
                        policy=self.config.policy,
                        partitioned=lambda: guard.partitioned(network.run),
                        run=network.run,
                        foresees=self._foresee,
                    )
                )
            )
        finally:
            proxy.close()

    def _foresee(self, steps: int) -> None:
        self.planned = steps

    def _enter(
        self, run: int, phase: Phase, reason: TangentMeshError | str = "", *, epoch: int = 0
    ) -> None:
        """A phase of a run; ``epoch`` is the one whose cohort alone is refused."""
        self.run, self.phase, self.reason, self.refused_epoch = run, phase, str(reason), epoch
