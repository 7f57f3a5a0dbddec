"""Mutations of protobuf's messages: another message of the same type."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from fuzz.target import Mutate
from fuzz.trees import mutate_packed

_TEXTS = ("", "a", "CartPole-v1", "shm", "ä\U0001f98a", "\0\n'\"", "$.a[0]", "x" * 99, "12345", "-")
_REALS = (0.0, -0.0, 1.0, 0.1, 1e308, float("inf"), float("-inf"), float("nan"))
_UNSIGNED = (0, 1, 2, 3, 32, 65, 127, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)
_SIGNED = (0, 1, -1, 127, -128, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63))
_DEEP = 40
_32_BITS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)


def message_mutator(kind: type[Message]) -> Mutate:
    """What mutates messages of a type."""

    def mutate(data: bytes, random: Random) -> bytes | None:
        try:
            message = kind.FromString(data)
        except DecodeError:
            return None
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            _change(message, random)
        try:
            return message.SerializeToString()
        except ValueError:  # nested more deeply than protobuf writes
            return None

    return mutate


def _change(message: Message, random: Random) -> None:
    """Makes one change, as deep down as a coin says."""
    # Any: its types name those of the implementation in C beside those that it documents.
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    present = [field for field in fields if field.name in _names(message)]
    field = random.choice(present if present and random.random() < 0.7 else fields)
    if field.is_repeated:
        _change_repeated(message, field, random)
    elif field.message_type is not None:
        child = getattr(message, field.name)
        child.SetInParent()
        if random.random() < 0.1:
            message.ClearField(field.name)
        elif field.message_type.fields:
            _change(child, random)
    elif random.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), random))


def _names(message: Message) -> set[str]:
    """The names of the fields that are set."""
    return {field.name for field, _ in message.ListFields()}


def _change_repeated(message: Message, field: FieldDescriptor, random: Random) -> None:
    items: Any = getattr(message, field.name)
    chosen = random.random()
    if items and chosen < 0.5 and field.message_type is not None:
        _change(random.choice(items), random)
    elif items and chosen < 0.3:
        at = random.randrange(len(items))
        items[at] = _scalar(field, items[at], random)
    elif items and chosen < 0.65:
        del items[random.randrange(len(items))]
    elif field.message_type is None:
        items.extend([_scalar(field, None, random)] * random.choice((1, 1, 2, 70)))
    elif items and chosen < 0.8:
        items.add().CopyFrom(random.choice(items))
    elif items and chosen < 0.83:
        _nest(items, random)
    else:
        _change(items.add(), random)


def _nest(items: Any, random: Random) -> None:
    """Has an element stand in copies of itself, level in level."""
    original = type(items[0])()
    original.CopyFrom(random.choice(items))
    for _ in range(random.randrange(_DEEP)):
        outer = type(original)()
        if not _put_inside(outer, original):
            return
        original = outer
    items.add().CopyFrom(original)


def _put_inside(outer: Message, inner: Message) -> bool:
    """Puts a message into another of the same type, by the first way there is."""
    for field in outer.DESCRIPTOR.fields:
        if field.message_type is None:
            continue
        held = getattr(outer, field.name)
        for below in field.message_type.fields:
            if below.message_type is inner.DESCRIPTOR:
                target = getattr(held, below.name)
                (target.add() if below.is_repeated else target).CopyFrom(inner)
                return True
    return False


def _scalar(field: FieldDescriptor, now: Any, random: Random) -> Any:
    return _SCALARS[field.cpp_type](field, now, random)


def _integer(field: FieldDescriptor, now: Any, random: Random) -> int:
    signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    bits = 32 if field.cpp_type in _32_BITS else 64
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    near = (now or 0) + random.choice((-1, 1))
    chosen = near if random.random() < 0.3 else random.choice(_SIGNED if signed else _UNSIGNED)
    return min(max(chosen, low), high)


def _text(_field: FieldDescriptor, now: Any, random: Random) -> Any:
    if _field.type == FieldDescriptor.TYPE_BYTES:
        packed = mutate_packed(now or b"", random) if random.random() < 0.7 else None
        if packed is not None:
            return packed
        at = random.randrange(len(now or b"") + 1)
        return (now or b"")[:at] + random.randbytes(random.choice((0, 1, 8)))
    return random.choice((random.choice(_TEXTS), (now or "") + random.choice(_TEXTS)))


def _enum(field: FieldDescriptor, _now: Any, random: Random) -> int:
    known = [] if field.enum_type is None else list(field.enum_type.values_by_number)
    return random.choice([*known, 99])


_SCALARS: dict[int, Callable[[FieldDescriptor, Any, Random], Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: lambda _f, _n, random: random.random() < 0.5,
    FieldDescriptor.CPPTYPE_DOUBLE: lambda _f, _n, random: random.choice(_REALS),
    FieldDescriptor.CPPTYPE_ENUM: _enum,
    FieldDescriptor.CPPTYPE_INT32: _integer,
    FieldDescriptor.CPPTYPE_INT64: _integer,
    FieldDescriptor.CPPTYPE_STRING: _text,
    FieldDescriptor.CPPTYPE_UINT32: _integer,
    FieldDescriptor.CPPTYPE_UINT64: _integer,
}
