import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_IDLE: _ClassVar[Phase]
    PHASE_RUNNING: _ClassVar[Phase]
    PHASE_COMPLETE: _ClassVar[Phase]
    PHASE_REFUSED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
PHASE_IDLE: Phase
PHASE_RUNNING: Phase
PHASE_COMPLETE: Phase
PHASE_REFUSED: Phase

class HeartbeatRequest(_message.Message):
    __slots__ = ("address", "spec_hash", "session", "epoch", "run", "phase", "step", "waiting_for", "waiting", "unreachable", "reason", "denylist", "authorities", "refused_epoch")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SPEC_HASH_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DENYLIST_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    address: str
    spec_hash: bytes
    session: bytes
    epoch: int
    run: int
    phase: Phase
    step: str
    waiting_for: _containers.RepeatedScalarFieldContainer[str]
    waiting: _duration_pb2.Duration
    unreachable: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    denylist: bytes
    authorities: _containers.RepeatedScalarFieldContainer[bytes]
    refused_epoch: int
    def __init__(self, address: _Optional[str] = ..., spec_hash: _Optional[bytes] = ..., session: _Optional[bytes] = ..., epoch: _Optional[int] = ..., run: _Optional[int] = ..., phase: _Optional[_Union[Phase, str]] = ..., step: _Optional[str] = ..., waiting_for: _Optional[_Iterable[str]] = ..., waiting: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unreachable: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., denylist: _Optional[bytes] = ..., authorities: _Optional[_Iterable[bytes]] = ..., refused_epoch: _Optional[int] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("plan", "time", "waiting", "denylist", "authorities", "renew", "departures")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DENYLIST_FIELD_NUMBER: _ClassVar[int]
    AUTHORITIES_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    DEPARTURES_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    time: _timestamp_pb2.Timestamp
    waiting: str
    denylist: Denylist
    authorities: _containers.RepeatedCompositeFieldContainer[Authority]
    renew: bool
    departures: _containers.RepeatedCompositeFieldContainer[Departure]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., waiting: _Optional[str] = ..., denylist: _Optional[_Union[Denylist, _Mapping]] = ..., authorities: _Optional[_Iterable[_Union[Authority, _Mapping]]] = ..., renew: _Optional[bool] = ..., departures: _Optional[_Iterable[_Union[Departure, _Mapping]]] = ...) -> None: ...

class Denylist(_message.Message):
    __slots__ = ("fingerprints",)
    FINGERPRINTS_FIELD_NUMBER: _ClassVar[int]
    fingerprints: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, fingerprints: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Authority(_message.Message):
    __slots__ = ("certificate", "proof")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    proof: bytes
    def __init__(self, certificate: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class Departure(_message.Message):
    __slots__ = ("node", "certificate", "epoch", "signature")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    node: str
    certificate: bytes
    epoch: int
    signature: bytes
    def __init__(self, node: _Optional[str] = ..., certificate: _Optional[bytes] = ..., epoch: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("epoch", "signature")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    signature: bytes
    def __init__(self, epoch: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class LeaveReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("csr", "proof")
    CSR_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    proof: bytes
    def __init__(self, csr: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("epoch", "run", "spec_hash", "root", "members", "edges", "created")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SPEC_HASH_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    run: int
    spec_hash: bytes
    root: str
    members: _containers.RepeatedCompositeFieldContainer[Member]
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    created: _timestamp_pb2.Timestamp
    def __init__(self, epoch: _Optional[int] = ..., run: _Optional[int] = ..., spec_hash: _Optional[bytes] = ..., root: _Optional[str] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("node", "address", "fingerprint", "parent", "certificate")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    node: str
    address: str
    fingerprint: bytes
    parent: str
    certificate: bytes
    def __init__(self, node: _Optional[str] = ..., address: _Optional[str] = ..., fingerprint: _Optional[bytes] = ..., parent: _Optional[str] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("a", "b")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    a: str
    b: str
    def __init__(self, a: _Optional[str] = ..., b: _Optional[str] = ...) -> None: ...
