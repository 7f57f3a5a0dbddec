"""Texts of any objects, of bounded length. Methods of these objects may raise anything."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

from rlmesh.codec.infos.packable_types import kind_of

__all__ = ["guarded", "text_of", "type_name"]

_T = TypeVar("_T")

_CONTAINERS: Final = frozenset([dict, list, tuple, set, frozenset])
_LONGEST_NAME: Final = 200


def text_of(value: object, limit: int) -> str:
    """The text of a value: what `str` gives, in short for containers, else `<ClassName>`.

    Args:
        value: Any object; its methods may raise.
        limit: The most characters that the text has.
    """
    return guarded(lambda: _cut(_text(value, limit), limit), f"<{_class_name(value)}>"[:limit])


def type_name(value: object) -> str:
    """The name of a value's type, with its module unless it is built in."""

    def qualified() -> str:
        kind = type(value)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return _cut(f"{module}{kind.__qualname__}", _LONGEST_NAME)

    return guarded(qualified, "object")


def _shortener() -> reprlib.Repr:
    """A `repr` of containers whose cost does not follow their length, depth or cycles."""
    short = reprlib.Repr()
    short.maxdict = short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = 100
    short.maxstring = short.maxother = short.maxlong = 200
    return short


_SHORT = _shortener()


def _text(value: Any, limit: int) -> str:
    kind = kind_of(value)
    if kind is str or kind is bytes:
        return str(value[: limit + 1])
    if kind in _CONTAINERS:
        return _SHORT.repr(value)
    # The text may be of a subclass, whose methods are as foreign as the value's.
    return str.__str__(str(value))


def _class_name(value: object) -> str:
    return guarded(lambda: _cut(str.__str__(type(value).__name__), _LONGEST_NAME), "object")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def guarded(call: Callable[[], _T], otherwise: _T) -> _T:
    """The result of a call into foreign code, or `otherwise` when the call raises anything."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - foreign code may raise anything, SystemExit included
        return otherwise
