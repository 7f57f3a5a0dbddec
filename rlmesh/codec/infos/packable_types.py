"""The types of values, sorted by how they are packed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

__all__ = ["BASES", "HASHABLE_BASES", "LEAVES", "SCALARS", "TEXTS", "kind_of"]

kind_of: Final[Callable[[object], type[object]]] = type
"""The type of a value of any type, whatever it says that its class is."""

LEAVES: Final = frozenset([type(None), bool, int, float, str, bytes])
"""The types whose values MessagePack writes as they are."""

TEXTS: Final = frozenset([str, bytes])
"""The types that keys of MessagePack's own dicts have."""

SCALARS: Final = frozenset(np.dtype(code).type for code in "?bBhHiIlLqQefdFDSUmM")
"""The types of NumPy's scalars that travel from and to every machine."""

HASHABLE_BASES: Final[tuple[tuple[type[object], Callable[[Any], Any]], ...]] = (
    (tuple, lambda value: tuple[Any, ...].__getitem__(value, slice(None))),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
)
"""As `BASES`; those whose values are keys of dicts too."""

BASES: Final[tuple[tuple[type[object], Callable[[Any], Any]], ...]] = (
    *HASHABLE_BASES,
    # Its own `copy` asks a subclass that has another `__iter__`.
    (dict, lambda value: dict(dict[Any, Any].items(value))),
    (list, list[Any].copy),
    (bytearray, lambda value: bytes(memoryview(value))),
    (np.ndarray, np.asarray),
)
"""Types that are packed for their subclasses too, and what gives the contents of a subclass, past
any method that it overrides."""
