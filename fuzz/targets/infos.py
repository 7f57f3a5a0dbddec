"""Packed values: infos, options, seeds, frames, attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np

from fuzz.target import Feed, Target, expect
from fuzz.trees import mutate_packed
from rlmesh.codec.infos.packing import PackingError, pack, pack_listing, unpack, unpack_info

_STRUCTURED = np.dtype([("a", "<i4", (2,)), ("b", [("c", "?"), ("d", "<U2")])], align=True)
_VALUES: tuple[Any, ...] = (
    {},
    {"a": [1, 2.5, None, True, "ä", b"\0", (1, (2,)), {"b": -(2**70)}]},
    {1: 2, (3, None): [4], 2.5: {}},
    np.arange(6, dtype=np.float32).reshape(2, 3),
    {"mask": np.array([True, False]), "text": np.array(["a", "bc"]), "none": np.zeros((0, 3))},
    [np.float64(0.5), np.int8(-1), np.str_("a\0"), np.bytes_(b"b"), np.bool_(True)],
    [np.datetime64("2026-01-02"), np.array(["2026"], "M8[7D]"), np.timedelta64(3, "s")],
    np.zeros(2, _STRUCTURED),
    np.zeros((), _STRUCTURED)[()],
    [np.array([1, "a", None, [2]], dtype=object), np.longdouble(1.5), np.complex64(1j)],
    "\ud800",
    7,
)


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        with contextlib.suppress(PackingError):
            unpack_info(memoryview(data))
        try:
            value = unpack(data)
        except PackingError:
            return
        packed, lost = pack_listing(value)
        if not lost:
            expect(pack(unpack(packed)) == packed, "what was read is written in two ways")

    yield feed


def _seeds() -> Iterable[bytes]:
    return map(pack, _VALUES)


INFOS = Target("infos", "packed values, as either side reads them", _opened, _seeds, mutate_packed)
