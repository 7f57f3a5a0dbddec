"""Infos, options, seeds and frames as bytes, and back: MessagePack with extensions for the rest.

`PackedExtension` in value.proto is the normative description of the bytes. Nothing is ever
pickled, and reading executes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, Final, TypeAlias

import msgpack
import numpy as np

from rlmesh.codec.infos.bounded_text import guarded, text_of
from rlmesh.codec.infos.degradation import Degradation, Degraded, PackingLimits, Reason
from rlmesh.codec.infos.degrader import Degrader, TooLargeError
from rlmesh.codec.infos.fast_packing import packed_quickly
from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.msgpack_writer import extension, written
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.packed_arrays import array_parts
from rlmesh.codec.infos.plain import plain
from rlmesh.codec.infos.unpacking import PackingError, TooManyValuesError, unpack, unpack_info
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.spaces.paths import ROOT
from rlmesh_api.v1 import value_pb2

__all__ = [
    "Degraded",
    "PackingError",
    "PackingLimits",
    "TooManyValuesError",
    "pack",
    "pack_info",
    "pack_listing",
    "plain",
    "unpack",
    "unpack_info",
]

_INFO_LIMITS: Final = PackingLimits()
# Rendered frames may fill a message, but for what stands around them.
_VALUE_LIMITS: Final = PackingLimits(max_bytes=MAX_MESSAGE_BYTES - 2**20)
# A mapping that is not a dict may be endless.
_MOST_KEYS_OF_A_MAPPING: Final = 2**20


def pack(value: object, *, limits: PackingLimits = _VALUE_LIMITS) -> bytes:
    """Packs any object; what cannot travel becomes its text.

    Args:
        value: Anything.
        limits: What it may be at most.
    """
    return pack_listing(value, limits=limits)[0]


def pack_listing(
    value: object, *, limits: PackingLimits = _VALUE_LIMITS
) -> tuple[bytes, list[Degraded]]:
    """Packs any object, and lists what became a text.

    Args:
        value: Anything.
        limits: What it may be at most.
    """
    return _packed(value, limits, _as_it_is)


def pack_info(
    info: Mapping[Any, Any] | None,
    *,
    limits: PackingLimits = _INFO_LIMITS,
    num_envs: int | None = None,
) -> tuple[bytes, list[Degraded]]:
    """Packs an info; what became a text is listed in it under `rlmesh.info.degraded`.

    Args:
        info: What the environment returned.
        limits: What it may be at most.
        num_envs: The number of sub-environments of a vector environment, whose list then has the
            form of Gymnasium's infos; None for a single environment.

    Returns:
        The bytes, none for an empty info or None; and what became a text, for a warning.
    """
    finish = _with_listing if num_envs is None else partial(_with_listings, num_envs)
    kind = kind_of(info)
    if info is None or (kind is dict and not info):
        return b"", []
    contents: Any = info if issubclass(kind, dict) else _contents(info)
    if contents is None:
        return _degraded_whole(info, "unsupported type", limits, finish)
    return _packed(contents, limits, finish)


_Finish: TypeAlias = Callable[[Any, Degradation], object]


def _packed(value: object, limits: PackingLimits, finish: _Finish) -> tuple[bytes, list[Degraded]]:
    """Packs a value as it is; if that is too large, what fits of it."""
    quick = packed_quickly(value, limits)
    if quick is not None:
        return quick, []
    try:
        for fitting in (False, True):
            degrader = Degrader(limits, fitting=fitting)
            try:
                data = written(
                    finish(degrader.tree(value), degrader.degradation), segmented=degrader.segmented
                )
            except TooLargeError:
                continue
            if fitting or len(data) <= limits.max_bytes:
                return data, degrader.degradation.listed
    except Exception:  # noqa: BLE001 - an info never fails a step; what happened is in the list
        return _degraded_whole(value, "failed", limits, finish)
    raise AssertionError("what was made to fit is never too large")


def _degraded_whole(
    value: object, reason: Reason, limits: PackingLimits, finish: _Finish
) -> tuple[bytes, list[Degraded]]:
    degradation = Degradation()
    degradation.add(value, None, reason)
    return written(finish(text_of(value, limits.max_text), degradation)), degradation.listed


def _as_it_is(tree: object, degradation: Degradation) -> object:
    return tree


def _with_listing(tree: Any, degradation: Degradation) -> object:
    """An info with the list of what became a text, after what a server behind this one listed."""
    if not degradation.listed:
        return tree
    earlier: Any = tree.get(INFO_DEGRADED) if kind_of(tree) is dict else None
    listing = [*_entries(degradation.listed), *_for_unlisted(degradation)]
    if kind_of(earlier) is list:
        listing = [*earlier, *listing]
    return _with_entries(tree, {INFO_DEGRADED: listing})


def _with_listings(num_envs: int, tree: Any, degradation: Degradation) -> object:
    """An info of a vector environment with a list for each sub-environment, and their mask.

    What belongs to no single sub-environment is listed for each of them.
    """
    if not degradation.listed:
        return tree
    earlier: Any = tree.get(INFO_DEGRADED) if kind_of(tree) is dict else None
    lists: list[list[object]] = [[] for _ in range(num_envs)]
    if kind_of(earlier) is list and len(earlier) == 1 + num_envs:  # an array behind its marker
        lists = [[*(items or ())] for items in earlier[1:]]
    for item, entry in zip(degradation.listed, _entries(degradation.listed), strict=True):
        one = item.row is not None and item.row[1] == num_envs
        for env_index in [item.row[0]] if one and item.row else range(num_envs):
            lists[env_index].append(entry)
    for listing in lists:
        listing.extend(_for_unlisted(degradation))
    mask = array_parts(np.array([bool(listing) for listing in lists]))
    marker = extension(value_pb2.PACKED_EXTENSION_OBJECT_ARRAY, msgpack.packb([num_envs]))
    entries: dict[str, object] = {
        INFO_DEGRADED: [marker, *(listing or None for listing in lists)],
        f"_{INFO_DEGRADED}": extension(value_pb2.PACKED_EXTENSION_ARRAY, b"".join(mask)),
    }
    return _with_entries(tree, entries)


def _entries(listed: list[Degraded]) -> list[object]:
    return [{"path": item.path, "type": item.type, "reason": item.reason} for item in listed]


def _for_unlisted(degradation: Degradation) -> list[object]:
    """What stands in a list for those that it has no entry for."""
    more = degradation.unlisted
    return [{"path": ROOT, "type": "", "reason": f"{more} more"}] if more else []


def _with_entries(tree: Any, entries: dict[str, object]) -> object:
    """The tree of an info with more entries."""
    kind = kind_of(tree)
    if kind is dict:
        return {**tree, **entries}
    if kind is list:
        # A dict with other keys than texts, behind its marker; of two equal keys the last counts.
        return [*tree, *chain.from_iterable(entries.items())]
    return entries


def _contents(info: Any) -> dict[Any, Any] | None:
    """The contents of a mapping that is no dict; None if it is no mapping or cannot be read."""

    def read() -> dict[Any, Any] | None:
        if not issubclass(type(info), Mapping):
            return None
        contents = {key: info[key] for key in islice(info, _MOST_KEYS_OF_A_MAPPING)}
        return contents if len(contents) < _MOST_KEYS_OF_A_MAPPING else None

    return guarded(read, None)
