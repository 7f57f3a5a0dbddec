"""Plain Python values as `Value` messages and as strict JSON, both without loss.

A plain value is None, a bool, int, float, str or bytes, or a list, tuple or dict of plain values;
the keys of a dict are texts. In JSON, what JSON lacks is an object with one key that begins with
a dollar sign:

    {"$tuple": [...]}           a tuple
    {"$bytes": "aGk="}          bytes, in base64
    {"$float": "-Infinity"}     a float that is not finite: NaN, Infinity, -Infinity
    {"$dict": [["$a", 1]]}      a dict with a key that begins with a dollar sign, as pairs

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from rlmesh_api._problems import (
    Problem,
    WrongType,
    as_list,
    as_mapping,
    describe,
    key_step,
    listed,
)
from rlmesh_api.v1 import value_pb2

__all__ = [
    "NONFINITE",
    "dict_from_json",
    "dict_from_wire",
    "dict_to_json",
    "dict_to_wire",
    "nonfinite_name",
    "utf8",
    "value_from_json",
    "value_from_wire",
    "value_to_json",
    "value_to_wire",
]

NONFINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The floats that JSON lacks, by the names that stand for them."""

_PLAIN = "None, a bool, int, float, str, bytes, list, tuple or dict"
_DIGITS = re.compile(r"-?[0-9]{1,4300}")  # 4300: the longest that Python converts by default
_FROM_INT64, _TO_INT64 = -(2**63), 2**63 - 1


def nonfinite_name(value: float) -> str:
    """The name of a float that is not finite."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def utf8(text: str) -> str:
    """The text itself, when a message can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Problem("a text without lone surrogates", describe(text)) from None
    return text


