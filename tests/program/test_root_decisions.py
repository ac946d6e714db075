"""What no honest root chooses ends the run with an error, and not the process."""

import msgspec
import numpy as np
import pytest

from edge_node.errors import NetworkError
from edge_node.inference.messages.gaussian import Gaussian
from edge_node.inference.messages.moves import Places
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.messages.uncollapsed import Belief
from edge_node.program.root_decisions import (
    MoveChoice,
    read_evidences,
    read_move,
    read_sweep_choice,
)
from tests.inference.problems import features_on, normal

EVIDENCE = msgspec.json.encode([{"log_evidence": -1.0, "noise": 0.1, "amplitude": 1.0}])


def sums(count: int, target_power: float, prior_power: float) -> Statistics:
    """Of two features."""
    return Statistics(count, target_power, prior_power, Gaussian(np.eye(2), np.ones(2)))


@pytest.mark.parametrize("given", [(0, 5.0, 5.0), (-5, 5.0, -5.0), (5, -5.0, 5.0)])
def test_sums_that_no_rows_have_have_no_evidence(given: tuple[int, float, float]) -> None:
    """A member may make such totals, and a root that lies with it says that they have one."""
    assert read_evidences(EVIDENCE, [sums(5, 5.0, 5.0)], step="s")[0].noise == 0.1
    with pytest.raises(NetworkError, match="root's choice can't be used"):
        read_evidences(EVIDENCE, [sums(*given)], step="s")


@pytest.mark.parametrize("amplitude", [1e-320, 0.05, 20.0, 1e308, np.inf, np.nan])
def test_an_amplitude_beyond_what_is_searched(amplitude: float) -> None:
    """The ends are inside."""

    def choice(a: float) -> bytes:
        return np.array([1.0, 0.0, -3.5, a]).tobytes()

    for a in (0.1, 10.0):
        assert read_sweep_choice(choice(a), (0.1, 10.0), step="s").amplitude == a
    with pytest.raises(NetworkError, match="an amplitude from"):
        read_sweep_choice(choice(amplitude), (0.1, 10.0), step="s")


def test_a_place_that_landmarks_cannot_reach_in_a_step() -> None:
    """Nor anything else that isn't a place, or a noise; what can be chosen is read as it is."""
    features = features_on(normal(0, 5, 3))
    belief = Belief(np.zeros((5, 1)), np.eye(5), 0.1, 1.0)
    places = Places(features, belief, None, 100, 4.0)
    near = places.first + 0.05
    choice = read_move(MoveChoice(True, 0.2, near).pack(), places, None, places.first, step="s")
    assert (choice.accepted, choice.noise) == (True, 0.2)
    np.testing.assert_array_equal(choice.place, near)
    for wrong, expected in (
        (MoveChoice(True, 0.2, near + 1.0), "within a step's reach"),
        (MoveChoice(True, 0.2, near * np.nan), "a finite place"),
        (MoveChoice(True, -0.2, near), "a positive noise"),
        (MoveChoice(True, 0.2, near[1:]), "176 bytes"),
        (MoveChoice(False, 0.2, near), "the first place"),
    ):
        with pytest.raises(NetworkError, match=expected):
            read_move(wrong.pack(), places, None, places.first, step="s")
