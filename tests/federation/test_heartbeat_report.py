"""What both sides understand by a phase."""

from edge_node.federation.report import Phase, Report
from tangentmesh.v1 import discovery_pb2


def test_phases_have_the_numbers_of_the_wire() -> None:
    """All phases but the unspecified one, by their names."""
    wire = {name.removeprefix("PHASE_"): number for name, number in discovery_pb2.Phase.items()}
    assert wire.pop("UNSPECIFIED") == 0
    assert {phase.name: phase.value for phase in Phase} == wire
    assert [str(phase) for phase in Phase] == ["idle", "running", "complete", "refused"]


def test_a_refusal_is_of_every_cohort_or_of_one_epochs() -> None:
    """The two are told apart by the epoch."""
    assert Report(phase=Phase.REFUSED).refuses_every_cohort
    assert not Report(phase=Phase.REFUSED, refused_epoch=3).refuses_every_cohort
    assert not Report(phase=Phase.COMPLETE).refuses_every_cohort
