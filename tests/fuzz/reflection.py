"""Random messages of any protobuf type: right in form, their values plausible or telling."""

from collections.abc import Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["Values", "nearly", "random_message"]

_DEPTH = 4
_NUMBERS = (0, 1, 2, 3, 5, 127, 128, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_REALS = (0.0, -0.0, 0.95, 1.0, -1.0, 1e-320, 1e308, float("inf"), float("nan"))
_TEXTS = ("", "a", "../../x", "a" * 300, "ä\0b", "0", "1e999", "nan", "auto", "site", "\U0001f9ee")
_CAST = {  # by FieldDescriptor.cpp_type: how many bits, whether there is a sign
    FieldDescriptor.CPPTYPE_INT32: (31, True),
    FieldDescriptor.CPPTYPE_INT64: (63, True),
    FieldDescriptor.CPPTYPE_UINT32: (32, False),
    FieldDescriptor.CPPTYPE_UINT64: (64, False),
}


class Values:
    """What fields are filled with, beside what is telling for any program.

    ``texts`` and ``data`` are true ones: names of nodes and steps, hashes, certificates.
    """

    def __init__(self, texts: Sequence[str], data: Sequence[bytes], random: Random) -> None:
        self._texts, self._data, self._random = texts, data, random

    def of(self, field: FieldDescriptor) -> Any:
        """A value for a field that is no message."""
        random = self._random
        if field.cpp_type in _CAST:
            bits, signed = _CAST[field.cpp_type]
            number = random.choice(_NUMBERS) % (1 << bits)
            return -number if signed and random.random() < 0.3 else number
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            return random.choice((*field.enum_type.values_by_number, 57))
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            known, telling = self._texts, _TEXTS
            if field.type == FieldDescriptor.TYPE_BYTES:
                return random.choice((*self._data, b"", random.randbytes(16), random.randbytes(32)))
            return random.choice(known if random.random() < 0.7 else telling)
        return random.choice((random.gauss(0, 1), *_REALS))

    def fill(self, message: Message, depth: int) -> None:
        """Fill each field, with probability 0.7, to some depth."""
        for field in message.DESCRIPTOR.fields:
            if self._random.random() < 0.7:
                self._fill(message, field, depth)

    def change(self, message: Message, field: FieldDescriptor) -> None:
        """Replace a field, or add to it where it holds several."""
        if self._random.random() < 0.5:
            message.ClearField(field.name)
        self._fill(message, field, 0)

    def _fill(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        held = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and depth == _DEPTH:
            return
        if kind is not None and kind.GetOptions().map_entry:
            self._fill_map(held, kind, depth)
        elif field.is_repeated:
            for _ in range(self._random.choice((0, 1, 1, 2, 9))):
                if kind is None:
                    held.append(self.of(field))
                else:
                    self.fill(held.add(), depth + 1)
        elif kind is None:
            setattr(message, field.name, self.of(field))
        else:
            held.SetInParent()
            self.fill(held, depth + 1)

    def _fill_map(self, held: Any, kind: Descriptor, depth: int) -> None:
        key, value = kind.fields_by_name["key"], kind.fields_by_name["value"]
        for _ in range(self._random.choice((0, 1, 3, 9))):
            if value.message_type is None:
                held[self.of(key)] = self.of(value)
            else:
                self.fill(held[self.of(key)], depth + 1)


def nearly(message: Message, values: Values, random: Random) -> Message:
    """A copy in which one field, at most, is another."""
    copy = type(message)()
    copy.CopyFrom(message)
    if random.random() < 0.8:
        values.change(copy, random.choice(copy.DESCRIPTOR.fields))
    return copy


def random_message(descriptor: Descriptor, values: Values) -> Message:
    """A message of this type."""
    message = GetMessageClass(descriptor)()
    values.fill(message, 0)
    return message
