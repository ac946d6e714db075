"""A step is a value: its fields say what it is, and its text is for the wire alone."""

import pytest

from edge_node.step import Content, Step


def test_a_step_on_the_wire() -> None:
    """Its name, and which attempt it is unless it is the first."""
    step = Step("noise/1")
    assert [str(step), str(step.again), str(step.again.again)] == [
        "noise/1",
        "noise/1/again-1",
        "noise/1/again-2",
    ]


def test_its_identity_is_what_is_on_the_wire() -> None:
    """Two programs that call a step the same mean the same step, whatever they give to it."""
    assert Step("s") == Step("s", Content.COUNTS)
    assert Step("s") != Step("s").again


def test_an_attempt_is_no_part_of_a_name() -> None:
    """Or two steps would be one on the wire, and a guard would compare the second with nothing."""
    assert Step("noise/1", attempt=1) == Step("noise/1").again
    with pytest.raises(ValueError, match="can't hold '/again-'"):
        Step("noise/1/again-1")


@pytest.mark.parametrize("name", ["noise/1", "statistics/folds", "kmeans/0/counts", "folds"])
def test_attempts_at_statistics_are_compared_as_one_step(name: str) -> None:
    """Whatever it is called: a name that looks like a count's makes no count of it."""
    step = Step(name)
    assert step.compared == step.again.compared == step.again.again.compared == step


@pytest.mark.parametrize("name", ["counts", "kmeans/0/counts", "folds", "anything"])
def test_a_repeated_count_stands_for_itself(name: str) -> None:
    """Who is left may be counted again."""
    step = Step(name, Content.COUNTS)
    assert step.again.compared == step.again != step.compared == step


def test_what_is_not_said_to_be_counts_is_statistics() -> None:
    """The stricter of the two."""
    assert Step("counts").content is Content.STATISTICS
