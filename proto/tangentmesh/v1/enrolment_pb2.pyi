from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetAuthorityRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAuthorityReply(_message.Message):
    __slots__ = ("ca_certificate",)
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ca_certificate: bytes
    def __init__(self, ca_certificate: _Optional[bytes] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("node", "token", "csr")
    NODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CSR_FIELD_NUMBER: _ClassVar[int]
    node: str
    token: str
    csr: bytes
    def __init__(self, node: _Optional[str] = ..., token: _Optional[str] = ..., csr: _Optional[bytes] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("certificate", "ca_certificate", "spec", "discovery")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CA_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    ca_certificate: bytes
    spec: str
    discovery: str
    def __init__(self, certificate: _Optional[bytes] = ..., ca_certificate: _Optional[bytes] = ..., spec: _Optional[str] = ..., discovery: _Optional[str] = ...) -> None: ...
