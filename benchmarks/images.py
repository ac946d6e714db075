"""Images whose figures are shifted: a convolutional kernel with pooling against a dense one.

Digits of 8 x 8 pixels (scikit-learn) are put somewhere on an empty canvas. On a canvas of their own
size they are centred. Both kernels run the program at one node, through the estimators.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from sklearn.datasets import load_digits

from edge_node.arrays import Matrix
from edge_node.estimators import TangentMeshClassifier

__all__ = ["measure_images"]

_DIGIT = 8  # pixels on a side
_HELD_OUT = 300


def measure_images(
    sides: Sequence[int], *, rows: int, landmarks: int, splits: int
) -> Iterator[dict[str, Any]]:
    """A row for each canvas and kernel, as soon as it is measured: means over splits.

    Args:
        sides: of the canvases, in pixels, at least 8.
        rows: that are learnt from.
        landmarks: of the convolutional kernel, at most; the dense one takes as many as it likes.
        splits: how often rows and places are drawn.
    """
    for side in sides:
        image = {"kernels": ("conv-ntk",), "image": (side, side, 1), "depths": (1,)}
        kernels: dict[str, dict[str, Any]] = {
            "ntk": {},
            "conv-ntk": {**image, "landmarks": landmarks},
        }
        for name, settings in kernels.items():
            found = [_measured(side, rows, settings, split) for split in range(splits)]
            accuracy, seconds = np.array(found).T
            yield {
                "pixels": f"{side} x {side}",
                "kernel": name,
                "rows": rows,
                "accuracy": float(accuracy.mean()),
                "standard_error": float(accuracy.std() / np.sqrt(splits)),
                "fit_cpu_seconds": float(seconds.mean()),
            }


def _measured(side: int, rows: int, settings: dict[str, Any], split: int) -> tuple[float, float]:
    """Accuracy on held-out images, and the CPU seconds of a fit."""
    random = np.random.default_rng(split)
    images, labels = load_digits(return_X_y=True)
    chosen = random.permutation(len(labels))[: rows + _HELD_OUT]
    X, y = _placed(images[chosen], side, random), labels[chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of pixels that are always empty, and of time
        started = time.process_time()
        fitted = TangentMeshClassifier(**settings).fit(X[:rows], y[:rows])
        seconds = time.process_time() - started
        return fitted.score(X[rows:], y[rows:]), seconds


def _placed(images: Matrix, side: int, random: Generator) -> Matrix:
    """Each image somewhere on its canvas: (n, side x side)."""
    canvases = np.zeros((len(images), side, side))
    places = random.integers(0, side - _DIGIT + 1, size=(len(images), 2))
    for canvas, image, (top, left) in zip(canvases, images, places, strict=True):
        canvas[top : top + _DIGIT, left : left + _DIGIT] = image.reshape(_DIGIT, _DIGIT)
    return canvases.reshape(len(images), -1)
