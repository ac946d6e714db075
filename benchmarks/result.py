"""What every benchmark returns."""

import platform
from typing import Any

import numpy as np
import scipy

__all__ = ["result"]


def result(
    benchmark: str, figure: float, limit: float, unit: str, **parameters: Any
) -> dict[str, Any]:
    """The figure, what it is measured against, their ratio, and what it was measured with."""
    return {
        "benchmark": benchmark,
        "figure": figure,
        "limit": limit,
        "unit": unit,
        "ratio": figure / limit,
        **parameters,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
