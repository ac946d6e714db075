"""Masked words are uniform: by themselves, and compared between epochs, steps and edges.

Chi-square tests of each byte of a word, at a level that a right implementation misses once in a
thousand million runs; the controls miss it by hundreds of digits.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from edge_node.network.tree.tree import TreeNetwork
from edge_node.network.wire.fixed_point import Limbs, from_bytes
from edge_node.security import masks
from edge_node.step import Content, Step
from tests.attacks.eavesdropping import Heard, listening
from tests.attacks.tampering import outcomes
from tests.support.mesh import Mesh

pytestmark = pytest.mark.timeout(60)

CHAIN = {"a": "", "b": "a", "c": "b"}
LENGTH = 25_600  # words: a hundred of each byte's values
LEVEL = 1e-12  # of one of some hundred tests

BOUNDS: dict[str, list[tuple[int, float | None]]] = {
    "wide": [(LENGTH, None)],
    "narrow": [(LENGTH, 2.0**20)],
}


def least_likely(words: Limbs) -> float:
    """The smallest p-value of all bytes of a limb: that its 256 values are equally frequent."""
    by_place = words.view(np.uint8).reshape(len(words), 8).T
    counts = [np.bincount(each, minlength=256) for each in by_place]
    return min(float(chisquare(count).pvalue) for count in counts)


async def listen(
    mesh: Mesh, vector: np.ndarray, bounds: list[tuple[int, float | None]]
) -> dict[str, Limbs]:
    """What edges carry while one vector is summed twice in one epoch, and again in the next."""

    async def program(network: TreeNetwork) -> None:
        for name, epoch in (("first", 1), ("second", 1), ("third", 2)):
            if network.node == "a":
                mesh.offer(mesh.plan(epoch, CHAIN))
            await network.feed.wait_newer(epoch - 1)
            await network.sum(Step(name), vector, bounds=bounds)
            await network.gather(Step(f"after {name}", Content.PUBLIC), b"")

    heard: list[Heard] = []
    await mesh.start(CHAIN, link_types=dict.fromkeys(CHAIN, listening(heard)))
    mesh.offer(mesh.plan(1, CHAIN))
    ended = await outcomes(mesh, program)
    assert set(ended.values()) == {None}
    return {
        f"{each.operation.step} from {each.child}": from_bytes(each.payload)
        for each in heard
        if each.is_sum
    }


VECTORS: dict[str, np.ndarray] = {
    "zeros": np.zeros(LENGTH),
    "one value": np.full(LENGTH, 31415.926535897),
    "rows": np.random.default_rng(0).normal(size=LENGTH),
}


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
async def test_words_on_every_edge_are_uniform(
    mesh: Mesh, vector: np.ndarray, bounds: list[tuple[int, float | None]]
) -> None:
    """Whatever is in them; so are their differences, where a mask used twice would be missing.

    Limbs are compared without borrowing: that makes no difference to what is uniform.
    """
    words = await listen(mesh, vector, bounds)
    assert len(words) == 6
    for each in words.values():
        assert least_likely(each) > LEVEL
    for one, other in combinations(words.values(), 2):
        assert least_likely(one - other) > LEVEL


Weaken = Callable[[pytest.MonkeyPatch], None]


def no_masks(patch: pytest.MonkeyPatch) -> None:
    """Words as they are."""
    patch.setattr(masks.PairwiseMasks, "mask", lambda _self, words, *_: words)


def one_keystream_for_all_steps(patch: pytest.MonkeyPatch) -> None:
    """The step's name is forgotten."""
    honest = masks.PairwiseMasks.mask
    patch.setattr(masks.PairwiseMasks, "_tag", lambda *_: b"")  # it would refuse
    patch.setattr(
        masks.PairwiseMasks, "mask", lambda self, words, runs, _: honest(self, words, runs, "s")
    )


def one_secret_for_all_epochs(patch: pytest.MonkeyPatch) -> None:
    """Epoch, plan and keys are forgotten, and so is what was told."""
    patch.setattr(masks, "_pair_secret", lambda key, pair, *_: "".join(sorted(pair)).encode())
    one_keystream_for_all_steps(patch)


@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize(
    "weaken", [no_masks, one_keystream_for_all_steps, one_secret_for_all_epochs]
)
async def test_the_tests_find_weak_masks(
    mesh: Mesh,
    monkeypatch: pytest.MonkeyPatch,
    weaken: Weaken,
    bounds: list[tuple[int, float | None]],
) -> None:
    """The control: each way of masking wrongly is found by the words or by their differences."""
    weaken(monkeypatch)
    words = list((await listen(mesh, VECTORS["rows"], bounds)).values())
    differences = [one - other for one, other in combinations(words, 2)]
    assert min(map(least_likely, [*words, *differences])) < LEVEL
