"""The step that writes a text of other texts."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from rlmesh.adapters.boxes import Compiled, limit
from rlmesh.adapters.faults import StepFault, ValueFault, brief
from rlmesh.adapters.structure import entries_of
from rlmesh.spaces.containers import Dict
from rlmesh.spaces.text import Text
from rlmesh_api.contract import TextOperation, TextSpace

__all__ = ["compile_text"]


def compile_text(operation: TextOperation, space: Any) -> Compiled:
    """Compiles what writes a text into a Dict."""
    entries = entries_of(space)
    change = _lower if operation.lower else str
    parts: list[tuple[str, str | None]] = []
    least = most = 0
    characters: set[str] | None = set()
    for literal, key in _parsed(operation.template):
        parts.append((literal, key))
        least, most = least + len(literal), most + len(literal)
        characters = None if characters is None else characters | set(literal)
        if key is None:
            continue
        held = entries_of(space, key)[key]
        if not isinstance(held, TextSpace):
            raise StepFault("a Text", brief(held), (key,))
        least, most = least + held.min_length, most + held.max_length
        if characters is not None:
            charset = held.charset
            characters = None if charset is None else characters | set(change(charset))
    allowed = limit()
    if allowed is not None and most > allowed:
        raise StepFault(f"a text of at most {allowed} characters", most)
    written = Text(most, min_length=least, charset=characters)
    into = operation.into
    pairs = [(key, each) for key, each in (entries | {into: written}).items()]
    write = _writer(parts, change, None if allowed is None else most)
    return Dict(pairs), lambda value: {**value, into: write(value)}


def _parsed(template: str) -> list[tuple[str, str | None]]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise StepFault(
            "a template whose braces stand in pairs", f"{template!r}: {error}"
        ) from None
    for _, key, form, conversion in parsed:
        if key == "" or form or conversion:
            raise StepFault("keys alone in the braces of the template", repr(template))
    return [(literal, key) for literal, key, _, _ in parsed]


def _lower(text: str) -> str:
    """The text in lower case, as long as it was: a capital I with a dot above stays."""
    return "".join(low if len(low := each.lower()) == 1 else each for each in text)


def _writer(
    parts: list[tuple[str, str | None]], change: Callable[[str], str], most: int | None
) -> Callable[[Any], str]:
    """Writes a text; of a stranger's texts none that is longer than its space allows."""

    def write(value: Any) -> str:
        if most is not None:
            length = sum(len(each) + len(value[key] if key else "") for each, key in parts)
            if length > most:
                raise ValueFault(f"expected a text of at most {most} characters, got {length}")
        return "".join(
            literal if key is None else literal + change(value[key]) for literal, key in parts
        )

    return write
