"""The ranges of kernels' parameters."""

from collections.abc import Mapping

from edge_node.errors import ConfigurationError

__all__ = ["check_ranges"]


def check_ranges(kernel: object, ranges: Mapping[str, tuple[str, bool]]) -> None:
    """Refuse a kernel with a parameter outside its range.

    Args:
        kernel: the kernel, whose attributes are its parameters.
        ranges: for each parameter's name, its range in words, and whether the value fits.

    Raises:
        ConfigurationError: a parameter is not as expected.
    """
    for name, (expected, fits) in ranges.items():
        if not fits:
            raise ConfigurationError(
                f"a kernel's {name} is out of range",
                expected=expected,
                found=str(getattr(kernel, name)),
                remedy="Correct `model` in the federation spec",
            )
