"""What holds of every plan, whatever happens to a federation and in whatever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_node.federation.plan import Plan
from edge_node.federation.report import Phase
from edge_node.network.wire.plan import check_plan, parse_plan, plan_message
from tests.aggregator.planning.federation import Federation


class Life(RuleBasedStateMachine):
    """Nodes join, die, wait, refuse, complete and lose edges in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.federation = Federation("a", "b", "c")
        self.before: Plan | None = None

    nodes = st.sampled_from("abcdefg")

    @rule(node=nodes, inbound=st.booleans(), session=st.binary(min_size=1, max_size=1))
    def join(self, node: str, inbound: bool, session: bytes) -> None:
        """A process starts."""
        address = None if inbound else ""
        self.federation.join(node, address=address, session=session)

    @precondition(lambda self: self.federation.reports)
    @rule(data=st.data(), seconds=st.sampled_from([1.0, 4.0, 16.0, 601.0]))
    def live(self, data: st.DataObject, seconds: float) -> None:
        """Something happens to one node, and time passes."""
        node = data.draw(st.sampled_from(sorted(self.federation.reports)))
        peers = data.draw(st.frozensets(self.nodes.filter(lambda peer: peer != node), max_size=3))
        happening = data.draw(
            st.sampled_from(["die", "wait", "lose", "refuse", "decline", "complete"])
        )
        match happening:
            case "die":
                self.federation.silence(node)
            case "wait":
                self.federation.say(node, waiting_for=tuple(peers))
            case "lose":
                self.federation.say(node, unreachable=tuple(peers))
            case "refuse":
                self.federation.say(node, phase=Phase.REFUSED)
            case "decline" if self.federation.plan:
                epoch = self.federation.reports[node].epoch
                self.federation.say(node, phase=Phase.REFUSED, refused_epoch=epoch)
            case _ if self.federation.plan:
                self.federation.complete()
        self.federation.wait(seconds)

    @rule()
    def restart(self) -> None:
        """The aggregator is started anew."""
        self.federation.restart_aggregator()

    @rule()
    def settle(self) -> None:
        """Nothing happens for a while."""
        self.federation.wait(4.0)

    @invariant()
    def planned_well(self) -> None:
        """Epochs grow by one, a run's cohort only shrinks, and a plan leaves nothing to plan."""
        plan = self.federation.decide()
        if plan is None:
            return
        before, self.before = self.before, plan
        members = {member.node for member in plan.members}
        assert len(members) >= self.federation.rules.fewest_to_go_on
        if before:
            assert plan.epoch == before.epoch + 1
            assert plan.run in (before.run, before.run + 1)
            assert plan.run != before.run or members <= before.by_node.keys()
        alive = self.federation.presences
        assert all(self.federation.now - alive[node].heard <= 15.0 for node in members)
        assert not any(alive[node].report.refuses_every_cohort for node in members)
        assert not any(alive[node].remembered for node in members)
        for member in plan.members:
            assert (member.node == plan.root) == (member.parent == "")
            assert member.parent == "" or plan.by_node[member.parent].address
        assert parse_plan(plan_message(plan)) == plan
        check_plan(plan)
        assert self.federation.decide() is None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
