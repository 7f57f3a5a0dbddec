"""The types of values, sorted by how they are packed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["BASES", "HASHABLE_BASES", "LEAVES", "SCALARS", "TEXTS", "foreign_array", "kind_of"]

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


def foreign_array(value: Any) -> Any:
    """An array of another library as NumPy's, and its scalar as NumPy's; None if it is neither.

    Args:
        value: Anything; what its `__array__` raises means that it is no array.
    """
    if not hasattr(kind_of(value), "__array__"):  # pyright: ignore[reportUnknownArgumentType] # its type parameter
        return None
    try:
        array: npt.NDArray[Any] = np.asarray(value)
    except Exception:  # noqa: BLE001 - foreign code; a tensor on a graphics card, for one, refuses
        return None
    # Of objects NumPy makes an array of anything, so that says nothing.
    return None if array.dtype.kind == "O" else array[()] if array.ndim == 0 else array
