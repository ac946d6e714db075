"""A small federation without a network: its nodes, its clock and the planner."""

from dataclasses import replace
from hashlib import sha256

from aggregator.planning.planner import Decision, decide
from aggregator.planning.presence import Presence, heard, remembered
from aggregator.planning.snapshot import Rules
from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase, Report

RULES = Rules(minimum_nodes=3, liveness=15.0, settle=3.0, step=600.0, spec_hash=b"s" * 32)


class Federation:
    """Nodes that heartbeat when told to, a clock that moves when told to, and the planner."""

    def __init__(self, *nodes: str, rules: Rules = RULES) -> None:
        self.rules = rules
        self.now = 1000.0
        self.reports: dict[str, Report] = {}
        self.fingerprints: dict[str, bytes] = {}
        self.presences: dict[str, Presence] = {}
        self.plan: Plan | None = None
        self.last = Decision()
        for node in nodes:
            self.join(node)

    def join(self, node: str, *, address: str | None = None, session: bytes = b"1") -> None:
        """A node's process starts and says so."""
        address = f"{node}:7710" if address is None else address
        self.fingerprints.setdefault(node, sha256(node.encode()).digest())
        self.say(node, Report(address=address, session=session))

    def say(self, node: str, report: Report | None = None, **changes: object) -> None:
        """A node's heartbeat."""
        report = report or replace(self.reports[node], **changes)
        self.reports[node] = report
        self.presences[node] = heard(
            self.presences.get(node),
            node,
            self.fingerprints[node],
            report,
            now=self.now,
            liveness=self.rules.liveness,
        )

    def silence(self, node: str) -> None:
        """A node's process dies."""
        del self.reports[node]

    def restart_aggregator(self) -> None:
        """It remembers what nodes said; not that they live, nor what earlier plans have taught."""
        self.last = Decision()
        self.presences = {
            node: remembered(node, each.fingerprint, each.report, now=self.now)
            for node, each in self.presences.items()
        }

    def wait(self, seconds: float) -> None:
        """Time passes; nodes that live heartbeat; waiting goes on."""
        while seconds > 0:
            passed = min(seconds, self.rules.liveness / 2)
            self.now, seconds = self.now + passed, seconds - passed
            for node, report in list(self.reports.items()):
                self.say(node, waiting=report.waiting + passed if report.waiting_for else 0.0)

    def decide(self, *, departed: str = "") -> Plan | None:
        """The next plan, if one is due; all nodes that live take it."""
        self.last = decide(
            self.rules,
            self.presences.values(),
            self.plan,
            history=self.last.history,
            now=self.now,
            departed=departed,
        )
        if self.last.plan:
            self.plan = self.last.plan
            for node in self.reports.keys() & self.plan.by_node.keys():
                done = self.plan.completed_by(self.reports[node])
                self.say(
                    node,
                    epoch=self.plan.epoch,
                    run=self.plan.run,
                    phase=Phase.COMPLETE if done else Phase.RUNNING,
                    waiting_for=(),
                    waiting=0.0,
                    unreachable=(),
                    refused_epoch=0,
                )
        return self.last.plan

    def started(self) -> "Federation":
        """The same, with its first plan."""
        self.wait(self.rules.settle)
        assert self.decide()
        return self

    def complete(self, *nodes: str) -> None:
        """Nodes, by default all that live, reach the posterior."""
        for node in nodes or tuple(self.reports):
            if node in self.plan.by_node:
                self.say(node, phase=Phase.COMPLETE, waiting_for=(), waiting=0.0)

    def refuse(self, *nodes: str, reason: str = "e alone") -> None:
        """Nodes refuse the newest plan's cohort, and would be in another."""
        for node in nodes:
            epoch = self.plan.epoch
            self.say(node, phase=Phase.REFUSED, reason=reason, refused_epoch=epoch)

    def members(self) -> str:
        """The cohort of the newest plan, as one word."""
        return "".join(member.node for member in self.plan.members)

    def child_of_root(self) -> str:
        """A child of the root."""
        return next(m.node for m in self.plan.members if m.parent == self.plan.root)