def _each(convert: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Convert items by position, naming the position of one that cannot be."""
    converted: list[Any] = []
    for index, item in enumerate(items):
        try:
            converted.append(convert(item))
        except Problem as problem:
            raise problem.inside(f"[{index}]") from None
    return converted


def _each_pair(
    convert: Callable[[Any], Any], pairs: Iterable[tuple[Any, Any]]
) -> list[tuple[str, Any]]:
    """Convert the values of pairs, naming the key of one that cannot be; keys are unique texts."""
    converted: dict[str, Any] = {}
    for key, item in pairs:
        if type(key) is not str:
            raise WrongType("keys that are texts", f"the key {describe(key)}")
        if key in converted:
            raise Problem("every key once", f"the key {describe(key)} twice")
        try:
            converted[key] = convert(item)
        except Problem as problem:
            raise problem.inside(key_step(key)) from None
    return list(converted.items())


def _by_type(table: Mapping[type, Callable[[Any], Any]], value: object, expected: str) -> Any:
    """Convert a value as a table says for exactly its type."""
    convert = table.get(type(value))
    if convert is None:
        raise WrongType(expected, describe(value))
    return convert(value)


def value_to_wire(value: object) -> value_pb2.Value:
    """A plain value as a message."""
    message: value_pb2.Value = _by_type(_TO_WIRE, value, _PLAIN)
    return message


def value_from_wire(message: value_pb2.Value) -> Any:
    """The plain value that a message holds."""
    kind = message.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "big_integer":
        return _from_decimal(message.big_integer)
    if kind == "list":
        return _each(value_from_wire, message.list.values)
    if kind == "tuple":
        return tuple(_each(value_from_wire, message.tuple.values))
    if kind == "dict":
        return dict_from_wire(message.dict)
    return getattr(message, kind)


def dict_to_wire(value: Any) -> value_pb2.ValueDict:
    """A plain dict, or another mapping with plain values, as a message."""
    pairs = _each_pair(value_to_wire, as_mapping(value, "a mapping").items())
    return value_pb2.ValueDict(
        entries=[value_pb2.ValueDictEntry(key=utf8(key), value=item) for key, item in pairs]
    )


def dict_from_wire(message: value_pb2.ValueDict) -> dict[str, Any]:
    """The plain dict that a message holds."""
    return dict(
        _each_pair(value_from_wire, ((entry.key, entry.value) for entry in message.entries))
    )


def value_to_json(value: object) -> Any:
    """A plain value as strict JSON data."""
    return _by_type(_TO_JSON, value, _PLAIN)


def value_from_json(data: object) -> Any:
    """The plain value that JSON data stands for."""
    return _by_type(_FROM_JSON, data, "JSON data")


def dict_to_json(value: Any) -> dict[str, Any]:
    """A plain dict, or another mapping with plain values, as strict JSON data."""
    pairs = _each_pair(value_to_json, as_mapping(value, "a mapping").items())
    if any(key.startswith("$") for key, _ in pairs):
        return {"$dict": [[key, item] for key, item in pairs]}
    return dict(pairs)


def dict_from_json(data: object) -> dict[str, Any]:
    """The plain dict that JSON data stands for."""
    value = value_from_json(data)
    if type(value) is not dict:
        raise WrongType("an object", describe(data))
    return cast("dict[str, Any]", value)


def _same(value: Any) -> Any:
    return value


def _int_to_wire(value: int) -> value_pb2.Value:
    if _FROM_INT64 <= value <= _TO_INT64:
        return value_pb2.Value(integer=value)
    return value_pb2.Value(big_integer=_decimal(value))


def _sequence(items: Iterable[Any]) -> value_pb2.ValueSequence:
    return value_pb2.ValueSequence(values=_each(value_to_wire, items))


def _int_to_json(value: int) -> int:
    _decimal(value)
    return value


def _float_to_json(value: float) -> Any:
    return value if math.isfinite(value) else {"$float": nonfinite_name(value)}


def _float_from_json(data: float) -> float:
    if not math.isfinite(data):
        raise Problem('a finite number or {"$float": ...}', describe(data))
    return data


def _object_from_json(data: dict[Any, Any]) -> Any:
    """The value of an object: a plain dict, or what its one key that begins with `$` says."""
    tag = next((key for key in data if isinstance(key, str) and key.startswith("$")), None)
    if tag is None:
        return dict(_each_pair(value_from_json, data.items()))
    if len(data) != 1 or tag not in _TAGS:
        raise Problem(f"one of {listed(_TAGS)} as the only key", f"the key {describe(tag)}")
    try:
        return _TAGS[tag](data[tag])
    except Problem as problem:
        raise problem.inside(f".{tag}") from None


def _tagged_bytes(data: object) -> bytes:
    if not isinstance(data, str):
        raise WrongType("text in base64", describe(data))
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        raise Problem("text in base64", describe(data)) from None


def _tagged_float(data: object) -> float:
    if not isinstance(data, str) or data not in NONFINITE:
        raise Problem(f"one of {listed(NONFINITE)}", describe(data))
    return NONFINITE[data]


def _tagged_dict(data: object) -> dict[str, Any]:
    pairs = [as_list(pair, "a list of pairs") for pair in as_list(data, "a list of pairs")]
    if any(len(pair) != 2 for pair in pairs):
        raise Problem("a list of pairs", "one of another length")
    return dict(_each_pair(value_from_json, ((key, value) for key, value in pairs)))


def _decimal(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python converts
        raise Problem("an integer of at most 4300 digits", describe(value)) from None


def _from_decimal(digits: str) -> int:
    if not _DIGITS.fullmatch(digits):
        raise Problem("1 to 4300 decimal digits", describe(digits))
    return int(digits)


_TO_WIRE: Mapping[type, Callable[[Any], value_pb2.Value]] = {
    type(None): lambda _: value_pb2.Value(),
    bool: lambda value: value_pb2.Value(boolean=value),
    int: _int_to_wire,
    float: lambda value: value_pb2.Value(real=value),
    str: lambda value: value_pb2.Value(text=utf8(value)),
    bytes: lambda value: value_pb2.Value(data=value),
    list: lambda value: value_pb2.Value(list=_sequence(value)),
    tuple: lambda value: value_pb2.Value(tuple=_sequence(value)),
    dict: lambda value: value_pb2.Value(dict=dict_to_wire(value)),
}

_TO_JSON: Mapping[type, Callable[[Any], Any]] = {
    type(None): _same,
    bool: _same,
    int: _int_to_json,
    float: _float_to_json,
    str: _same,
    bytes: lambda value: {"$bytes": base64.b64encode(value).decode("ascii")},
    list: lambda value: _each(value_to_json, value),
    tuple: lambda value: {"$tuple": _each(value_to_json, value)},
    dict: dict_to_json,
}

_FROM_JSON: Mapping[type, Callable[[Any], Any]] = {
    type(None): _same,
    bool: _same,
    int: _same,
    float: _float_from_json,
    str: _same,
    list: lambda data: _each(value_from_json, data),
    dict: _object_from_json,
}

_TAGS: Mapping[str, Callable[[Any], Any]] = {
    "$tuple": lambda data: tuple(_each(value_from_json, as_list(data, "a list"))),
    "$bytes": _tagged_bytes,
    "$float": _tagged_float,
    "$dict": _tagged_dict,
}
