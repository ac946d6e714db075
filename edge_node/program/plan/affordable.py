"""What a posterior may have of landmarks, steps, moves and noises, by what may still be told."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from edge_node.inference.regression.student import CLEANING_ROUNDS, SCALE_NUMBERS
from edge_node.program.plan.schedule import Schedule, numbers_of

__all__ = [
    "FEWEST_LANDMARKS",
    "after_cleaning",
    "largest_full",
    "most_landmarks",
    "spending",
    "within",
]

FEWEST_LANDMARKS = 4  # of any use

_STEPS_SHARE = 0.3  # of what the coarse look leaves: a classifier's steps, of r numbers each
_FEWEST_STEPS = 5  # where a likelihood learns parameters: with fewer, they stay near their start
_ENOUGH = 10  # landmarks, beyond which steps are worth more
_MOVES_SHARE = 0.5  # the same, if the spec asks for it: of gradients that move landmarks
_MOST_MESSAGES = 4  # of full size: noises of a regression


def largest_full(plan: Schedule, left: int, most: int, steps: int) -> int:
    """The most landmarks of a posterior for which ``left`` numbers are enough.

    They leave enough for all ``steps`` and moves, or for as many as `_STEPS_SHARE` and
    `_MOVES_SHARE` of the numbers allow; where a likelihood learns parameters, for
    `_FEWEST_STEPS` of each, if that is possible.
    """

    def largest(share: int, plan: Schedule) -> int:
        def numbers(full: int) -> int:
            return numbers_of(replace(plan, full=full).full_sums)

        return most_landmarks(numbers, share, most)

    kept = (1 - _STEPS_SHARE * (steps > 0)) * (1 - _MOVES_SHARE * (plan.moves > 0))
    without = replace(plan, steps=0, moves=0)
    if steps and plan.parameters:
        for few in (_FEWEST_STEPS * plan.likelihoods, _FEWEST_STEPS, 3):
            found = largest(int(kept * left), replace(without, steps=min(steps, few)))
            if found >= _ENOUGH:
                return found
    return max(largest(left, replace(plan, steps=steps)), largest(int(kept * left), without))


def spending(plan: Schedule, left: int, steps: int) -> Schedule:
    """A plan with what its posterior's sum leaves of ``left``: ``steps`` of a classifier, at most,
    moves, and noises to try.
    """
    spare = left - numbers_of(replace(plan, steps=0, moves=0).full_sums)
    if steps:
        steps = min(steps, spare // plan.numbers_per_step)
    spare -= steps * plan.numbers_per_step
    moves = min(plan.moves, spare // plan.numbers_per_move)
    found = replace(plan, steps=steps, moves=moves)
    if plan.steps:
        return found
    spare -= moves * plan.numbers_per_move
    return replace(found, messages=min(_MOST_MESSAGES, 1 + spare // plan.numbers_per_message))


def within(plan: Schedule, left: int, features: int) -> Schedule:
    """A plan with no more of what follows the coarse look than may still be told.

    A node may have been lost since the plan was made: the others' rows may tell less. A plan
    never grows, so that whoever is given a model's parts follows the same.

    Args:
        plan: as it was made.
        left: how many numbers may still be told.
        features: the resolution at which outer products may still be summed.

    Returns:
        The same plan where it fits; the same, to be refused by the meter, if nothing does.
    """
    if plan.full <= features and numbers_of(plan.full_sums) <= left:
        return plan
    draft = replace(plan, messages=1)
    full = largest_full(draft, left, min(plan.full, features), plan.steps)
    if full < min(FEWEST_LANDMARKS, plan.full):
        return plan
    found = spending(replace(draft, full=full), left, plan.steps)
    return replace(found, messages=min(found.messages, plan.messages))


def after_cleaning(plan: Schedule) -> Schedule:
    """A plan with no more of what follows than is left once outliers are found and cleaned of."""
    round_ = SCALE_NUMBERS + 1 + plan.first
    return within(plan, plan.left - CLEANING_ROUNDS * round_, plan.full)


def most_landmarks(numbers: Callable[[int], int], left: int, most: int) -> int:
    """The most landmarks whose sums tell no more numbers than are left; 0 if there is none."""
    return bisect_right(range(most + 1), left, key=numbers) - 1 if most > 0 else 0
