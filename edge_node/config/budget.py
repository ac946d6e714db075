"""How many landmarks a budget of bytes allows.

A node's largest message holds a number for every pair of landmarks: the statistics of one
candidate. On the wire each number is a masked word of 16 bytes.
"""

from math import isqrt

__all__ = ["message_bytes", "most_landmarks"]

_WORD_BYTES = 16
_HEAD = 3  # words beside the Gaussian message


def message_bytes(landmarks: int, outputs: int) -> int:
    """Bytes of one candidate's largest message.

    Args:
        landmarks: m, how many.
        outputs: q, 1 for regression, one fewer than there are classes otherwise.

    Returns:
        16 bytes for each of 3 + m q + m (m + 1) / 2 words.
    """
    words = _HEAD + landmarks * outputs + landmarks * (landmarks + 1) // 2
    return _WORD_BYTES * words


def most_landmarks(budget: int, outputs: int) -> int:
    """The largest m with ``message_bytes(m, outputs)`` at most ``budget``; 0 if there is none.

    With w words beside the head, it is the positive root of m^2 + (2 q + 1) m = 2 w, rounded down.
    """
    words = budget // _WORD_BYTES - _HEAD
    linear = 2 * outputs + 1
    return max(0, (isqrt(max(0, linear**2 + 8 * words)) - linear) // 2)
