from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_SUM: _ClassVar[Kind]
    KIND_GATHER: _ClassVar[Kind]
    KIND_CLAIMS: _ClassVar[Kind]
    KIND_CATCH_UP: _ClassVar[Kind]
    KIND_KEYS: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_SUM: Kind
KIND_GATHER: Kind
KIND_CLAIMS: Kind
KIND_CATCH_UP: Kind
KIND_KEYS: Kind

class Header(_message.Message):
    __slots__ = ("epoch", "run", "sequence", "step", "kind", "plan_hash", "length", "digest")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    run: int
    sequence: int
    step: str
    kind: Kind
    plan_hash: bytes
    length: int
    digest: bytes
    def __init__(self, epoch: _Optional[int] = ..., run: _Optional[int] = ..., sequence: _Optional[int] = ..., step: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., plan_hash: _Optional[bytes] = ..., length: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("header", "data", "proceed")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PROCEED_FIELD_NUMBER: _ClassVar[int]
    header: Header
    data: bytes
    proceed: Proceed
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., data: _Optional[bytes] = ..., proceed: _Optional[_Union[Proceed, _Mapping]] = ...) -> None: ...

class Proceed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gathered(_message.Message):
    __slots__ = ("by_node",)
    class ByNodeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    BY_NODE_FIELD_NUMBER: _ClassVar[int]
    by_node: _containers.ScalarMap[str, bytes]
    def __init__(self, by_node: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("run", "sequence", "step", "kind", "cohort", "epoch", "payload", "decision")
    RUN_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    run: int
    sequence: int
    step: str
    kind: Kind
    cohort: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    payload: bytes
    decision: bytes
    def __init__(self, run: _Optional[int] = ..., sequence: _Optional[int] = ..., step: _Optional[str] = ..., kind: _Optional[_Union[Kind, str]] = ..., cohort: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., payload: _Optional[bytes] = ..., decision: _Optional[bytes] = ...) -> None: ...

class Records(_message.Message):
    __slots__ = ("records", "claims")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    claims: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., claims: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...
