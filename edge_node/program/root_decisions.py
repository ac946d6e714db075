"""The root's decisions, as every node reads them: only what a root can have chosen.

A choice arrives as bytes from another node. It is read here, and checked against what this node
knows by itself (the totals, the candidates, the grid), before anything is computed with it. So a
root that lies, or runs another version, ends the run with an error instead of a model made of
nonsense. Whether a choice is the best isn't checked: that is for the root to decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from edge_node.arrays import Matrix, Vector
from edge_node.errors import NetworkError
from edge_node.inference.classification.variational import SweepChoice
from edge_node.inference.messages.evidence import NOISE_RANGE, Evidence
from edge_node.inference.messages.moves import Ascent, Places
from edge_node.inference.messages.statistics import Statistics
from edge_node.inference.private.release import NoisySums
from edge_node.inference.regression.student import SMALLEST_SCALE

__all__ = [
    "MetricChoice",
    "MoveChoice",
    "check_noise",
    "read_bases",
    "read_cleaning",
    "read_evidences",
    "read_judgements",
    "read_kept",
    "read_metric",
    "read_move",
    "read_noisy_evidence",
    "read_scale",
    "read_sweep_choice",
]

_SLACK = 1e-3
"""The relative error that the root's rounding may leave (a noise at the end of its range is rounded
to ten binary digits, a metric's entries to multiples of 2^-20)."""


class _Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Evidence on the wire."""

    log_evidence: float
    noise: float
    amplitude: float

    def evidence(self) -> Evidence | None:
        """The evidence; None if no evidence has such numbers."""
        sound = np.isfinite([self.log_evidence, self.noise, self.amplitude]).all()
        if not sound or self.noise <= 0 or self.amplitude <= 0:
            return None
        return Evidence(self.log_evidence, self.noise, self.amplitude)


def read_bases(content: bytes, sizes: Sequence[int], *, step: str) -> list[list[int]]:
    """Each candidate's landmarks: ascending indices below the candidate's number of them.

    Raises:
        NetworkError: they can't have been chosen, as for all functions here.
    """
    return _bases(_read(content, list[list[int]], step), sizes, step)


def _bases(bases: list[list[int]], sizes: Sequence[int], step: str) -> list[list[int]]:
    """The bases, if each could be one of as many landmarks as ``sizes`` says."""
    _demand(len(bases) == len(sizes), step, f"{len(sizes)} lists of landmarks", f"{len(bases)}")
    for basis, size in zip(bases, sizes, strict=True):
        ascending = bool(basis) and basis == sorted(set(basis))
        inside = ascending and basis[0] >= 0 and basis[-1] < size
        _demand(inside, step, f"ascending indices from 0 to {size - 1}", "others")
    return bases


def read_evidences(content: bytes, totals: Sequence[Statistics], *, step: str) -> list[Evidence]:
    """The evidence of each of the ``totals``: a noise in the range that is searched."""
    chosen = _read(content, list[_Chosen], step)
    return _evidences(chosen, totals, step)


def _evidences(
    chosen: Sequence[_Chosen], totals: Sequence[Statistics], step: str
) -> list[Evidence]:
    """The evidences, if each could be one of a total."""
    _demand(len(chosen) == len(totals), step, f"{len(totals)} evidences", f"{len(chosen)}")
    evidences = []
    for each, statistics in zip(chosen, totals, strict=True):
        evidence = _sound(each, step)
        powers = statistics.prior_power, statistics.target_power
        some = statistics.count > 0 and min(powers) > 0
        _demand(some, step, "no evidence of sums that no rows have", "one")
        scale = statistics.prior_power / statistics.count
        low, high = NOISE_RANGE[0] * scale * (1 - _SLACK), NOISE_RANGE[1] * scale * (1 + _SLACK)
        _demand(
            low <= evidence.noise <= high,
            step,
            f"a noise from {low:.3g} to {high:.3g}",
            f"{evidence.noise:.3g}",
        )
        evidences.append(evidence)
    return evidences


def read_noisy_evidence(content: bytes, sums: NoisySums, *, step: str) -> Evidence:
    """The evidence of noisy sums: a noise in the range that is searched, and an amplitude that
    targets within their bounds can have.
    """
    evidence = _sound(_read(content, _Chosen, step), step)
    scale = sums.mean_power
    low, high = NOISE_RANGE[0] * scale * (1 - _SLACK), NOISE_RANGE[1] * scale * (1 + _SLACK)
    most = sums.largest_power / scale * (1 + _SLACK)
    _demand(
        low <= evidence.noise <= high and evidence.amplitude <= most,
        step,
        f"a noise from {low:.3g} to {high:.3g}, an amplitude up to {most:.3g}",
        f"{evidence.noise:.3g} and {evidence.amplitude:.3g}",
    )
    return evidence


def read_judgements(content: bytes, noises: Sequence[float], *, step: str) -> list[Evidence | None]:
    """The evidence of each of the ``noises`` that were tried; None for one without a model."""
    chosen = _read(content, list[_Chosen | None], step)
    _demand(len(chosen) == len(noises), step, f"{len(noises)} judgements", f"{len(chosen)}")
    found = [None if each is None else _sound(each, step) for each in chosen]
    for evidence, noise in zip(found, noises, strict=True):
        if evidence is not None:
            close = abs(evidence.noise - noise) <= _SLACK * noise
            _demand(close, step, f"the noise {noise:.6g}, which was tried", f"{evidence.noise:.6g}")
    return found


def read_scale(content: bytes, largest: float, *, step: str) -> float | None:
    """A scale of Student's t, of those that are searched: no larger than what a Gaussian would
    leave. None: it isn't needed.
    """
    scale = _read(content, float | None, step)
    return None if scale is None else _scale(scale, largest, step)


class _Cleaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What follows from cleaned targets, on the wire."""

    evidence: _Chosen
    scale: float


