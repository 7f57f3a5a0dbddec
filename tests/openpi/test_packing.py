"""Messages of openpi, from anybody: read within limits, or refused with a reason."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest

pytest.importorskip("websockets", reason="openpi needs websockets, which is optional")

from rlmesh.codec.infos.unpacking import MAX_ARGUMENT_VALUES
from rlmesh.openpi.packing import MessageError, pack, unpack
from support.comparing import assert_same
from support.openpi_peers import packed, unpacked

NUMBERS = [np.dtype(each) for each in ("?", "u1", "i2", "<f2", ">f4", "f8", "u8", ">i8")]
VALUES: list[Any] = [
    *(np.arange(6).astype(dtype).reshape(2, 3) for dtype in NUMBERS),
    np.zeros((0, 3), np.float32),
    np.array(2.5),
    np.float32(0.1),
    np.uint64(2**64 - 1),
    np.bool_(True),
    {"a": [1, -(2**63), 2.5, None, True], "b": {"c": "text"}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_crosses_bit_for_bit_in_both_directions(value: Any) -> None:
    assert_same(unpack(packed(value)), value)
    assert_same(unpacked(pack(value)), value)


def test_what_is_read_is_owned_unless_a_view_is_asked_for() -> None:
    message = packed(np.arange(3))
    owned = unpack(message)
    owned[0] = 7
    assert owned.flags.owndata
    assert not unpack(message, copy=False).flags.writeable


def test_a_text_of_numpy_is_a_text() -> None:
    assert unpacked(pack(np.str_("pick"))) == "pick"
    assert unpack(packed(np.str_("pick"))) == "pick"


@pytest.mark.parametrize(
    "value",
    [
        np.array([None]),
        np.zeros(2, np.complex64),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "i4,f4"),
        np.array(["a", "b"]),
        {1, 2},
        object(),
    ],
    ids=lambda value: str(getattr(value, "dtype", type(value).__name__)),
)
def test_what_has_no_form_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError, match="has no form in this protocol"):
        pack({"deep": [value]})


class Bomb:
    """Would be noticed if anything were unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


def array(dtype: Any, data: Any = b"", shape: Any = (0,)) -> bytes:
    return packed({b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape})


def scalar(data: Any, dtype: Any) -> bytes:
    return packed({b"__npgeneric__": True, b"data": data, b"dtype": dtype})


REFUSED: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps(Bomb()), "are no message"),
    "a pickle as an array of objects": (array("|O", pickle.dumps(Bomb())), "'|O' is not allowed"),
    "lebedov's pickles": (
        packed({b"nd": True, b"kind": b"O", b"data": pickle.dumps(Bomb())}),
        "keys of a dict must be texts, got b'nd'",
    ),
    "a record": (array("|V4", bytes(4), [1]), "'|V4' is not allowed"),
    "a list of fields": (array([["a", "<f4"]]), "is not allowed"),
    "a time": (array("<M8[s]", bytes(8), [1]), "is not allowed"),
    "complex numbers": (array("<c8", bytes(8), [1]), "is not allowed"),
    "texts": (array("<U2", bytes(8), [1]), "is not allowed"),
    "too few bytes": (array("<f4", bytes(8), [3]), "takes 12 bytes, got 8"),
    "too many bytes": (array("<f4", bytes(16), [3]), "takes 12 bytes, got 16"),
    "elements that are no bytes": (array("<f4", [0.0], [1]), "its elements as bytes"),
    "a shape that is no list": (array("<f4", bytes(4), 1), "its shape as a list"),
    "a negative length": (array("<f4", b"", [-1]), "lengths of an array's axes are"),
    "a length that is none": (array("<f4", bytes(4), [1.0]), "lengths of an array's axes are"),
    "a huge length": (array("<f4", b"", [1 << 62, 0]), "are no message"),
    "too many axes": (array("<f4", bytes(4), [1] * 100), "are no message"),
    "an array without a shape": (packed({b"__ndarray__": True}), "are no message"),
    "a number out of range": (scalar(300, "|u1"), "300 is no number of dtype uint8|no message"),
    "a fraction as an integer": (scalar(0.5, "<i4"), "0.5 is no number of dtype int32"),
    "a number that is none": (scalar([1], "<f4"), "is written as a number"),
    "a number of no dtype": (scalar(1, "<V8"), "is not allowed"),
    "an extension": (msgpack.packb(msgpack.ExtType(5, b"x")), "has an extension"),
    "a key that is a number": (msgpack.packb({1: 1}), "are no message"),
    "a key that is bytes": (msgpack.packb({b"image": 1}), "must be texts, got b'image'"),
    "half a message": (packed(np.arange(9))[:40], "are no message"),
    "two messages": (packed(1) * 2, "are no message"),
    "nothing": (b"", "are no message"),
    "bytes that are no UTF-8": (b"\xa1\xff", "are no message"),
    "what is nested too deeply": (b"\x91" * 100_000 + b"\xc0", "are no message"),
    "too many small lists": (
        msgpack.packb([[[0]] * 1000] * (MAX_ARGUMENT_VALUES // 2000)),
        f"more than {MAX_ARGUMENT_VALUES} values",
    ),
    "a long list": (msgpack.packb([0] * (MAX_ARGUMENT_VALUES + 1)), "are no message|more than"),
}


@pytest.mark.parametrize(("message", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_is_refused_with_a_reason(message: bytes, said: str) -> None:
    with pytest.raises(MessageError, match=said) as caught:
        unpack(message)
    assert len(str(caught.value)) < 400


def test_the_mere_head_of_a_long_list_or_dict_takes_no_memory() -> None:
    for head in (b"\xdd", b"\xdf"):
        tracemalloc.start()
        with pytest.raises(MessageError):
            unpack(head + (MAX_ARGUMENT_VALUES * 64).to_bytes(4, "big") + bytes(100))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 1 << 20
