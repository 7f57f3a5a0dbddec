"""Bytes from anybody: a value or a PackingError, nothing else, in bounded time and memory."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlmesh.codec.infos.packing import PackingError, pack, unpack, unpack_info
from support.odd_values import objects

TUPLE, BIG_INTEGER, ARRAY, SCALAR, OBJECT_ARRAY, DICT = range(1, 7)


def ext(code: int, payload: bytes = b"") -> msgpack.ExtType:
    return msgpack.ExtType(code, payload)


def headed(*header: Any, elements: bytes = b"") -> bytes:
    packed = msgpack.packb(list(header))
    return len(packed).to_bytes(2, "little") + packed + elements


def structured(itemsize: Any, *fields: Any) -> dict[str, Any]:
    return {"itemsize": itemsize, "fields": list(fields)}


def nested_dtype(depth: int) -> Any:
    dtype: Any = "|u1"
    for _ in range(depth):
        dtype = structured(1, ["f", dtype, [], 0])
    return dtype


HOSTILE: dict[str, Any] = {
    "unknown extension": ext(7),
    "extension of the schema that is never sent": ext(0),
    "marker by itself": ext(TUPLE),
    "marker in a dict": {"a": ext(TUPLE)},
    "marker after the first element": [1, ext(TUPLE)],
    "two markers": [ext(TUPLE), ext(TUPLE)],
    "tuple marker with a payload": [ext(TUPLE, b"x")],
    "dict marker with a payload": [ext(DICT, b"x")],
    "dict with a key and no value": [ext(DICT), 1],
    "dict with a list as a key": [ext(DICT), [1], 1],
    "dict with a dict in a key": [ext(DICT), [ext(TUPLE), {}], 1],
    "dict with an array as a key": [ext(DICT), ext(ARRAY, headed("|u1", 1, elements=b"x")), 1],
    "MessagePack's dict with an integer as a key": {1: 2},
    "object array without axes": [ext(OBJECT_ARRAY), 1],
    "object array with too few elements": [ext(OBJECT_ARRAY, b"\x91\x02"), 1],
    "object array of a negative length": [ext(OBJECT_ARRAY, b"\x91\xff")],
    "object array with a bool as a length": [ext(OBJECT_ARRAY, b"\x91\xc3"), 1],
    "object array of a text": [ext(OBJECT_ARRAY, b"\xa1x")],
    "object array of a number": [ext(OBJECT_ARRAY, b"\x01"), 1],
    "object array of too many axes": [ext(OBJECT_ARRAY, b"\xdc\x00\x64" + b"\x01" * 100), 1],
    "object array without elements of great length": [
        ext(OBJECT_ARRAY, msgpack.packb([0, 2**62, 2**62]))
    ],
    "array without a payload": ext(ARRAY),
    "array with half a length": ext(ARRAY, b"\x01"),
    "array with half a header": ext(ARRAY, b"\xff\xff\x91"),
    "array with an empty header": ext(ARRAY, b"\0\0"),
    "array with a header that is a number": ext(ARRAY, b"\1\0\1"),
    "array with a header without anything": ext(ARRAY, b"\1\0\x90"),
    "array of too few bytes": ext(ARRAY, headed("<f8", 2, elements=bytes(15))),
    "array of too many bytes": ext(ARRAY, headed("<f8", 2, elements=bytes(17))),
    "array of a size beyond 64 bits": ext(ARRAY, headed("<f8", 2**63, 2**63)),
    "array of a size that wraps to zero": ext(ARRAY, headed("<f8", 2**32, 2**32)),
    "array of a negative length": ext(ARRAY, headed("<f8", -1, -1, elements=bytes(8))),
    "array with a text as a length": ext(ARRAY, headed("<f8", "1", elements=bytes(8))),
    "array of too many axes": ext(ARRAY, headed("|u1", *[1] * 100, elements=b"x")),
    "empty array of great lengths": ext(ARRAY, headed("<f8", 0, 2**62, 2**62)),
    "array of great elements that are none": ext(ARRAY, headed("<U999999999999", 0)),
    "array of nothing": ext(ARRAY, headed("|V0", 2**40)),
    "array of bools that are numbers": ext(ARRAY, headed("|b1", 1, elements=b"\2")),
    "array of texts that are none": ext(ARRAY, headed("<U1", 1, elements=b"\xff" * 4)),
    "scalar with axes": ext(SCALAR, headed("|u1", 1, elements=b"x")),
    "scalar of too few bytes": ext(SCALAR, headed("<f8", elements=bytes(7))),
    "scalar of too many bytes": ext(SCALAR, headed("<c8", elements=bytes(9))),
    "scalar of nothing": ext(SCALAR, headed("|V0")),
    "scalar that is no bool": ext(SCALAR, headed("|b1", elements=b"\2")),
    "scalar that is no text": ext(SCALAR, headed("<U1", elements=b"\xff" * 4)),
    "scalar without a header": ext(SCALAR),
    "fields of a bool that is none": ext(
        ARRAY, headed(structured(1, ["f", "|b1", [], 0]), 1, elements=b"\2")
    ),
    "fields without a size": ext(ARRAY, headed({"fields": []}, 1)),
    "fields of no bytes": ext(ARRAY, headed(structured(0), 1)),
    "fields beyond the element": ext(
        ARRAY, headed(structured(4, ["f", "<f8", [], 0]), 1, elements=bytes(4))
    ),
    "fields before the element": ext(
        ARRAY, headed(structured(8, ["f", "<f8", [], -8]), 1, elements=bytes(8))
    ),
    "fields of one name": ext(
        ARRAY, headed(structured(1, *[["f", "|u1", [], 0]] * 2), 1, elements=b"x")
    ),
    "fields of objects": ext(
        ARRAY, headed(structured(8, ["f", "|O", [], 0]), 1, elements=bytes(8))
    ),
    "fields of great lengths": ext(
        ARRAY, headed(structured(1, ["f", "|u1", [2**40], 0]), 1, elements=b"x")
    ),
    # Each is looked at by itself: thousands would take as many times as long.
    "fields on top of each other": ext(
        ARRAY, headed(structured(1, ["f", "|b1", [], 0], ["g", "|b1", [], 0]), 1, elements=b"\0")
    ),
    "fields that are numbers": ext(ARRAY, headed(structured(1, 5), 1, elements=b"x")),
    "fields that are too short": ext(ARRAY, headed(structured(1, ["f"]), 1, elements=b"x")),
    "fields with a number as a name": ext(
        ARRAY, headed(structured(1, [7, "|u1", [], 0]), 1, elements=b"x")
    ),
    "fields too deep": ext(ARRAY, headed(nested_dtype(100), 1, elements=b"x")),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_extensions_are_refused(hostile: Any) -> None:
    with pytest.raises(PackingError):
        unpack(msgpack.packb(hostile))


@pytest.mark.parametrize(
    "dtype",
    [
        *("|O", "O", "object", "O8", "|O8", "|T16", "<f3", ">f4", "=f4", "f4", "<f4,<f4", ""),
        *("(2,)<f4", "<m8[]", "<M8[x]", "<U-1", "<U\u0661", "|S99999999999999999999"),
        *(None, 1, True, [], b"<f4"),
    ],
)
def test_dtypes_that_the_schema_does_not_name_are_refused(dtype: Any) -> None:
    with pytest.raises(PackingError):
        unpack(msgpack.packb(ext(ARRAY, headed(dtype, 1, elements=bytes(8)))))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\xa1\xff", b"\xd9"])
def test_bytes_that_are_no_messagepack_are_refused(data: bytes) -> None:
    with pytest.raises(PackingError):
        unpack(data)


@pytest.mark.parametrize("value", [[1], (1,), None, "text", {1: 2}.keys()])
def test_an_info_that_is_no_dict_is_refused(value: Any) -> None:
    with pytest.raises(PackingError):
        unpack_info(pack(value))


def test_a_timestamp_is_an_integer() -> None:
    assert unpack(msgpack.packb(msgpack.Timestamp(1, 5))) == 1_000_000_005


def test_a_view_is_read_as_bytes_are() -> None:
    frame = np.arange(30_000, dtype=np.uint8)
    for value in [frame, {"a": [1, (2,)], "frame": frame}]:
        data = pack(value)
        assert pack(unpack(memoryview(b"-" + data + b"-")[1:-1])) == data


def test_dicts_whose_keys_collide_are_refused_at_once() -> None:
    keys = [[ext(TUPLE), *key] for key in itertools.product((-1, -2), repeat=12)]
    data = msgpack.packb([ext(DICT), *itertools.chain(*((key, 0) for key in keys))])
    with pytest.raises(PackingError, match="share one hash"):
        unpack(data)


@pytest.mark.parametrize(
    "start", [b"\x91", b"\x81\xa0", b"\x92\xc7\0\1"], ids=["list", "dict", "tuple"]
)
@pytest.mark.parametrize("end", [b"", b"\xc0"])
def test_great_depth_is_refused(start: bytes, end: bytes) -> None:
    with pytest.raises(PackingError):
        unpack(start * 1_000_000 + end)


@pytest.mark.parametrize(
    "start",
    [b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"],
    ids=["array", "short array", "map", "bytes"],
)
def test_lengths_without_elements_cost_no_memory(start: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PackingError):
            unpack(start * 30_000)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_the_frames_of_python_are_not_spent_on_nesting() -> None:
    value: Any = None
    for _ in range(1000):
        value = [ext(TUPLE), value]
    limit = sys.getrecursionlimit()
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    data = msgpack.Packer().pack(value)
    sys.setrecursionlimit(depth + 60)
    try:
        arrived = unpack(data)
    finally:
        sys.setrecursionlimit(limit)
    for _ in range(1000):
        (arrived,) = arrived
    assert arrived is None


SAMPLES = [
    pack(value)
    for value in [
        {"a": 1, "b": [1.5, None, "text", b"bytes"], "c": (True, (2**70,))},
        {1: {"x": (1, 2)}, (1, 2): np.float32(1)},
        [np.arange(4, dtype="<f4").reshape(2, 2), np.array(["a"]), np.array([True, False])],
        objects(None, {"a": np.zeros(1)}, [1]),
        np.zeros(2, [("a", "<i2"), ("b", "<f4", (2,))]),
        [np.datetime64(1, "s"), np.str_("a"), np.longdouble(1), np.bool_(True)],
        np.zeros(20_000, np.uint8),
    ]
]


def check(data: bytes) -> None:
    try:
        value = unpack(data)
    except PackingError:
        return
    # What was read is a value like any other.
    assert pack(unpack(pack(value))) == pack(value)


@given(st.binary(max_size=200))
@example(b"\x93\xc7\0\6\xc7\0\1\xc0")
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    check(data)


@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_values_are_a_value_or_an_error(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    places = st.integers(0, min(len(sample), 100) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(places)] = data.draw(st.integers(0, 255))
    check(bytes(damaged))


@given(st.sampled_from(SAMPLES), st.integers(0, 99), st.binary(max_size=5))
def test_cut_values_are_a_value_or_an_error(sample: bytes, at: int, more: bytes) -> None:
    check(sample[:at] + more)
    check(sample[:at] + more + sample[at:])


extensions = st.builds(
    msgpack.ExtType,
    st.integers(0, 8),
    st.binary(max_size=30)
    | st.builds(
        lambda header, elements: headed(*header, elements=elements),
        st.lists(st.sampled_from(["|u1", "<f8", "|b1", "<U1", "|S2", 0, 1, 2]), max_size=3),
        st.binary(max_size=16),
    ),
)
trees = st.recursive(
    extensions | st.none() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=1), inner, max_size=2)
    ),
)


@given(trees)
def test_any_arrangement_of_extensions_is_a_value_or_an_error(tree: Any) -> None:
    check(msgpack.packb(tree))
