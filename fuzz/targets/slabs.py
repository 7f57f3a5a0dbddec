"""Slabs: values of every space of the catalogue, as both sides read them."""

from __future__ import annotations

import contextlib
import mmap
import zlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from fuzz import golden
from fuzz.target import Feed, Target, expect
from rlmesh.codec.checks.conformance import Check, Policy, compile_check
from rlmesh.codec.slab.layout import CorruptSlabError, Layout, Violation, compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.protocols import Readable
from rlmesh.codec.slab.structure import Flatten, compile_flatten
from rlmesh_api.contract import TextSpace

_SUB_ENVS = (None, 1, 3)
_HEAD = 3
_COPY, _SHIFTED = 1, 2
_MAPPED = mmap.mmap(-1, 1 << 16)


@dataclass(frozen=True, slots=True)
class _Codec:
    layout: Layout
    check: Check
    flatten: Flatten
    padding: npt.NDArray[np.bool_]


def _name(space: str, num_envs: int | None) -> bytes:
    """What an input says that it is a slab of; the same as long as the space has that name."""
    return zlib.crc32(f"{space} {num_envs}".encode()).to_bytes(4, "little")[: _HEAD - 1]


def _compile() -> dict[bytes, _Codec]:
    codecs: dict[bytes, _Codec] = {}
    for name, space in golden.spaces().items():
        for num_envs in _SUB_ENVS:
            layout = compile_layout(space, num_envs)
            padding = np.ones(layout.size, np.bool_)
            for leaf in layout.leaves:
                padding[leaf.offset : leaf.end] = False
            codecs[_name(name, num_envs)] = _Codec(
                layout, compile_check(space, num_envs, layout), compile_flatten(space), padding
            )
    return codecs


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    codecs = _compile()
    names = sorted(codecs)

    def feed(data: bytes) -> None:
        if len(data) < _HEAD:
            return
        name = data[1:_HEAD]
        codec = codecs.get(name) or codecs[names[int.from_bytes(name, "little") % len(names)]]
        slab = data[_HEAD:]
        start = 24 if data[0] & _SHIFTED else 0
        for buffer in _buffers(slab, start):
            _feed_one(codec, buffer, start, slab, copy=bool(data[0] & _COPY))

    yield feed


def _buffers(slab: bytes, start: int) -> Iterable[Readable]:
    """A slab in all that it is read from, with other bytes around it."""
    whole = b"\xee" * start + slab + (b"\xee" * 9 if start else b"")
    _MAPPED[: len(whole)] = whole
    yield whole
    yield np.frombuffer(whole, np.uint8).copy().data
    if start:
        yield _MAPPED


def _feed_one(codec: _Codec, buffer: Readable, start: int, slab: bytes, *, copy: bool) -> None:
    layout = codec.layout
    try:
        value = layout.decode(buffer, start, len(slab) if start else None, copy=copy)
    except CorruptSlabError:
        return
    for leaf, part in zip(layout.leaves, codec.flatten(value), strict=True):
        _check_leaf(leaf, part)
    padded = np.frombuffer(slab, np.uint8).copy()
    padded[: layout.size][codec.padding] = 0
    expect(layout.encode(value) == padded.tobytes(), "a value is another slab than it came from")
    for policy in Policy:
        with contextlib.suppress(Violation):
            codec.check(buffer, start, policy)


def _check_leaf(leaf: Leaf, value: Any) -> None:
    if isinstance(leaf.space, TextSpace):
        texts = (value,) if leaf.num_envs is None else value
        expect(all(type(text) is str for text in texts), f"{leaf.path}: no text")
        expect(len(texts) == leaf.count, f"{leaf.path}: {len(texts)} texts")
        return
    expect(value.dtype == leaf.dtype, f"{leaf.path}: {value.dtype}, not {leaf.dtype}")
    expect(value.shape == leaf.shape, f"{leaf.path}: {value.shape}, not {leaf.shape}")


def _seeds() -> Iterable[bytes]:
    for name, num_envs, slab in golden.slabs():
        # The golden values of vectors have two sub-environments; here they are of one or three.
        for flags in (0, _COPY | _SHIFTED):
            yield bytes([flags]) + _name(name, num_envs) + slab
    for name in golden.spaces():
        for num_envs in _SUB_ENVS:
            yield bytes([_COPY]) + _name(name, num_envs) + bytes(8)


def _mutate(data: bytes, random: Random) -> bytes | None:
    """Keeps the length, of which there is one for most spaces: other bytes, or another space."""
    if len(data) <= _HEAD:
        return None
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8))):
        at = random.randrange(len(changed))
        width = random.choice((1, 1, 4, 8))
        changed[at : at + width] = random.choice(
            (b"\xff" * width, bytes(width), random.randbytes(width), b"\x01" + bytes(width - 1))
        )
    return bytes(changed[: len(data)])


SLABS = Target(
    "slabs", "values of every space, as both sides read them", _opened, _seeds, _mutate, longest=600
)
