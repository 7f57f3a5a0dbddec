"""Infos, options, seeds and frames as bytes, and back: MessagePack with extensions for the rest.

`PackedExtension` in value.proto is the normative description of the bytes. Nothing is ever
pickled, and reading executes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from rlmesh.codec.infos.bounded_text import guarded, text_of
from rlmesh.codec.infos.degradation import Degradation, Degraded, PackingLimits, Reason
from rlmesh.codec.infos.degrader import Degrader, TooLargeError
from rlmesh.codec.infos.fast_packing import packed_quickly
from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.msgpack_writer import written
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.plain import plain
from rlmesh.codec.infos.unpacking import PackingError, unpack, unpack_info
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.spaces.paths import ROOT

__all__ = [
    "Degraded",
    "PackingError",
    "PackingLimits",
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
    info: Mapping[Any, Any] | None, *, limits: PackingLimits = _INFO_LIMITS
) -> tuple[bytes, list[Degraded]]:
    """Packs an info; what became a text is listed in it under `rlmesh.info.degraded`.

    Args:
        info: What the environment returned.
        limits: What it may be at most.

    Returns:
        The bytes, none for an empty info or None; and what became a text, for a warning.
    """
    kind = kind_of(info)
    if info is None or (kind is dict and not info):
        return b"", []
    contents: Any = info if issubclass(kind, dict) else _contents(info)
    if contents is None:
        return _degraded_whole(info, "unsupported type", limits, _with_listing)
    return _packed(contents, limits, _with_listing)


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
    listing: list[object] = [
        {"path": item.path, "type": item.type, "reason": item.reason} for item in degradation.listed
    ]
    if degradation.unlisted:
        listing.append({"path": ROOT, "type": "", "reason": f"{degradation.unlisted} more"})
    kind = kind_of(tree)
    if kind is dict:
        earlier: Any = tree.get(INFO_DEGRADED)
        if kind_of(earlier) is list:
            listing = [*earlier, *listing]
        return {**tree, INFO_DEGRADED: listing}
    if kind is list:
        # A dict with other keys than texts, behind its marker; of two equal keys the last counts.
        return [*tree, INFO_DEGRADED, listing]
    return {INFO_DEGRADED: listing}


def _contents(info: Any) -> dict[Any, Any] | None:
    """The contents of a mapping that is no dict; None if it is no mapping or cannot be read."""

    def read() -> dict[Any, Any] | None:
        if not issubclass(type(info), Mapping):
            return None
        contents = {key: info[key] for key in islice(info, _MOST_KEYS_OF_A_MAPPING)}
        return contents if len(contents) < _MOST_KEYS_OF_A_MAPPING else None

    return guarded(read, None)
