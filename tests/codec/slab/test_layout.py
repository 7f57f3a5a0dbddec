"""Where each leaf stands in a slab, and what a decoded value is."""

from __future__ import annotations

import dataclasses
import struct
from collections import OrderedDict
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from rlmesh.codec.slab.arrays import compile_read, compile_view
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, compile_layout
from rlmesh.codec.slab.leaves import arrange
from rlmesh.codec.slab.single_leaf import compile_single_decode, compile_single_encode
from rlmesh.spaces import from_gymnasium_space
from support.comparing import assert_same
from support.sample_spaces import BOOL, keeping_order


def layout_of(space: gymnasium.Space[Any], num_envs: int | None = None) -> Layout:
    return compile_layout(from_gymnasium_space(space), num_envs)


def test_a_box_stands_little_endian_in_c_order() -> None:
    slab = layout_of(Box(-9, 9, (2, 2), np.int16)).encode(np.array([[1, -2], [3, 4]], np.int16))
    assert slab == struct.pack("<4h", 1, -2, 3, 4)


def test_a_leaf_stands_at_the_next_multiple_of_eight() -> None:
    space = Tuple([Box(0, 255, (3,), np.uint8), Discrete(9), Box(0, 9, (1,), np.uint16)])
    layout = layout_of(space)
    assert [leaf.offset for leaf in layout.leaves] == [0, 8, 16]
    assert layout.size == 18
    value = (np.array([1, 2, 3], np.uint8), np.int64(5), np.array([7], np.uint16))
    assert layout.encode(value) == struct.pack("<3B5xqH", 1, 2, 3, 5, 7)


def test_leaves_stand_in_declared_order_depth_first() -> None:
    space = keeping_order({"z": Tuple([Discrete(2), Discrete(3)]), "a": Discrete(4)})
    layout = layout_of(space)
    assert [leaf.path for leaf in layout.leaves] == ["$.z[0]", "$.z[1]", "$.a"]
    assert layout.encode({"z": (1, 2), "a": 3}) == struct.pack("<3q", 1, 2, 3)


def test_the_sub_env_axis_stands_first() -> None:
    layout = layout_of(Box(0, 9, (2,), np.int8), 3)
    assert layout.leaves[0].shape == (3, 2)
    value = np.array([[1, 2], [3, 4], [5, 6]], np.int8)
    assert layout.encode(value) == bytes([1, 2, 3, 4, 5, 6])


def test_texts_follow_in_a_tail_right_after_the_last_leaf() -> None:
    layout = layout_of(Tuple([Text(9), Box(0, 9, (2,), np.uint8), Text(9)]))
    assert (layout.size, layout.has_text) == (20, True)
    value = ("né", np.array([1, 2], np.uint8), "漢")
    expected = struct.pack("<I4x2B6xI", 3, 1, 2, 3) + "né漢".encode()
    assert layout.encode(value) == expected


def test_texts_of_sub_envs_follow_sub_env_after_sub_env() -> None:
    layout = layout_of(Dict({"a": Text(9), "b": Text(9)}), 2)
    value = {"a": ("one", "two"), "b": ("", "four")}
    assert layout.encode(value) == struct.pack("<2I2I", 3, 3, 0, 4) + b"onetwofour"
    assert layout.decode(layout.encode(value)) == value


def test_a_lone_surrogate_is_carried() -> None:
    layout = layout_of(Text(9))
    assert layout.encode("a\ud800") == struct.pack("<I", 4) + b"a\xed\xa0\x80"
    assert layout.decode(layout.encode("a\ud800")) == "a\ud800"


@pytest.mark.parametrize(
    ("space", "value"), [(Dict({}), {}), (Tuple([]), ()), (Tuple([Dict({})]), ({},))]
)
def test_a_space_without_leaves_has_an_empty_slab(space: gymnasium.Space[Any], value: Any) -> None:
    layout = layout_of(space)
    assert (layout.size, layout.encode(value)) == (0, b"")
    assert_same(layout.decode(b""), value)


