"""Bytes that are no slab are refused with a ValueError of ours, and nothing is read beyond them."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text, Tuple
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.checks.conformance import Policy, compile_check
from rlmesh.codec.slab.layout import CorruptSlabError, Layout, Violation, compile_layout
from rlmesh.spaces import from_gymnasium_space
from support.sample_spaces import BOOL
from support.space_strategies import gymnasium_spaces

SPACES: dict[str, tuple[gymnasium.Space[Any], Any]] = {
    "discrete": (Discrete(3), 2),
    "box": (Box(-1, 1, (4,)), np.zeros(4, np.float32)),
    "image": (Box(0, 255, (60, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)),
    "bools": (Box(0, 1, (5,), BOOL), np.zeros(5, np.bool_)),
    "multi_binary": (MultiBinary(3), np.zeros(3, np.int8)),
    "tuple": (Tuple([Discrete(3), Box(-1, 1, ())]), (1, 0.5)),
    "text": (Text(9), "tail"),
    "dict": (Dict({"a": Text(9), "b": Discrete(2), "c": Text(9)}), {"a": "x", "b": 1, "c": "yz"}),
    "nothing": (Dict({}), {}),
}


def layout_of(space: gymnasium.Space[Any], num_envs: int | None = None) -> Layout:
    return compile_layout(from_gymnasium_space(space), num_envs)


def test_the_error_is_a_value_error() -> None:
    assert issubclass(CorruptSlabError, ValueError)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("name", SPACES)
def test_a_slab_of_any_other_length_is_refused(name: str, copy: bool) -> None:
    space, value = SPACES[name]
    layout = layout_of(space)
    slab = layout.encode(value)
    for length in {0, 1, len(slab) // 2, len(slab) - 1} - {len(slab)}:
        if 0 <= length < len(slab):
            with pytest.raises(CorruptSlabError):
                layout.decode(slab[:length], copy=copy)
            with pytest.raises(CorruptSlabError):
                layout.decode(slab, 0, length, copy=copy)
    with pytest.raises(CorruptSlabError, match=rf"{len(slab)} bytes, got {len(slab) + 1}$"):
        layout.decode(slab + b"\0", copy=copy)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("name", SPACES)
def test_a_slab_that_would_end_beyond_its_buffer_is_refused(name: str, copy: bool) -> None:
    space, value = SPACES[name]
    layout = layout_of(space)
    slab = layout.encode(value)
    with pytest.raises(CorruptSlabError):
        layout.decode(b"\0" * 8 + slab, 9, len(slab), copy=copy)
    with pytest.raises(CorruptSlabError):
        layout.decode(slab, len(slab) + 9, copy=copy)


@pytest.mark.parametrize("copy", [True, False])
def test_a_bool_that_is_neither_is_refused(copy: bool) -> None:
    layout = layout_of(Dict({"flags": Box(0, 1, (3,), BOOL)}))
    with pytest.raises(CorruptSlabError, match=r"^\$\.flags: expected bools, 0 or 1, got 7$"):
        layout.decode(bytes([1, 7, 0]), copy=copy)


def test_a_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(CorruptSlabError, match=r"^\$\.a: expected a text in UTF-8"):
        layout_of(Dict({"a": Text(9)})).decode(struct.pack("<I", 2) + b"a\xff")


@pytest.mark.parametrize("length", [5, 2**31, 2**32 - 1])
def test_a_text_that_would_end_beyond_the_slab_is_refused(length: int) -> None:
    with pytest.raises(CorruptSlabError, match=f"expected a text of {length} bytes, got 4$"):
        layout_of(Text(9)).decode(struct.pack("<I", length) + b"tail")


def test_bytes_that_belong_to_no_text_are_refused() -> None:
    with pytest.raises(CorruptSlabError, match="expected a slab of 6 bytes, got 8"):
        layout_of(Text(9)).decode(struct.pack("<I", 2) + b"tail")


def test_the_texts_of_sub_envs_may_not_take_each_others_bytes() -> None:
    layout = layout_of(Text(9), 2)
    assert layout.decode(struct.pack("<2I", 1, 3) + b"tail") == ("t", "ail")
    with pytest.raises(CorruptSlabError):
        layout.decode(struct.pack("<2I", 3, 3) + b"tail")


@given(
    gymnasium_spaces(),
    st.one_of(st.none(), st.integers(1, 3)),
    st.binary(max_size=96),
    st.integers(0, 16),
    st.data(),
)
def test_any_bytes_decode_or_are_refused(
    space: gymnasium.Space[Any],
    num_envs: int | None,
    noise: bytes,
    offset: int,
    data: st.DataObject,
) -> None:
    ours = from_gymnasium_space(space)
    layout = compile_layout(ours, num_envs)
    size = layout.size + data.draw(st.integers(-2, 2))
    slab = (noise * (size // max(len(noise), 1) + 1))[: max(size, 0)]
    buffer = b"\xee" * offset + slab
    for copy in (True, False):
        try:
            layout.decode(buffer, offset, copy=copy)
        except CorruptSlabError:
            return
    check = compile_check(ours, num_envs, layout)
    for policy in Policy:
        with suppress(Violation):
            check(buffer, offset, policy)
