"""A decision as it rides in the record of a sum: what the root chose, or why it could not.

Rounding differs between processors, so what follows from a total (which noise, which depth) must
not be chosen twice. The root of the record's epoch chooses, and all nodes read its choice.
"""

from collections.abc import Callable

import msgspec

from edge_node import errors
from edge_node.arrays import Vector
from edge_node.errors import NetworkError, TangentMeshError

__all__ = ["Choose", "Decider", "chosen"]

Choose = Callable[[Vector], bytes]
"""From a total to a choice. It may be called again for another total of the same step, after a
failure: it changes nothing."""

_FACTS = ("problem", "where", "expected", "found", "remedy")
_LONGEST = 1000  # characters of a fact


class _Decision(msgspec.Struct, frozen=True):
    """A choice; or why there is none: the name of a type of `edge_node.errors`, and its facts."""

    content: bytes = b""
    error: str = ""
    facts: dict[str, str] = {}


class Decider:
    """Takes one decision at this node if it is the root, and reads it whoever has taken it.

    Args:
        choose: how it is taken; None: there is none to take, and the record holds no bytes of it.
    """

    def __init__(self, choose: Choose | None) -> None:
        self._choose = choose
        self._failed = b"", Exception()  # the last decision that holds an error, and the error

    def decide(self, total: Vector) -> bytes:
        """The decision, for the record. It holds what ``choose`` raises, and this raises nothing.

        An exception that is no TangentMeshError may say anything: the others learn its type only.
        """
        if self._choose is None:
            return b""
        try:
            return msgspec.msgpack.encode(_Decision(self._choose(total)))
        except TangentMeshError as error:
            failure: Exception = error
            told = _Decision(error=type(error).__name__, facts=vars(error))
        except Exception as error:  # the others would wait for ever
            failure = error
            facts = {"problem": "a shared choice failed at the root", "found": type(error).__name__}
            told = _Decision(error="NumericalError", facts=facts)
        self._failed = msgspec.msgpack.encode(told), failure
        return self._failed[0]

    def read(self, decision: bytes) -> bytes:
        """What a record's decision says; raises as ``chosen``, or what ``choose`` raised here."""
        failed, failure = self._failed
        if failed and decision == failed:
            raise failure
        return chosen(decision)


def chosen(decision: bytes) -> bytes:
    """What a record's decision says.

    Raises:
        TangentMeshError: what the root's ``choose`` raised. Its text comes from another node, so
            what could steer a terminal is escaped.
        NetworkError: it can't be read, or there is none.
    """
    try:
        told = msgspec.msgpack.decode(decision, type=_Decision)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NetworkError(
            "the root's decision can't be read",
            found=str(error) if decision else "none",
            remedy="Run the same version and the same federation spec at all nodes",
        ) from error
    if not told.error:
        return told.content
    facts = {fact: _printable(told.facts.get(fact, "")) for fact in _FACTS}
    problem = facts.pop("problem") or "the root failed"
    kind = told.error if told.error in errors.__all__ else TangentMeshError.__name__
    raise getattr(errors, kind)(problem, **facts)


def _printable(text: str) -> str:
    """A text on one line, without control characters; backslashes stand for themselves."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text[:_LONGEST]
    )
