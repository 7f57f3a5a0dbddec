"""Reads protoc's descriptor set into the model."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from google.protobuf import descriptor_pb2 as pb

from codegen.errors import SourceError
from codegen.model import (
    Enum,
    EnumValue,
    Field,
    File,
    Kind,
    Message,
    Method,
    Oneof,
    Schema,
    Service,
)

_Path = tuple[int, ...]

# Field numbers of descriptor.proto, of which the paths of its source locations are made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE, _FILE_SYNTAX = 4, 5, 6, 12
_MESSAGE_FIELD, _MESSAGE_ONEOF = 2, 8
_ENUM_VALUE = 2
_SERVICE_METHOD = 2


def read_schema(descriptors: pb.FileDescriptorSet) -> Schema:
    """The model of a descriptor set that has source information.

    Raises:
        SourceError: The schema uses what the generator does not read, or a name twice.
    """
    files = tuple(_file(file) for file in sorted(descriptors.file, key=lambda file: file.name))
    problems = [problem for file in descriptors.file for problem in _unread(file)]
    names = [message.name for file in files for message in file.messages]
    names += [enum.name for file in files for enum in file.enums]
    problems += [
        f"{name}: two messages or enums have this name; rename one"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise SourceError(problems)
    return Schema(files=files)


def _file(file: pb.FileDescriptorProto) -> File:
    comments = {
        tuple(location.path): textwrap.dedent(location.leading_comments).strip()
        for location in file.source_code_info.location
    }
    return File(
        path=file.name,
        package=file.package,
        comment=comments.get((_FILE_SYNTAX,), ""),
        messages=tuple(
            _message(message, (_FILE_MESSAGE, index), file.name, comments)
            for index, message in enumerate(file.message_type)
        ),
        enums=tuple(
            _enum(enum, (_FILE_ENUM, index), file.name, comments)
            for index, enum in enumerate(file.enum_type)
        ),
        services=tuple(
            _service(service, (_FILE_SERVICE, index), comments)
            for index, service in enumerate(file.service)
        ),
    )


def _message(
    message: pb.DescriptorProto, path: _Path, file: str, comments: dict[_Path, str]
) -> Message:
    # `optional` is a separate oneof in a descriptor; those come after all others.
    synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
    oneofs = {
        index: Oneof(name=oneof.name, comment=comments.get((*path, _MESSAGE_ONEOF, index), ""))
        for index, oneof in enumerate(message.oneof_decl)
        if index not in synthetic
    }
    return Message(
        name=message.name,
        file=file,
        comment=comments.get(path, ""),
        oneofs=tuple(oneofs.values()),
        fields=tuple(
            _field(field, oneofs, comments.get((*path, _MESSAGE_FIELD, index), ""))
            for index, field in enumerate(message.field)
        ),
    )


def _field(field: pb.FieldDescriptorProto, oneofs: dict[int, Oneof], comment: str) -> Field:
    kind = {field.TYPE_MESSAGE: Kind.MESSAGE, field.TYPE_ENUM: Kind.ENUM}.get(
        field.type, Kind.SCALAR
    )
    scalar = field.Type.Name(field.type).removeprefix("TYPE_").lower()
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    return Field(
        name=field.name,
        number=field.number,
        kind=kind,
        type=scalar if kind is Kind.SCALAR else _bare(field.type_name),
        repeated=field.label == field.LABEL_REPEATED,
        optional=field.proto3_optional,
        oneof=oneofs[field.oneof_index].name if in_oneof else None,
        comment=comment,
    )


def _enum(enum: pb.EnumDescriptorProto, path: _Path, file: str, comments: dict[_Path, str]) -> Enum:
    return Enum(
        name=enum.name,
        file=file,
        comment=comments.get(path, ""),
        values=tuple(
            EnumValue(
                name=value.name,
                number=value.number,
                comment=comments.get((*path, _ENUM_VALUE, index), ""),
            )
            for index, value in enumerate(enum.value)
        ),
    )


def _service(
    service: pb.ServiceDescriptorProto, path: _Path, comments: dict[_Path, str]
) -> Service:
    return Service(
        name=service.name,
        comment=comments.get(path, ""),
        methods=tuple(
            Method(
                name=method.name,
                request=_bare(method.input_type),
                response=_bare(method.output_type),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                comment=comments.get((*path, _SERVICE_METHOD, index), ""),
            )
            for index, method in enumerate(service.method)
        ),
    )


def _bare(type_name: str) -> str:
    return type_name.rpartition(".")[2]


def _unread(file: pb.FileDescriptorProto) -> Iterator[str]:
    """What the generator would pass over in silence."""
    for message in file.message_type:
        nested = [inner.name for inner in message.nested_type]
        nested += [inner.name for inner in message.enum_type]
        for name in nested:
            yield f"{file.name}: {message.name}.{name} is nested; move it to the top level"
    for dependency in file.dependency:
        if not dependency.startswith("rlmesh_api/"):
            yield f"{file.name}: it imports {dependency}; import only what the schema declares"
