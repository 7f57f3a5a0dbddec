"""How the values of one field of a contract class stand in JSON and on the wire.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rlmesh_api import _values
from rlmesh_api._enums import StrEnum
from rlmesh_api._problems import Problem, WrongType, describe, listed
from rlmesh_api.v1 import space_pb2

__all__ = [
    "BOOL",
    "DOUBLE",
    "INT32",
    "INT64",
    "NUMBER",
    "STRING",
    "UINT32",
    "UINT64",
    "VALUE",
    "VALUE_DICT",
    "Codec",
    "enum_from_proto",
    "member",
    "optional",
    "repeated",
]

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Codec:
    """How the values of one field stand in JSON and on the wire.

    Each function checks what it is given and raises `Problem` when it cannot convert it.
    """

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    to_wire: Callable[[Any], Any]
    from_wire: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _integer(low: int, high: int) -> Codec:
    expected = f"an integer from {low} to {high}"

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongType(expected, describe(value))
        if not low <= value <= high:
            raise Problem(expected, describe(value))
        return int(value)

    return Codec(check, check, check, _same)


def _check_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongType("a bool", describe(value))
    return value


def _check_string(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongType("a text", describe(value))
    return str(value)


def _string_to_wire(value: Any) -> str:
    return _values.utf8(_check_string(value))


def _check_real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongType("a number", describe(value))
    try:
        return float(value)
    except OverflowError:
        raise Problem("a number that a 64-bit float can hold", describe(value)) from None


def _real_to_json(value: Any) -> float | str:
    real = _check_real(value)
    return real if math.isfinite(real) else _values.nonfinite_name(real)


def _real_from_json(data: Any) -> float:
    if isinstance(data, str) and data in _values.NONFINITE:
        return _values.NONFINITE[data]
    real = _check_real(data)
    if not math.isfinite(real):
        raise Problem(f"a finite number or one of {listed(_values.NONFINITE)}", describe(data))
    return real


def _check_number(value: Any) -> int | float:
    expected = "a number from -2**63 to 2**64 - 1 or a float other than NaN"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise Problem(expected, describe(value))
        return int(value)  # a bool bound of a bool space becomes 0 or 1
    if not isinstance(value, float):
        raise WrongType(expected, describe(value))
    if math.isnan(value):
        raise Problem(expected, "NaN")
    return float(value)


def _number_to_json(value: Any) -> int | float | str:
    number = _check_number(value)
    return number if math.isfinite(number) else _values.nonfinite_name(number)


def _number_from_json(data: Any) -> int | float:
    if isinstance(data, str) and data in ("Infinity", "-Infinity"):
        return _values.NONFINITE[data]
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise WrongType('a number, "Infinity" or "-Infinity"', describe(data))
    if isinstance(data, float) and not math.isfinite(data):
        raise Problem('a finite number, "Infinity" or "-Infinity"', describe(data))
    return _check_number(data)


def _number_to_wire(value: Any) -> space_pb2.Number:
    number = _check_number(value)
    if isinstance(number, float):
        return space_pb2.Number(real=number)
    if number < 2**63:
        return space_pb2.Number(integer=number)
    return space_pb2.Number(natural=number)


def _number_from_wire(message: space_pb2.Number) -> int | float:
    kind = message.WhichOneof("value")
    return 0 if kind is None else _check_number(getattr(message, kind))


BOOL = Codec(_check_bool, _check_bool, _check_bool, _same)
INT32 = _integer(-(2**31), 2**31 - 1)
INT64 = _integer(-(2**63), 2**63 - 1)
UINT32 = _integer(0, 2**32 - 1)
UINT64 = _integer(0, 2**64 - 1)
DOUBLE = Codec(_real_to_json, _real_from_json, _check_real, _same)
STRING = Codec(_check_string, _check_string, _string_to_wire, _same)
NUMBER = Codec(_number_to_json, _number_from_json, _number_to_wire, _number_from_wire)
VALUE = Codec(
    _values.value_to_json,
    _values.value_from_json,
    _values.value_to_wire,
    _values.value_from_wire,
)
VALUE_DICT = Codec(
    _values.dict_to_json,
    _values.dict_from_json,
    _values.dict_to_wire,
    _values.dict_from_wire,
)


def optional(codec: Codec) -> Codec:
    """A field that may be None; a message then leaves it out."""

    def unless_none(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda value: None if value is None else convert(value)

    return Codec(
        unless_none(codec.to_json),
        unless_none(codec.from_json),
        unless_none(codec.to_wire),
        codec.from_wire,
    )


def repeated(codec: Codec) -> Codec:
    """A field that holds a tuple, a list in JSON."""

    def each(convert: Callable[[Any], Any], items: Any) -> list[Any]:
        converted: list[Any] = []
        for index, item in enumerate(items):
            try:
                converted.append(convert(item))
            except Problem as problem:
                raise problem.inside(f"[{index}]") from None
        return converted

    def check(items: Any, kind: type[Any]) -> Any:
        if not isinstance(items, kind):
            raise WrongType(f"a {kind.__name__}", describe(items))
        return items

    return Codec(
        lambda items: each(codec.to_json, check(items, tuple)),
        lambda items: tuple(each(codec.from_json, check(items, list))),
        lambda items: each(codec.to_wire, check(items, tuple)),
        lambda items: tuple(each(codec.from_wire, items)),
    )


def member(cls: type[E]) -> Codec:
    """A field that holds a member of an enum, its name in JSON."""
    expected = f"one of {listed(item.value for item in cls)}"
    wire_enum: Any = cls  # every generated enum has to_proto and from_proto

    def check(value: Any) -> E:
        if not isinstance(value, cls):
            raise WrongType(f"a member of {cls.__name__}", describe(value))
        return value

    def from_json(data: Any) -> E:
        if not isinstance(data, str):
            raise WrongType(expected, describe(data))
        try:
            return cls(data)
        except ValueError:
            raise Problem(expected, describe(data)) from None

    def from_wire(number: Any) -> E:
        try:
            found: E = wire_enum.from_proto(number)
        except ValueError:
            raise Problem(expected, f"the number {number}") from None
        return found

    return Codec(
        lambda value: check(value).value,
        from_json,
        lambda value: wire_enum.to_proto(check(value)),
        from_wire,
    )


def enum_from_proto(cls: type[E], name_of: Callable[[Any], str], prefix: str, number: int) -> E:
    """The member of an enum that a number stands for.

    Args:
        cls: The enum.
        name_of: Gives the name that the schema has for a number; raises ValueError for none.
        prefix: What all names of this enum begin with in the schema.
        number: The number.

    Raises:
        ValueError: The number stands for nothing, or for the value that is never sent.
    """
    try:
        return cls[name_of(number).removeprefix(prefix)]
    except (KeyError, ValueError):
        expected = listed(item.value for item in cls)
        raise ValueError(
            f"{cls.__name__}: expected the number of one of {expected}, got {number}"
        ) from None
