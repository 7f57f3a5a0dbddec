"""The schema in memory: what the renderers read."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


class Kind(enum.Enum):
    """What kind of type a field has."""

    SCALAR = enum.auto()
    ENUM = enum.auto()
    MESSAGE = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message.

    Attributes:
        name: Its name.
        number: Its number on the wire.
        kind: The kind of its type.
        type: Its type: a scalar's name, or the bare name of a message or an enum.
        repeated: Whether it holds any number of values.
        optional: Whether the schema says `optional`, so that absence differs from the default.
        oneof: The oneof that it belongs to.
        comment: Its comment.
    """

    name: str
    number: int
    kind: Kind
    type: str
    repeated: bool = False
    optional: bool = False
    oneof: str | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oneof:
    """A group of fields of which at most one is set."""

    name: str
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; `file` is the path of the file that declares it."""

    name: str
    file: str
    fields: tuple[Field, ...] = ()
    oneofs: tuple[Oneof, ...] = ()
    comment: str = ""

    @property
    def is_union(self) -> bool:
        """Whether it holds nothing but one oneof of messages."""
        return len(self.oneofs) == 1 and all(
            field.oneof is not None and field.kind is Kind.MESSAGE for field in self.fields
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    """One value of an enum."""

    name: str
    number: int
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """One enum; `file` is the path of the file that declares it."""

    name: str
    file: str
    values: tuple[EnumValue, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of a service; `request` and `response` are the bare names of messages."""

    name: str
    request: str
    response: str
    client_streaming: bool = False
    server_streaming: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service."""

    name: str
    methods: tuple[Method, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the schema; `path` is relative to the schema's root."""

    path: str
    package: str
    comment: str = ""
    messages: tuple[Message, ...] = ()
    enums: tuple[Enum, ...] = ()
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Schema:
    """All files, in the order of their paths. The names of messages and enums are unique."""

    files: tuple[File, ...] = ()

    @cached_property
    def messages(self) -> dict[str, Message]:
        """All messages by bare name."""
        return {message.name: message for file in self.files for message in file.messages}

    @cached_property
    def enums(self) -> dict[str, Enum]:
        """All enums by bare name."""
        return {enum.name: enum for file in self.files for enum in file.enums}

    def commented(self) -> Iterator[tuple[str, str]]:
        """Every item that must have a comment: where it is, and its comment."""
        for file in self.files:
            yield f"{file.path}: the file", file.comment
            for message in file.messages:
                yield f"{file.path}: message {message.name}", message.comment
                for field in message.fields:
                    yield f"{file.path}: field {message.name}.{field.name}", field.comment
                for oneof in message.oneofs:
                    yield f"{file.path}: oneof {message.name}.{oneof.name}", oneof.comment
            for enum_ in file.enums:
                yield f"{file.path}: enum {enum_.name}", enum_.comment
                for value in enum_.values:
                    yield f"{file.path}: enum value {enum_.name}.{value.name}", value.comment
            for service in file.services:
                yield f"{file.path}: service {service.name}", service.comment
                for method in service.methods:
                    yield f"{file.path}: method {service.name}.{method.name}", method.comment
