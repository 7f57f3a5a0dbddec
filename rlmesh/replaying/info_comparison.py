"""Compares infos, as deep as they go."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.packing import unpack_info
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.replaying.distance import differing, ulps
from rlmesh.spaces.paths import ROOT, child_place

_OWN = ("rlmesh.", "_rlmesh.")
# What wrappers of Gymnasium and of Stable-Baselines3 measure by the clock.
_CLOCK = ("episode", "t")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class InfoDifference:
    """One place where two infos differ; attributes as of `Difference`."""

    path: str
    index: tuple[int, ...]
    recorded: str
    replayed: str
    ulps: int | None


class InfoComparison:
    """Compares infos.

    Args:
        tolerance: How far two floats may lie apart; None: each bit counts.
        ignore: The places that are not compared, `$.seconds`.

    Attributes:
        ignored: The places that differed and were not compared, in the order in which they were
            found.
    """

    def __init__(self, tolerance: float | None, ignore: Collection[str]) -> None:
        self._tolerance = tolerance
        self._ignore = frozenset(ignore)
        self.ignored: dict[str, None] = {}

    def compare(self, recorded: bytes, replayed: bytes) -> list[InfoDifference]:
        """The differences of two packed infos.

        Raises:
            ValueError: If one of them is no packed info.
        """
        if recorded == replayed:
            return []
        infos = [unpack_info(each) if each else {} for each in (recorded, replayed)]
        # What became a text has an address in it, and others the next time.
        texts = {place for info in infos for place in _degraded(info)}
        return list(self._values(ROOT, (), infos[0], infos[1], texts))

    def _values(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, texts: Collection[str]
    ) -> Iterator[InfoDifference]:
        found = self._compared(path, keys, a, b, texts)
        if path in self._ignore or path in texts or keys[-2:] == _CLOCK or _is_own(keys):
            if any(True for _ in found):
                self.ignored.setdefault(path)
            return
        yield from found

    def _compared(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, texts: Collection[str]
    ) -> Iterator[InfoDifference]:
        if is_mapping(a) and is_mapping(b):
            yield from self._dicts(path, keys, a, b, texts)
        elif type(a) is not type(b):
            yield _difference(path, (), f"{_shown(a)} ({_kind(a)})", f"{_shown(b)} ({_kind(b)})")
        elif is_array(a):
            yield from self._arrays(path, keys, a, b, texts)
        elif isinstance(a, (list, tuple)):
            yield from self._rows(path, keys, a, b, texts)
        elif isinstance(a, (float, np.generic)):
            yield from self._scalars(path, a, b)
        elif a != b:
            yield _difference(path, (), _shown(a), _shown(b))

    def _dicts(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, texts: Collection[str]
    ) -> Iterator[InfoDifference]:
        for key in {**a, **b}:
            place = child_place(path, key if isinstance(key, (str, int)) else repr(key))
            if key in a and key in b:
                yield from self._values(place, (*keys, key), a[key], b[key], texts)
            else:
                yield from self._absent(place, (*keys, key), a.get(key), b.get(key), key in a)

    def _rows(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, texts: Collection[str]
    ) -> Iterator[InfoDifference]:
        if len(a) != len(b):
            yield _difference(path, (), f"{len(a)} items", f"{len(b)} items")
        for number, (one, other) in enumerate(zip(a, b, strict=False)):
            yield from self._values(child_place(path, number), (*keys, number), one, other, texts)

    def _absent(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, recorded: bool
    ) -> Iterator[InfoDifference]:
        if path in self._ignore or keys[-2:] == _CLOCK or _is_own(keys):
            self.ignored.setdefault(path)
            return
        yield _difference(
            path, (), _shown(a) if recorded else "absent", "absent" if recorded else _shown(b)
        )

    def _arrays(
        self, path: str, keys: tuple[Any, ...], a: Any, b: Any, texts: Collection[str]
    ) -> Iterator[InfoDifference]:
        if a.dtype != b.dtype or a.shape != b.shape:
            yield _difference(path, (), _form(a), _form(b))
        elif a.dtype.kind == "O":
            for index in np.ndindex(a.shape):
                for each in self._values(path, (*keys, *index), a[index], b[index], texts):
                    yield InfoDifference(
                        each.path, each.index or index, each.recorded, each.replayed, each.ulps
                    )
        elif a.dtype.kind in "fcbiumM":
            for place in np.argwhere(differing(a, b, self._tolerance))[:1]:
                index = tuple(int(number) for number in place)
                yield _difference(
                    path, index, _shown(a[index]), _shown(b[index]), a[index], b[index]
                )
        elif a.tobytes() != b.tobytes():
            yield _difference(path, (), _shown(a.tolist()), _shown(b.tolist()))

    def _scalars(self, path: str, a: Any, b: Any) -> Iterator[InfoDifference]:
        one, other = np.asarray(a), np.asarray(b)
        if one.dtype != other.dtype:
            yield _difference(path, (), f"{a!r} ({one.dtype})", f"{b!r} ({other.dtype})")
        elif one.dtype.kind in "fcbiumM":
            if differing(one, other, self._tolerance).any():
                yield _difference(path, (), _shown(a), _shown(b), a, b)
        elif one.tobytes() != other.tobytes():
            yield _difference(path, (), _shown(a), _shown(b))


def _difference(
    path: str, index: tuple[int, ...], a: str, b: str, one: Any = None, other: Any = None
) -> InfoDifference:
    return InfoDifference(path, index, a, b, None if one is None else ulps(one, other))


def _is_own(keys: tuple[Any, ...]) -> bool:
    return bool(keys) and isinstance(keys[0], str) and keys[0].startswith(_OWN)


def _degraded(info: dict[str, Any]) -> Iterator[str]:
    """The places of what became a text, as the info lists them."""
    listed = info.get(INFO_DEGRADED)
    each_list = listed if is_array(listed) else [listed]
    for entries in each_list:
        if is_row(entries):
            for entry in entries:
                if is_mapping(entry) and isinstance(entry.get("path"), str):
                    yield entry["path"]


def _shown(value: Any) -> str:
    number = issubclass(kind_of(value), (np.number, np.bool_))
    text = str(value) if number else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _kind(value: Any) -> str:
    return type(value).__name__


def _form(array: Any) -> str:
    return f"{array.dtype} of shape {array.shape}"
