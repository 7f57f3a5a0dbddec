"""What messages say of values and types. The methods of these values may raise anything."""

from __future__ import annotations

import json
import reprlib
from typing import Any, Callable

import numpy as np

_WIDEST = 60
_short = reprlib.Repr()
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = 100
_short.maxstring = _short.maxother = _short.maxlong = 200


def guarded(call: Callable[[], Any], otherwise: Any) -> Any:
    """The result of a call into foreign code, or `otherwise` where it raises anything."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - foreign code may raise anything, SystemExit included
        return otherwise


def typename(value: object) -> str:
    """The name of a value's type, with its module unless it is built in."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"[:200]


def text_of(value: Any, limit: int = 1000) -> str:
    """The text of a value: what `str` gives, in short for containers, else `<ClassName>`."""

    def text() -> str:
        if type(value) in (str, bytes):
            found = str(value[: limit + 1])
        elif type(value) in (dict, list, tuple, set, frozenset):
            found = _short.repr(value)
        else:
            found = str.__str__(str(value))
        return found if len(found) <= limit else f"{found[: limit - 3]}..."

    result: str = guarded(text, f"<{type(value).__name__}>"[:limit])
    return result


def shown(value: Any) -> str:
    """A number or a text as a message shows it, cut where it is long."""
    if isinstance(value, (np.number, np.bool_)):
        text = str(value)
    elif type(value) is int and value.bit_length() > 4 * _WIDEST:
        text = f"an integer of {value.bit_length()} bits"
    elif type(value) in (bool, int, float, complex, str):
        text = repr(value[: _WIDEST + 1] if type(value) is str else value)
    else:
        return f"a value of type {typename(value)}"
    return text if len(text) <= _WIDEST + 2 else f"{text[:_WIDEST]}..."


def described(value: Any) -> str:
    """The type and the value, cut."""
    text: str = guarded(lambda: f"{type(value).__name__} {value!r:.80}", type(value).__name__)
    return text


def one_line(text: str, limit: int = 200) -> str:
    """A foreign text in one line, with escapes for what is not printable."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:limit])
    return line if len(text) <= limit else f"{line}..."


def child_place(place: str, key: str | int) -> str:
    """The place of a child: `$.arm`, `$["two words"]`, `$[1]`."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    return f"{place}.{key}" if key.isidentifier() else f"{place}[{json.dumps(key)}]"
