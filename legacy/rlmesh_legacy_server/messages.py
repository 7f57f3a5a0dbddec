"""The messages of the schema as classes, which protobuf makes of its descriptors at import.

Stubs of protoc run with few versions of protobuf; descriptors run with all of them.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from rlmesh_legacy_server._generated.schema import DESCRIPTORS

_PACKAGE = "rlmesh_api.v1"

# Not protobuf's default pool: generated stubs of the same messages may be there too.
_pool: Any = descriptor_pool.DescriptorPool()
_files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTORS)).file
for _file in _files:
    _pool.AddSerializedFile(_file.SerializeToString())

# `GetMessageClass` since protobuf 4.22; the other was removed after 4.25.
_class_of: Any = getattr(message_factory, "GetMessageClass", None)
if _class_of is None:
    _class_of = message_factory.MessageFactory(_pool).GetPrototype  # type: ignore[attr-defined] # of old protobuf

# All of them are kept: protobuf 4.21 to 4.24 keeps no class that only a field needs, and crashes.
_classes: dict[str, Any] = {
    f"{_file.package}.{kind.name}": _class_of(
        _pool.FindMessageTypeByName(f"{_file.package}.{kind.name}")
    )
    for _file in _files
    for kind in _file.message_type
}


def message(name: str, package: str = _PACKAGE) -> Any:
    """The class of a message."""
    return _classes[f"{package}.{name}"]


def enum(name: str) -> dict[str, int]:
    """The numbers of an enum by the names of its values, without the prefix of the enum's name."""
    values = _pool.FindEnumTypeByName(f"{_PACKAGE}.{name}").values
    prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in name)[1:] + "_"
    return {value.name[len(prefix) :]: value.number for value in values}


SessionRequest = message("SessionRequest")
SessionResponse = message("SessionResponse")
StepResult = message("StepResult")
Failure = message("Failure")
Space = message("Space")
Number = message("Number")
EnvContract = message("EnvContract")
ValueDict = message("ValueDict")
GetContractRequest = message("GetContractRequest")
GetContractResponse = message("GetContractResponse")
GetStatusRequest = message("GetStatusRequest")
GetStatusResponse = message("GetStatusResponse")
ShutdownRequest = message("ShutdownRequest")
ShutdownResponse = message("ShutdownResponse")
HealthCheckRequest = message("HealthCheckRequest", "grpc.health.v1")
HealthCheckResponse = message("HealthCheckResponse", "grpc.health.v1")

CODE = enum("ErrorCode")
STATE = enum("ServerState")
DTYPE = enum("Dtype")
MODE = enum("AutoresetMode")
VERB = enum("AttributeVerb")


class CallFailedError(Exception):
    """A call that is answered with a failure."""

    def __init__(self, code: str, text: str, **fields: Any) -> None:
        super().__init__(text)
        self.failure = Failure(code=CODE[code], message=sendable(text), **fields)


def sendable(text: str, limit: int = 8000) -> str:
    """A text that protobuf takes, which knows no lone surrogates, with its middle left out."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()
