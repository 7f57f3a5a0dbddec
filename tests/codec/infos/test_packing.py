"""What arrives as it was, type and value: everything that design section 4 lists."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rlmesh.codec.infos.degrader import Degrader
from rlmesh.codec.infos.fast_packing import packed_quickly
from rlmesh.codec.infos.msgpack_writer import written
from rlmesh.codec.infos.packing import (
    PackingLimits,
    pack,
    pack_info,
    pack_listing,
    unpack,
    unpack_info,
)
from support.comparing import assert_same

quad_is_not_sent = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant == 112, reason="long doubles of 128 bits have no form on the wire"
)


class Point(NamedTuple):
    x: Any
    y: Any


EXACT: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "small integers": [0, 1, -1, 127, -128, 2**31, -(2**31)],
    "64-bit integers": [2**63 - 1, -(2**63), 2**64 - 1],
    "large integers": [2**64, -(2**63) - 1, 2**70, -(2**200), 10**5000, -(10**5000)],
    "floats": [0.0, -0.0, 1.5, math.pi, 5e-324, 1.7976931348623157e308, math.inf, -math.inf],
    "nan": math.nan,
    "texts": ["", "plain", "umläut", "𝄞", "nul\0", "x" * 100_000],
    "lone surrogates": ["\ud800", "a\udfffb"],
    "bytes": [b"", b"\0\xff", bytes(70_000)],
    "lists": [[], [1, [2, [3]]], [[]]],
    "tuples": [(), (1,), (1, (2, (3, ())), [4, (5,)])],
    "dicts": {"b": 1, "a": {"c": {}, "": None}},
    "keys of every kind": {None: 1, True: 2, 7: 3, 2.5: 4, "x": 5, b"x": 6, 2**70: 7, (1, "a"): 8},
    "keys of bytes": {b"a": 1, b"\xff": 2},
    "keys with lone surrogates": {"\udc80": 1},
    "nested tuples as keys": {((1, 2), (None, (b"x",))): [1]},
    "numpy scalars as keys": {np.int64(1): "a", np.float32(0.5): "b", np.str_("c"): "d"},
    "numpy scalars": [
        np.bool_(True),
        np.int8(-1),
        np.uint64(2**64 - 1),
        np.float16(0.1),
        np.float32(0.1),
        np.float64(-0.0),
        np.float64("nan"),
        np.complex64(1 + 2j),
        np.complex128(complex(math.nan, -0.0)),
        np.datetime64("2024-05-06T07:08:09", "ns"),
        np.datetime64("NaT", "ns"),
        np.timedelta64(-3, "ms"),
        np.str_("text"),
        np.str_(""),
        np.bytes_(b"bytes"),
        np.bytes_(b""),
        np.void(b"\1\2\3"),
    ],
    "arrays": [
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.array(3.5),
        np.array(True),
        np.zeros((0,), np.float32),
        np.zeros((2, 0, 3), np.uint8),
        np.array(["a", "", "long\ud800"]),
        np.array([b"a", b""]),
        np.array(["2024-01-01", "NaT"], "M8[D]"),
        np.array([1, 2], "m8[25s]"),
        np.full((3,), b"\1\2", "V2"),
    ],
    "object arrays": [
        np.array([None, {"a": 1}, "x"], object),
        np.array([], object),
        np.array({"zero": "axes"}, object),
        np.array([[1, "a"], [None, 2.5]], object),
    ],
}


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
def test_arrives_with_type_and_value(value: Any) -> None:
    data, degraded = pack_listing(value)
    assert not degraded
    assert_same(unpack(data), value)


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
def test_arrives_inside_of_an_info(value: Any) -> None:
    info = {"key": value, "again": [value, (value,)]}
    data, degraded = pack_info(info)
    assert not degraded
    assert_same(unpack_info(data), info)


@pytest.mark.parametrize("value", EXACT.values(), ids=EXACT.keys())
def test_what_is_packed_quickly_is_what_the_walk_packs(value: Any) -> None:
    info = {"key": value, "again": [value, (value,)]}
    quick = packed_quickly(info, PackingLimits())
    degrader = Degrader(PackingLimits(), fitting=False)
    assert quick in (None, written(degrader.tree(info), segmented=degrader.segmented))


def test_an_info_of_plain_values_is_packed_quickly() -> None:
    info = {"a": [1, (2.5, None)], "b": {"c": np.float32(1), "d": np.zeros(3)}, "e": "text"}
    assert packed_quickly(info, PackingLimits()) is not None


def test_a_value_that_is_packed_is_not_changed() -> None:
    value = {"a": [1, (2, np.zeros(2)), {"b": np.float64(1)}], 3: np.array([None, [1]], object)}
    expected = {"a": [1, (2, np.zeros(2)), {"b": np.float64(1)}], 3: np.array([None, [1]], object)}
    pack_info(value)
    assert_same(value, expected)


def test_an_empty_info_has_no_bytes() -> None:
    assert pack_info({}) == (b"", [])
    assert pack_info(None) == (b"", [])
    assert unpack_info(b"") == {}


def test_keys_keep_their_types() -> None:
    arrived = unpack_info(pack_info({True: 1, 2: 1, 3.0: 1, None: 1})[0])
    assert [type(key) for key in arrived] == [bool, int, float, type(None)]


def test_a_key_that_is_no_number_arrives() -> None:
    (key,) = unpack(pack({math.nan: 1}))
    assert math.isnan(key)


def test_texts_of_numpy_keep_nuls_at_their_end() -> None:
    text, data = unpack(pack([np.str_("a\0"), np.bytes_(b"a\0\0")]))
    assert text == "a\0"
    assert data == b"a\0\0"


@quad_is_not_sent
@pytest.mark.parametrize("kind", [np.longdouble, np.clongdouble])
def test_scalars_of_long_doubles_arrive_exactly(kind: Any) -> None:
    scalar = kind(np.nextafter(np.longdouble(1), np.longdouble(2)))
    arrived = unpack(pack(scalar))
    assert type(arrived) is kind
    assert arrived == scalar


@quad_is_not_sent
@pytest.mark.parametrize("dtype", [np.longdouble, np.clongdouble])
def test_long_doubles_arrive_exactly_and_without_what_stood_in_their_padding(dtype: Any) -> None:
    array = np.full(8, 0xABABABABABABABAB, np.uint64).view(dtype)
    array[:] = np.nextafter(np.longdouble(1), np.longdouble(2))
    arrived = unpack(pack(array))
    assert arrived.dtype == dtype
    assert (arrived == array).all()
    assert 0xAB not in arrived.tobytes()


BASES: dict[str, tuple[Any, Any]] = {
    "OrderedDict": (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "defaultdict": (defaultdict(list, a=[1]), {"a": [1]}),
    "Counter": (Counter("aab"), {"a": 2, "b": 1}),
    "namedtuple": (Point(1, [2]), (1, [2])),
    "namedtuple as a key": ({Point(1, 2): 3}, {(1, 2): 3}),
    "extension of MessagePack": (msgpack.ExtType(5, b"x"), (5, b"x")),
    "list": (type("Texts", (list,), {})(["a"]), ["a"]),
    "str": (type("Text", (str,), {})("a"), "a"),
    "str as a key": ({type("Text", (str,), {})("key"): 1}, {"key": 1}),
    "int": (type("Integer", (int,), {})(2**70), 2**70),
    "float": (type("Real", (float,), {})(-0.0), -0.0),
    "bytes": (type("Bytes", (bytes,), {})(b"a"), b"a"),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "memoryview": (memoryview(b"abcd")[::2], b"ac"),
    "array": (np.ones((1, 2)).view(type("Array", (np.ndarray,), {})), np.ones((1, 2))),
    "recarray": (
        np.array([(1, 2.0)], [("a", "<i8"), ("b", "<f8")]).view(np.recarray),
        np.array([(1, 2.0)], [("a", "<i8"), ("b", "<f8")]),
    ),
}


@pytest.mark.parametrize(("value", "base"), BASES.values(), ids=BASES.keys())
def test_a_subclass_arrives_as_its_base_without_a_word(value: Any, base: Any) -> None:
    data, degraded = pack_listing(value)
    assert not degraded
    assert_same(unpack(data), base)


def test_a_subclass_is_read_past_the_methods_that_it_overrides() -> None:
    class Lazy(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError

        __iter__ = keys = values = copy = __len__ = items

    assert unpack(pack(Lazy(a=1))) == {"a": 1}


def titled(dtype: np.dtype[Any]) -> bool:
    fields = (dtype.fields or {}).values()
    return any(len(field) > 2 or titled(field[0].base) for field in fields)


@given(
    npst.arrays(
        dtype=st.one_of(
            npst.scalar_dtypes(),
            npst.unicode_string_dtypes(),
            npst.byte_string_dtypes(),
            npst.array_dtypes(allow_subarrays=True),
            npst.nested_dtypes(),
        ).map(lambda dtype: dtype.newbyteorder("<")),
        shape=npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ).filter(lambda array: array.dtype.itemsize > 0 and not titled(array.dtype))
)
def test_an_array_of_any_dtype_and_shape_arrives(array: np.ndarray[Any, Any]) -> None:
    data, degraded = pack_listing(array)
    assert not degraded
    arrived = unpack(data)
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    assert arrived.tobytes() == array.tobytes()


@given(st.data())
def test_a_scalar_of_any_dtype_arrives(data: st.DataObject) -> None:
    dtype = data.draw(npst.scalar_dtypes()).newbyteorder("<")
    scalar = data.draw(npst.arrays(dtype, ()))[()]
    assert_same(unpack(pack(scalar)), scalar)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["i2", "u8", "f4", "c16", "M8[s]", "U3"])
def test_a_big_endian_array_arrives_little_endian_with_equal_values(order: str, code: str) -> None:
    array = np.array([1, 2, 300]).astype(f"{order}{code}")
    arrived = unpack(pack(array))
    assert arrived.dtype == np.dtype(f"<{code}")
    assert (arrived == array).all()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(2, 3, 4)[:, ::2, ::-1],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.broadcast_to(np.float32(1), (3, 2)),
        np.arange(10)[3:4],
    ],
    ids=["strided", "Fortran", "broadcast", "slice"],
)
def test_an_array_of_any_strides_arrives_in_c_order(array: np.ndarray[Any, Any]) -> None:
    arrived = unpack(pack(array))
    assert (arrived == array).all()
    assert arrived.flags.c_contiguous


@pytest.mark.parametrize("size", [0, 3, 100_000])
def test_a_read_only_array_arrives_owned_and_writable(size: int) -> None:
    array = np.zeros(size, np.float64)
    array.flags.writeable = False
    for arrived in [unpack(pack(array)), unpack(pack({"a": array}))["a"]]:
        assert arrived.flags.owndata
        assert arrived.flags.writeable


@pytest.mark.parametrize("size", [1_000, 20_000, 300_000])
@pytest.mark.parametrize("place", ["alone", "dict", "list", "tuple", "keyed", "deep", "object"])
def test_an_array_of_any_size_arrives_wherever_it_stands(size: int, place: str) -> None:
    array = np.arange(size, dtype=np.uint8)
    value: Any = {
        "alone": array,
        "dict": {"a": array, "n": 2**70, "text": "\ud800"},
        "list": [array, 1, array],
        "tuple": (array, array),
        "keyed": {1: array, "b": array},
        "deep": {"a": {"b": [array]}},
        "object": np.array([array, None], object),
    }[place]
    assert_same(unpack(pack(value)), value)


@pytest.mark.parametrize("align", [True, False])
def test_a_structured_array_arrives_without_what_stood_in_its_padding(align: bool) -> None:
    dtype = np.dtype([("a", "u1"), ("b", "<f8", (2,)), ("c", [("d", "<U2"), ("e", "?")])], align)
    array = np.full(64 * 3, 0xAB, np.uint8)[: 3 * dtype.itemsize].view(dtype)
    array[:] = [(1, (2.0, 3.0), ("ab", True))] * 3
    arrived = unpack(pack(array))
    assert arrived.dtype == dtype
    assert (arrived == array).all()
    assert 0xAB not in arrived.tobytes()


def test_the_masks_and_object_arrays_of_a_vector_environment_arrive() -> None:
    final_obs = np.empty(3, object)
    final_obs[1] = {"position": np.zeros(2, np.float32), "goal": (1, np.ones(1))}
    info = {
        "final_obs": final_obs,
        "_final_obs": np.array([False, True, False]),
        "final_info": {"episode": {"r": np.array([0.0, 2.5, 0.0]), "_r": np.ones(3, bool)}},
        "seeds": np.array([np.array(5), [1, 2], np.zeros((2, 2))], dtype=object),
    }
    assert_same(unpack_info(pack_info(info)[0]), info)


def test_arrays_of_zero_axes_in_an_object_array_stay_arrays() -> None:
    array = np.empty(1, object)
    array[0] = np.array(5)
    arrived = unpack(pack(array))
    assert isinstance(arrived[0], np.ndarray)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5)
    | npst.arrays(npst.scalar_dtypes().map(lambda dtype: dtype.newbyteorder("<")), (2,)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(
            st.text(st.characters(), max_size=3)
            | st.integers()
            | st.tuples(st.integers(), st.binary(max_size=2)),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_like)
def test_any_nesting_arrives_as_it_was(value: Any) -> None:
    data, degraded = pack_listing(value)
    assert not degraded
    assert_same(unpack(data), value)


def test_the_bytes_of_plain_values_are_messagepack_of_any_library() -> None:
    value = {"a": [1, -2.5, None, True], "b": {"c": b"x", "d": "ü"}}
    assert msgpack.unpackb(pack(value)) == value
    assert pack(value) == msgpack.packb(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ((1,), "92 c70001 01"),
        ({1: 2}, "93 c70006 01 02"),
        (2**64, "c70902 000000000000000001"),
        (-(2**63) - 1, "c70902 ffffffffffffff7fff"),
        (np.array([1, 2], "<u2"), "c70c03 0600 92a33c753202 01000200"),
        (np.uint8(7), "d704 0500 91a37c7531 07"),
        (np.array([None], object), "92 d505 9101 c0"),
    ],
    ids=["tuple", "dict", "positive integer", "negative integer", "array", "scalar", "objects"],
)
def test_the_bytes_of_extensions_are_those_of_the_schema(value: Any, data: str) -> None:
    assert pack(value).hex() == data.replace(" ", "")
