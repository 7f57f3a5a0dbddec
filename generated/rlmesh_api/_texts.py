"""JSON text that is strict both ways, and the digest of JSON data.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeGuard

from rlmesh_api._problems import Problem, describe, key_step

__all__ = ["digest", "from_text", "to_text"]


def to_text(data: object) -> str:
    """JSON data as text on one line, in ASCII."""
    return json.dumps(data, allow_nan=False)


def from_text(text: str | bytes) -> Any:
    """The JSON data of a text.

    `NaN`, `Infinity` and numbers that no float holds, which are no JSON, are read as floats that
    are not finite; what takes the data refuses them.

    Raises:
        Problem: The text is no JSON, or an object has a key twice.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise Problem("JSON text in UTF-8", f"the byte {error.object[error.start]:#04x}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise Problem("JSON text", f"what is none at {place}: {error.msg}") from None
    except ValueError:
        raise Problem("integers of at most 4300 digits", "a longer one") from None
    _check_keys(data)
    return data


def digest(data: object) -> str:
    """The SHA-256 of JSON data, whatever the order of the keys in it, in hexadecimal digits."""
    text = json.dumps(_sorted_pairs(data), allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class _Doubled(dict[str, Any]):
    """An object in which a key stands twice."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    doubled = _Doubled(data)
    keys = [key for key, _ in pairs]
    doubled.key = next(key for key in data if keys.count(key) > 1)
    return doubled


def _check_keys(data: Any) -> None:
    if isinstance(data, _Doubled):
        raise Problem("every key once", f"the key {describe(data.key)} twice")
    for step, item in _steps(data):
        try:
            _check_keys(item)
        except Problem as problem:
            raise problem.inside(step) from None


def _steps(data: Any) -> list[tuple[str, Any]]:
    if _is_dict(data):
        return [(key_step(key), item) for key, item in data.items()]
    if _is_list(data):
        return [(f"[{index}]", item) for index, item in enumerate(data)]
    return []


def _sorted_pairs(data: Any) -> Any:
    """The data with the pairs of a `$dict` in the order of their keys."""
    if _is_list(data):
        return [_sorted_pairs(item) for item in data]
    if not _is_dict(data):
        return data
    if "$dict" in data:
        return {"$dict": sorted(_sorted_pairs(data["$dict"]), key=_key_of)}
    return {key: _sorted_pairs(item) for key, item in data.items()}


def _key_of(pair: list[Any]) -> Any:
    return pair[0]


# A check of the type alone leaves the elements without one.
def _is_dict(data: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(data, dict)


def _is_list(data: Any) -> TypeGuard[list[Any]]:
    return isinstance(data, list)
