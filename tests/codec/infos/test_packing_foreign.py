"""Arrays of other libraries arrive as NumPy's, and members of enums as their values."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pytest

from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packing import pack_info, unpack_info
from support.comparing import assert_same
from support.odd_values import Color, Level, Word


class ArrayLike:
    """An array of a library that is no NumPy."""

    def __init__(self, value: Any) -> None:
        self._array = np.asarray(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._array.astype(dtype or self._array.dtype)


class OnTheCard:
    """A tensor on a graphics card."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError("can't convert a tensor of another device")


class Flags(enum.IntFlag):
    A = 1
    B = 2


def arrived(value: Any) -> Any:
    data, degraded = pack_info({"value": value, "list": [value]})
    info = unpack_info(data)
    assert not degraded
    assert INFO_DEGRADED not in info
    assert_same(info["list"], [info["value"]])
    return info["value"]


@pytest.mark.parametrize(
    "value",
    [np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 2), np.float32), np.array([True])],
    ids=["integers", "none", "bools"],
)
def test_an_array_of_another_library_arrives_as_one_of_numpy(value: Any) -> None:
    assert_same(arrived(ArrayLike(value)), value)


@pytest.mark.parametrize(
    "value", [np.bool_(False), np.float32(0.5), np.int64(-1)], ids=["bool", "float", "int"]
)
def test_a_scalar_of_another_library_arrives_as_one_of_numpy(value: Any) -> None:
    assert_same(arrived(ArrayLike(value)), value)


def test_a_tensor_that_numpy_cannot_read_arrives_as_its_text_and_is_listed() -> None:
    data, degraded = pack_info({"value": OnTheCard()})
    assert isinstance(unpack_info(data)["value"], str)
    assert [item.reason for item in degraded] == ["unsupported type"]


def test_an_array_of_objects_of_another_library_arrives_as_its_text() -> None:
    data, degraded = pack_info({"value": ArrayLike(np.array([{}], object))})
    assert isinstance(unpack_info(data)["value"], str)
    assert len(degraded) == 1


@pytest.mark.parametrize(
    ("value", "plain"), [(Level.LOW, 1), (Word.A, "a"), (Flags.A | Flags.B, 3)], ids=repr
)
def test_a_member_of_an_enum_of_numbers_or_texts_arrives_as_its_value(
    value: Any, plain: Any
) -> None:
    assert_same(arrived(value), plain)


def test_such_members_are_found_as_keys_by_what_they_stand_for() -> None:
    data, degraded = pack_info({Level.LOW: "low", Word.A: "a"})
    assert not degraded
    info: dict[Any, Any] = unpack_info(data)
    assert info == {1: "low", "a": "a"}
    assert info[Level.LOW] == "low"


def test_a_member_of_another_enum_arrives_as_its_text() -> None:
    data, degraded = pack_info({"value": Color.RED})
    assert unpack_info(data)["value"] == "Color.RED"
    assert len(degraded) == 1
