"""Values as a contract holds them: None, bool, int, float, str, bytes, list, tuple and dict."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import count
from typing import Any, Final

import numpy as np

from rlmesh.codec.infos.bounded_text import guarded, text_of
from rlmesh.codec.infos.packable_types import BASES, kind_of

__all__ = ["plain"]

_DEEPEST: Final = 64
_LONGEST_TEXT: Final = 1000
# Python writes integers of up to 4300 decimal digits by default.
_MOST_BITS: Final = 14_000
_FAILED: Final = object()


def plain(value: object) -> Any:
    """Reduces a value to what a contract can hold.

    NumPy scalars become Python's, arrays nested lists, mappings dicts with texts as keys. Anything
    else becomes its text, as does what contains itself or lies more than 64 containers deep.

    Args:
        value: Anything; nothing that its methods raise passes through.
    """
    return _plain(value, ())


def _plain(value: Any, around: tuple[int, ...]) -> Any:
    kind = kind_of(value)
    if value is None or kind in (bool, float, bytes):
        return value
    if kind is str:
        return _utf8(value)
    if kind is int and value.bit_length() <= _MOST_BITS:
        return value
    if id(value) in around or len(around) >= _DEEPEST:
        return _text(value)
    reduced = guarded(lambda: _reduced(value, (*around, id(value))), _FAILED)
    return _text(value) if reduced is _FAILED else reduced


def _reduced(value: Any, around: tuple[int, ...]) -> Any:
    kind = kind_of(value)
    if issubclass(kind, Enum) and not issubclass(kind, (int, str)):
        return _text(value)
    if issubclass(kind, np.generic):
        # The longest floats have no Python float behind them: their item is no other than they.
        return _plain(float(value) if issubclass(kind, np.floating) else value.item(), around)
    if issubclass(kind, np.ndarray):
        return _plain(value.tolist(), around)
    if issubclass(kind, Mapping):
        return _with_text_keys(value, around)
    if issubclass(kind, (list, tuple)):
        items = [_plain(item, around) for item in value]
        return items if issubclass(kind, list) else tuple(items)
    for base, contents in BASES:
        if issubclass(kind, base):
            return _plain(contents(value), around)
    return _text(value)


def _with_text_keys(mapping: Mapping[Any, Any], around: tuple[int, ...]) -> dict[str, Any]:
    pairs = list(mapping.items())
    taken = {key for key, _ in pairs if type(key) is str}
    reduced: dict[str, Any] = {}
    for key, item in pairs:
        name = _utf8(key) if type(key) is str else _text(key)
        if type(key) is not str and name in taken:
            name = next(other for n in count(2) if (other := f"{name} ({n})") not in taken)
        taken.add(name)
        reduced[name] = _plain(item, around)
    return reduced


def _text(value: object) -> str:
    return _utf8(text_of(value, _LONGEST_TEXT))


def _utf8(text: str) -> str:
    """The text with escapes for lone surrogates, which a message cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()