def test_a_layout_is_immutable() -> None:
    layout: Any = layout_of(Discrete(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.size = 9


def test_a_discrete_decodes_to_a_scalar_of_its_dtype() -> None:
    for n, dtype in ((3, np.int64), (3, np.uint8), (2**40, np.int64)):
        layout = layout_of(Discrete(n, start=2, dtype=dtype))
        for value in (2, 4, 100):  # 100 may be outside of the domain: the check says so
            assert_same(layout.decode(layout.encode(value)), dtype(value))


def test_a_box_of_shape_nothing_decodes_to_an_array_without_axes() -> None:
    layout = layout_of(Box(-1, 1, ()))
    assert_same(layout.decode(layout.encode(0.5)), np.array(0.5, np.float32))


def test_a_dict_decodes_to_a_plain_dict_in_declared_order() -> None:
    layout = layout_of(keeping_order({"b": Discrete(2), "a": Discrete(2), "c": Discrete(2)}))
    decoded = layout.decode(layout.encode(OrderedDict(c=1, a=0, b=1)))
    assert_same(decoded, {"b": np.int64(1), "a": np.int64(0), "c": np.int64(1)})


def test_a_multi_binary_decodes_to_int8() -> None:
    layout = layout_of(MultiBinary(3))
    assert_same(layout.decode(layout.encode([1, 0, 1])), np.array([1, 0, 1], np.int8))


LEAVES: dict[str, tuple[gymnasium.Space[Any], npt.NDArray[Any]]] = {
    "box": (Box(-1, 1, (4,)), np.zeros(4, np.float32)),
    "image": (Box(0, 255, (60, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)),
    "bools": (Box(0, 1, (3,), BOOL), np.zeros(3, np.bool_)),
    "multi_binary": (MultiBinary(3), np.zeros(3, np.int8)),
    "multi_discrete": (MultiDiscrete([2, 3]), np.zeros(2, np.int64)),
}


@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_decoded_array_is_the_callers_own(name: str, kind: type[Any]) -> None:
    space, value = LEAVES[name]
    for whole, wrapped in ((space, value), (Tuple([space]), (value,))):
        layout = layout_of(whole)
        source = bytearray(layout.encode(wrapped))
        decoded = layout.decode(kind(source))
        array = decoded[0] if isinstance(decoded, tuple) else decoded
        assert array.flags.writeable
        array[...] = 1
        assert layout.decode(kind(source)) is not decoded
        assert not any(source)


def test_a_decoded_small_array_owns_its_memory() -> None:
    layout = layout_of(Box(-1, 1, (4,)))
    assert layout.decode(layout.encode(np.zeros(4, np.float32))).flags.owndata


@pytest.mark.parametrize("name", LEAVES)
def test_a_view_is_read_only_and_follows_its_buffer(name: str) -> None:
    space, value = LEAVES[name]
    for num_envs in (None, 1):
        layout = layout_of(space, num_envs)
        buffer = memoryview(bytearray(layout.encode(value if num_envs is None else value[None])))
        view = layout.decode(buffer, copy=False)
        assert not view.flags.writeable
        buffer[0] = 1
        assert view.reshape(-1).view(np.uint8)[0] == 1


def test_a_vector_discrete_is_viewed_without_a_copy() -> None:
    layout = layout_of(Discrete(3), 4)
    buffer = memoryview(bytearray(layout.encode([0, 1, 2, 1])))
    view = layout.decode(buffer, copy=False)
    layout.encode_into([2, 2, 2, 2], buffer)
    assert view.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (Discrete(3), 2),
        (Box(0, 255, (60, 60, 3), np.uint8), np.zeros((60, 60, 3), np.uint8)),
        (Tuple([Discrete(3), Discrete(3)]), (1, 2)),
        (Text(9), "tail"),
        (Dict({"a": Text(9), "b": Discrete(2)}), {"a": "tail", "b": 1}),
    ],
    ids=["discrete", "image", "tuple", "text", "dict"],
)
def test_a_buffer_that_is_too_small_is_refused_with_what_is_needed(
    space: gymnasium.Space[Any], value: Any
) -> None:
    layout = layout_of(space)
    slab = layout.encode(value)
    with pytest.raises(BufferTooSmallError, match="the buffer has") as caught:
        layout.encode_into(value, bytearray(len(slab) + 2), 3)
    assert caught.value.needed == len(slab)
    buffer = bytearray(len(slab) + 3)
    assert layout.encode_into(value, buffer, 3) == len(slab)
    assert_same(layout.decode(buffer, 3), layout.decode(slab))


def test_a_buffer_without_room_for_the_fixed_part_is_refused() -> None:
    layout = layout_of(Tuple([Discrete(3), Text(9)]))
    with pytest.raises(BufferTooSmallError) as caught:
        layout.encode_into((1, "text"), bytearray(4))
    assert caught.value.needed == layout.size


@pytest.mark.parametrize("shape", [(4,), (60, 60, 3)])
def test_an_array_of_any_strides_is_written_in_c_order(shape: tuple[int, ...]) -> None:
    base: npt.NDArray[Any] = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    for value in (base[::-1], np.asfortranarray(base), base[..., ::-1]):
        for whole, wrapped in (
            (Box(0, 2**40, shape, np.int64), value),
            (Tuple([Box(0, 2**40, shape, np.int64)]), (value,)),
        ):
            layout = layout_of(whole)
            assert layout.encode(wrapped) == value.tobytes()
            buffer = bytearray(layout.size)
            layout.encode_into(wrapped, buffer)
            assert buffer == value.tobytes()


def test_a_read_only_array_is_encoded() -> None:
    value: npt.NDArray[Any] = np.zeros((60, 60, 3), np.uint8)
    value.setflags(write=False)
    assert layout_of(Tuple([Box(0, 255, (60, 60, 3), np.uint8)])).encode((value,)) == bytes(10800)


def test_a_leaf_in_the_other_byte_order_is_read_in_that_of_the_machine() -> None:
    # What little-endian is to a big-endian machine.
    ours = arrange(from_gymnasium_space(Box(0, 9, (3,), np.int32)), None)[0]
    leaf = dataclasses.replace(ours, dtype=ours.dtype.newbyteorder("S"))
    value = np.array([1, 2, 3], np.int32)
    for compile_function in (compile_read, compile_view):
        read = compile_function(leaf)
        assert_same(read(value.byteswap().tobytes(), 0, []), value)
    assert_same(compile_single_decode(leaf)(value.byteswap().tobytes()), value)
    assert compile_single_encode(leaf)(value) == value.byteswap().tobytes()
