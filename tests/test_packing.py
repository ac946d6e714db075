"""Named arrays as one vector: lossless, checked, in one order on the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_node.errors import NumericalError
from edge_node.packing import Layout, Symmetric

SHAPES = st.one_of(
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.builds(Symmetric, st.integers(0, 5), st.none() | st.integers(0, 3)),
)


def arrays_for(layout: Layout, seed: int) -> dict[str, np.ndarray]:
    """Random numbers for each part; symmetric where they must be."""
    random, arrays = np.random.default_rng(seed), {}
    for name, shape in layout.parts.items():
        if isinstance(shape, Symmetric):
            array = random.normal(size=shape.shape)
            arrays[name] = array + np.swapaxes(array, -1, -2)
        else:
            arrays[name] = random.normal(size=shape)
    return arrays


@given(st.lists(SHAPES, min_size=1, max_size=4), st.integers(0, 99))
def test_packing_round_trips_bit_for_bit(
    shapes: list[tuple[int, ...] | Symmetric], seed: int
) -> None:
    """Whatever the shapes; a symmetric matrix takes a triangle."""
    layout = Layout({f"part-{i}": shape for i, shape in enumerate(shapes)})
    arrays = arrays_for(layout, seed)
    packed = layout.pack(**arrays)
    assert packed.shape == (layout.length,)
    found = layout.unpack(packed)
    assert list(found) == list(layout.parts)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    packed[:] = 7.0
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, err_msg="a view of the vector")


def test_the_order_is_fixed() -> None:
    """Part by part, row by row, and of a symmetric matrix the upper triangle."""
    layout = Layout({"count": (), "gram": Symmetric(2), "several": Symmetric(2, 2), "rows": (2, 2)})
    packed = layout.pack(
        rows=[[10, 11], [12, 13]],
        gram=[[1, 2], [2, 3]],
        several=[[[4, 5], [5, 6]], [[7, 8], [8, 9]]],
        count=0,
    )
    assert packed.tolist() == list(range(14))


def test_what_was_not_packed_so_is_refused() -> None:
    """Another length, a NaN, an infinity: of a total, which others have made."""
    layout = Layout({"count": (), "shift": (3,)})
    layout.unpack(np.ones(4))
    with pytest.raises(NumericalError, match=r"count, shift: .* wrong length .*4 numbers"):
        layout.unpack(np.ones(5))
    for wrong in (np.nan, np.inf):
        with pytest.raises(NumericalError, match="not finite"):
            layout.unpack(np.array([1.0, 1.0, 1.0, wrong]))


@pytest.mark.parametrize(
    "arrays",
    [{"count": 1.0}, {"count": 1.0, "shift": [1.0]}, {"count": 1.0, "shift": [1, 2, 3], "x": 1.0}],
)
def test_what_does_not_fit_is_not_packed(arrays: dict[str, object]) -> None:
    """An array that is missing, is too short (it isn't repeated), or has no place."""
    with pytest.raises(ValueError, match="expected"):
        Layout({"count": (), "shift": (3,)}).pack(**arrays)
