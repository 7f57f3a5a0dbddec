"""Keys of dicts as they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from rlmesh.codec.infos.hash_flooding import MOST_KEYS_OF_ONE_HASH, busiest_hash
from rlmesh.codec.infos.packable_types import HASHABLE_BASES, LEAVES, SCALARS, TEXTS, kind_of

__all__ = ["Unsent", "sent_keys"]

Unsent: TypeAlias = Literal["unsupported key", "colliding key"]
"""Why a key does not arrive as it was."""

_UNSENDABLE: Final[Hashable] = object()


def sent_keys(
    keys: list[Any], max_depth: int, degrade: Callable[[object, Unsent], str]
) -> list[Hashable]:
    """The keys of a dict as they arrive, no two alike.

    Args:
        keys: The keys, in order.
        max_depth: How deep tuples among them may be nested.
        degrade: Called with each key that cannot travel; lists it and returns its text.
    """
    sent = [_sent(key, max_depth) for key in keys]
    if busiest_hash([key for key in sent if key is not _UNSENDABLE]) > MOST_KEYS_OF_ONE_HASH:
        sent = [key if type(key) in TEXTS else _UNSENDABLE for key in sent]
    # A key that arrives as it is keeps its place before those that only come to resemble it.
    taken = {key for key, was in zip(sent, keys, strict=True) if key is was}
    copies: Counter[str] = Counter()
    for index, (key, was) in enumerate(zip(sent, keys, strict=True)):
        if key is was:
            continue
        if key is _UNSENDABLE or key in taken:
            text = degrade(was, "unsupported key" if key is _UNSENDABLE else "colliding key")
            sent[index] = _unlike(text, taken, copies)
        taken.add(sent[index])
    return sent


def _unlike(text: str, taken: set[Hashable], copies: Counter[str]) -> str:
    """The text, numbered where others have it."""
    name = text
    while name in taken:
        copies[text] += 1
        name = f"{text} ({copies[text] + 1})"
    return name


def _sent(key: Any, max_depth: int) -> Hashable:
    """A key as it arrives, the same object where it does not change; or `_UNSENDABLE`."""
    kind = kind_of(key)
    if kind in LEAVES or kind in SCALARS:
        return key  # type: ignore[no-any-return] # these types can be hashed
    if kind is tuple:
        return _sent_tuple(key, max_depth)
    if not issubclass(kind, np.generic):
        for base, plain in HASHABLE_BASES:
            if issubclass(kind, base):
                return _sent(plain(key), max_depth)
    return _UNSENDABLE


def _sent_tuple(key: tuple[Any, ...], max_depth: int) -> Hashable:
    if max_depth <= 0:
        return _UNSENDABLE
    parts = [_sent(part, max_depth - 1) for part in key]
    if any(part is _UNSENDABLE for part in parts):
        return _UNSENDABLE
    changed = any(part is not was for part, was in zip(parts, key, strict=True))
    return tuple(parts) if changed else key
