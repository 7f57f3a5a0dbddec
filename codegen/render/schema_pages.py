"""Renders the pages that come from the schema: the contract, the protocol and the errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from codegen.contract_model import (
    ENV_CONTRACT,
    MODEL_CONTRACT,
    Contract,
    ContractClass,
    ContractField,
)
from codegen.model import Enum, Field, File, Kind, Message, Schema, Service
from codegen.render import markdown as md
from codegen.render.contract import sent_values, value_prefix
from codegen.render.json_schema import SCHEMA_FILES
from codegen.runtime._stability import Export, SpaceSupport, Stability

_SOURCE = "schema/ and api_metadata.json"
_STABLE = Stability.STABLE

Labels: TypeAlias = Mapping[str, Stability]
"""The label of each message that is less than Stable."""


def space_labels(contract: Contract, spaces: Iterable[SpaceSupport]) -> Labels:
    """The labels of the messages of spaces: those of the table."""
    named = {row.kind: row.stability for row in spaces}
    return {
        item.name: named[item.kind]
        for item in contract.classes
        if item.kind is not None and named.get(item.kind, _STABLE) is not _STABLE
    }


def schema_labels(schema: Schema) -> Labels:
    """The labels of the messages and services whose comment ends with one."""
    comments = {message.name: message.comment for message in schema.messages.values()}
    comments |= {each.name: each.comment for file in schema.files for each in file.services}
    labels = {name: label_of(comment) for name, comment in comments.items()}
    return {name: label for name, label in labels.items() if label is not _STABLE}


def label_of(comment: str) -> Stability:
    """The label with which a comment ends; Stable where it ends with none."""
    word = comment.rstrip(".").rpartition(" ")[2].rpartition("\n")[2]
    return Stability(word) if word in set(Stability) else _STABLE


def render_contract_page(contract: Contract, labels: Labels) -> str:
    """The contract classes, from the contract itself down to what it is made of."""
    linked = {item.name for item in contract.classes} | {enum.name for enum in contract.enums}
    return md.page(
        "The contract",
        _SOURCE,
        "What a served environment is, as `env_contract` gives it, and what a served model is, as "
        "`model_contract` gives it. The classes are frozen and hashable; `to_json`, `to_dict` and "
        "`to_proto` write them as strict JSON text, as the data of it and as a message, "
        "`from_json`, `from_dict` and `from_proto` read them back without loss; equal objects have "
        "the same `fingerprint`.",
        'In JSON an infinite number is the text `"Infinity"` or `"-Infinity"`, every other '
        "number has all its digits, and a space begins with its `kind`. The "
        f"[JSON Schema of an environment's contract](../{SCHEMA_FILES[ENV_CONTRACT]}) and "
        f"[that of a model's](../{SCHEMA_FILES[MODEL_CONTRACT]}) are installed with RLMesh.",
        md.labels({_STABLE, *labels.values()}),
        *(
            render_class(item, linked, labels.get(item.name, _STABLE))
            for item in _from_the_top(contract)
        ),
        *(_named_values(enum) for enum in contract.enums),
    )


def render_class(item: ContractClass, linked: set[str], label: Stability = _STABLE) -> str:
    """The section of one contract class."""
    parts = [f"## `{item.name}`", _labelled(label, item.message.comment)]
    if item.kind is not None:
        parts.append(f"The {md.link(item.union or '')} of kind `{item.kind}`.")
    if item.arms:
        rows = [
            [md.code(kind), md.link(name), md.cell(comment)] for kind, name, comment in item.arms
        ]
        parts.append(md.table(["Kind", "Class", "Meaning"], rows))
    if item.fields:
        rows = [_contract_row(field, linked) for field in item.fields]
        parts.append(md.table(["Field", "Type", "Default", "Meaning"], rows))
    return "\n\n".join(parts)


def render_protocol_page(schema: Schema, labels: Labels) -> str:
    """Every service, message and enum: enough to speak the protocol."""
    return md.page(
        "The protocol",
        _SOURCE,
        "Every service, message and enum that crosses the wire, and what each part of it means. "
        "A message is encoded as [proto3](https://protobuf.dev/programming-guides/encoding/) says; "
        "calls travel over gRPC.",
        md.labels({_STABLE, *labels.values()}),
        *(render_file(file, labels) for file in schema.files),
    )


def render_file(file: File, labels: Labels) -> str:
    """The section of one file of the schema."""
    parts = [f"## `{file.path}`", md.text(file.comment), f"Package `{file.package}`."]
    parts += [_service(service) for service in file.services]
    parts += [
        render_message(message, labels.get(message.name, _STABLE)) for message in file.messages
    ]
    parts += [render_enum(enum) for enum in file.enums]
    return "\n\n".join(parts)


def render_message(message: Message, label: Stability = _STABLE) -> str:
    """The section of one message."""
    parts = [f"### `{message.name}`", _labelled(label, message.comment)]
    alone = [field for field in message.fields if field.oneof is None]
    if alone:
        parts.append(_fields(alone))
    for oneof in message.oneofs:
        parts.append(f"At most one of these, `{oneof.name}`: {md.text(oneof.comment)}")
        parts.append(_fields([field for field in message.fields if field.oneof == oneof.name]))
    if not message.fields:
        parts.append("It has no fields.")
    return "\n\n".join(parts)


def render_enum(enum: Enum) -> str:
    """The section of one enum."""
    rows = [
        [str(value.number), md.code(value.name), md.cell(value.comment)] for value in enum.values
    ]
    return "\n\n".join(
        [
            f"### `{enum.name}`",
            _labelled(_STABLE, enum.comment),
            md.table(["Number", "Name", "Meaning"], rows),
        ]
    )


def render_errors_page(codes: Enum, errors: Sequence[Export]) -> str:
    """The error classes, and the codes with which a server says why a call failed."""
    classes = [[md.code(row.name), md.badge(row.stability), md.cell(row.summary)] for row in errors]
    prefix = value_prefix(codes)
    numbers = [
        [str(value.number), md.code(value.name.removeprefix(prefix)), md.cell(value.comment)]
        for value in codes.values
    ]
    return md.page(
        "Errors",
        "schema/ and api_metadata.json",
        "## Classes",
        "Every error that RLMesh raises is one of these, and of the built-in class that fits it.",
        md.table(["Class", "Stability", "Meaning"], classes),
        "## Codes",
        "What a server answers with when a call fails, see `Failure` on the page of the "
        "[protocol](protocol.md).",
        md.table(["Number", "Code", "Meaning"], numbers),
    )


def _from_the_top(contract: Contract) -> list[ContractClass]:
    """The classes level by level: the contracts, what they hold, what that holds."""
    classes = {item.name: item for item in contract.classes}
    names = [*contract.roots]
    for name in names:
        held = [field.field.type for field in classes[name].fields]
        held += [arm for _, arm, _ in classes[name].arms]
        names += [each for each in dict.fromkeys(held) if each in classes and each not in names]
    return [classes[name] for name in names]


def _named_values(enum: Enum) -> str:
    prefix = value_prefix(enum)
    rows = [
        [md.code(value.name.removeprefix(prefix).lower()), md.cell(value.comment)]
        for value in sent_values(enum)
    ]
    comment = _labelled(_STABLE, enum.comment)
    return "\n\n".join([f"## `{enum.name}`", comment, md.table(["Value", "Meaning"], rows)])


def _labelled(label: Stability, comment: str) -> str:
    said = comment.removesuffix(f"{label}.").rstrip()
    return f"{md.badge(label)} {md.text(said)}"


def _contract_row(field: ContractField, linked: set[str]) -> list[str]:
    base = field.field.type
    shown = md.code(field.annotation).replace("|", r"\|")
    if base in linked:
        shown = md.link(base)
        shown = f"tuple of {shown}" if field.field.repeated else shown
        shown = f"{shown} or None" if field.field.optional else shown
    default = "required" if field.default is None else md.code(_plain_default(field.default))
    return [md.code(field.name), shown, default, md.cell(field.field.comment)]


def _plain_default(expression: str) -> str:
    return "{}" if "default_factory=dict" in expression else expression


def _service(service: Service) -> str:
    rows = [
        [
            md.code(method.name),
            _stream(method.request, streaming=method.client_streaming),
            _stream(method.response, streaming=method.server_streaming),
            md.cell(method.comment),
        ]
        for method in service.methods
    ]
    header = ["Method", "Request", "Response", "Meaning"]
    comment = _labelled(label_of(service.comment), service.comment)
    return "\n\n".join([f"### `{service.name}`", comment, md.table(header, rows)])


def _stream(message: str, *, streaming: bool) -> str:
    return f"stream of {md.link(message)}" if streaming else md.link(message)


def _fields(fields: Sequence[Field]) -> str:
    rows = [
        [str(field.number), md.code(field.name), _wire_type(field), md.cell(field.comment)]
        for field in fields
    ]
    return md.table(["Number", "Field", "Type", "Meaning"], rows)


def _wire_type(field: Field) -> str:
    name = md.code(field.type) if field.kind is Kind.SCALAR else md.link(field.type)
    word = "repeated " if field.repeated else "optional " if field.optional else ""
    return word + name