def read_cleaning(
    content: bytes, total: Statistics, largest: float, *, step: str
) -> tuple[Evidence, float]:
    """The evidence of a total of cleaned targets, and a scale of Student's t."""
    chosen = _read(content, _Cleaning, step)
    (evidence,) = _evidences([chosen.evidence], [total], step)
    return evidence, _scale(chosen.scale, largest, step)


def _scale(scale: float, largest: float, step: str) -> float:
    least = SMALLEST_SCALE * largest  # under a smaller one few rows would have all precision
    fits = least <= scale <= largest * (1 + _SLACK)
    _demand(fits, step, f"a scale from {least:.3g} to {largest:.3g}", f"{scale:.3g}")
    return scale


class MetricChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric on the wire.

    Attributes:
        metric: T (d, d), float64.
        bases: which landmarks are independent under it, of each candidate that will have it.
    """

    metric: bytes
    bases: list[list[int]]

    def pack(self) -> bytes:
        """As the root shares it."""
        return msgspec.msgpack.encode(self)


def read_metric(
    content: bytes, size: int, landmarks: Sequence[int], *, step: str
) -> tuple[Matrix, list[list[int]]]:
    """A metric T (d, d), symmetric, with tr T'T = d, d = ``size``; and a basis of each so many
    ``landmarks``.
    """
    try:
        chosen = msgspec.msgpack.decode(content, type=MetricChoice)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _impossible(step, "a metric and bases", str(error)) from error
    expected, found = 8 * size * size, len(chosen.metric)
    _demand(found == expected, step, f"{expected} bytes", f"{found} bytes")
    metric = np.frombuffer(chosen.metric).reshape(size, size)
    _demand(bool(np.isfinite(metric).all()), step, "a finite metric", "a NaN or infinity")
    _demand(np.array_equal(metric, metric.T), step, "a symmetric metric", "another matrix")
    with np.errstate(over="ignore"):  # an infinite trace is none of these
        trace = float(np.square(metric).sum())
    _demand(abs(trace / size - 1) < _SLACK, step, f"a metric of trace {size}", f"{trace:.3g}")
    return metric, _bases(chosen.bases, landmarks, step)


def read_kept(content: bytes, inputs: int, *, step: str) -> tuple[tuple[int, ...], bytes]:
    """The inputs to start a metric from: ascending places below ``inputs``, or none; and what the
    root chose with them, unread.
    """
    try:
        kept, chosen = msgspec.msgpack.decode(content, type=tuple[tuple[int, ...], bytes])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _impossible(step, "inputs and bases", str(error)) from error
    ascending = kept == tuple(sorted(set(kept)))
    inside = ascending and (not kept or (kept[0] >= 0 and kept[-1] < inputs))
    _demand(inside, step, f"ascending inputs from 0 to {inputs - 1}", "others")
    return kept, chosen


@dataclass(frozen=True)
class MoveChoice:
    """A choice about landmarks that move.

    Attributes:
        accepted: whether the place that was tried is the best one so far.
        noise: s2 that fits best at the best one.
        place: x, the next one.
    """

    accepted: bool
    noise: float
    place: Vector

    def pack(self) -> bytes:
        """As the root shares it."""
        return np.concatenate([[self.accepted, self.noise], self.place]).tobytes()


def read_move(
    content: bytes, places: Places, ascent: Ascent | None, tried: Vector, *, step: str
) -> MoveChoice:
    """A choice about landmarks that move: the next place is within a step's reach of the best one.

    Args:
        content: the choice.
        places: what is moved.
        ascent: what was known before this place was tried; None: it is the first, and accepted.
        tried: x, the place.
        step: the sum's.
    """
    expected = 8 * (2 + len(tried))
    _demand(len(content) == expected, step, f"{expected} bytes", f"{len(content)} bytes")
    accepted, noise, *_ = numbers = np.frombuffer(content)
    _demand(bool(np.isfinite(numbers).all()), step, "a finite place", "a NaN or infinity")
    _demand(accepted in (0.0, 1.0), step, "yes or no", f"{accepted:.3g}")
    first = ascent is None
    _demand(bool(accepted) or not first, step, "the first place", "none")
    _demand(noise > 0, step, "a positive noise", f"{noise:.3g}")
    best = tried if accepted or ascent is None else ascent.best
    with np.errstate(over="ignore"):  # an infinite way is too far
        way = places.farthest(best, numbers[2:])
    _demand(way <= 1 + _SLACK, step, "a place within a step's reach", f"{way:.3g} times that")
    return MoveChoice(bool(accepted), float(noise), numbers[2:])


def check_noise(noise: float, own: float, *, step: str) -> None:
    """That a noise is the one that follows from a total, as this node finds it, but for rounding.

    Raises:
        NetworkError: it isn't.
    """
    close = abs(noise - own) <= _SLACK * own
    _demand(close, step, f"the noise {own:.6g}", f"{noise:.6g}")


def read_sweep_choice(content: bytes, amplitudes: tuple[float, float], *, step: str) -> SweepChoice:
    """A classifier's choice from a sweep: the next amplitude is between the ``amplitudes``."""
    _demand(len(content) == 32, step, "four numbers", f"{len(content)} bytes")
    accepted, converged, bound, amplitude = np.frombuffer(content).tolist()
    flags = accepted in (0.0, 1.0) and converged in (0.0, 1.0)
    _demand(flags, step, "yes or no, twice", f"{accepted:.3g} and {converged:.3g}")
    _demand(bool(np.isfinite(bound)), step, "a finite bound", f"{bound:.3g}")
    low, high = amplitudes[0] * (1 - _SLACK), amplitudes[1] * (1 + _SLACK)
    inside = low <= amplitude <= high
    _demand(inside, step, f"an amplitude from {low:.3g} to {high:.3g}", f"{amplitude:.3g}")
    return SweepChoice.unpack(np.frombuffer(content))


def _sound(chosen: _Chosen, step: str) -> Evidence:
    evidence = chosen.evidence()
    if evidence is None:
        raise _impossible(step, "finite numbers, a positive noise and amplitude", str(chosen))
    return evidence


def _read(content: bytes, kind: Any, step: str) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _impossible(step, "the choice as JSON", str(error)) from error


def _demand(fits: bool, step: str, expected: str, found: str) -> None:
    if not fits:
        raise _impossible(step, expected, found)


def _impossible(step: str, expected: str, found: str) -> NetworkError:
    return NetworkError(
        "the root's choice can't be used",
        where=f"step {step}",
        expected=expected,
        found=found,
        remedy="Run the same version at all nodes; if they do, ask who operates the root",
    )
