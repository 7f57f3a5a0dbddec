"""What is not exactly of its space is coerced before transport where that is exact."""

from __future__ import annotations

import math
from collections import ChainMap, OrderedDict, UserDict
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.slab.layout import Deviation, Violation, compile_layout
from rlmesh.spaces import from_gymnasium_space
from support.comparing import assert_same
from support.sample_spaces import BOOL, FLOAT_DTYPES, INTEGER_DTYPES

Space = gymnasium.Space[Any]


def carried(space: Space, value: Any, num_envs: int | None = None) -> Any:
    """What arrives of a value, and that nothing was noted on the way."""
    layout = compile_layout(from_gymnasium_space(space), num_envs)
    notes: list[Deviation] = []
    slab = layout.encode(value, notes)
    buffer = bytearray(len(slab))
    again: list[Deviation] = []
    layout.encode_into(value, buffer, 0, again)
    assert notes == again == []
    decoded = layout.decode(slab)
    assert_same(layout.decode(buffer), decoded)
    return decoded


def box(dtype: Any, shape: tuple[int, ...] = (4,)) -> Box:
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    return Box(limits.min, limits.max, shape, dtype)


class Holder:
    """An object that NumPy can read, as arrays of other libraries are."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self._array


@pytest.mark.parametrize("source", [*INTEGER_DTYPES, *FLOAT_DTYPES, "longdouble"])
@pytest.mark.parametrize("target", [*INTEGER_DTYPES, *FLOAT_DTYPES])
def test_every_numeric_dtype_is_coerced_to_every_other(source: str, target: str) -> None:
    for shape in ((4,), (400, 30)):
        native = np.resize(np.array([0, 1, 5, 100], source), shape)
        expected = native.astype(np.dtype(target))
        for value in (native, native.astype(native.dtype.newbyteorder("S"))):
            assert_same(carried(box(target, shape), value), expected)
            assert_same(carried(Tuple([box(target, shape)]), (value,)), (expected,))


@pytest.mark.parametrize("shape", [(4,), (64,), (65,), (90, 90)])
@pytest.mark.parametrize("target", ["float16", "float32"])
def test_a_float64_is_rounded_as_numpy_rounds(target: str, shape: tuple[int, ...]) -> None:
    value = np.random.default_rng(1).normal(size=shape)
    value.flat[:4] = [1 / 3, -0.0, 5e-324, math.inf]
    assert_same(carried(box(target, shape), value), value.astype(target))


@given(st.lists(st.floats(allow_nan=False, width=64), min_size=4, max_size=4))
def test_rounding_and_overflow_are_those_of_numpy(numbers: list[float]) -> None:
    value = np.array(numbers)
    for target in ("float16", "float32"):
        with np.errstate(over="ignore"):
            expected = value.astype(target)
        layout = compile_layout(from_gymnasium_space(box(target)))
        notes: list[Deviation] = []
        assert_same(layout.decode(layout.encode(value, notes)), expected)
        assert_same(layout.decode(layout.encode(numbers)), expected)
        overflown = bool((np.isinf(expected) & np.isfinite(value)).any())
        assert [note.kind for note in notes] == ["overflow"] * overflown


ONE_TO_FOUR: dict[str, Any] = {
    "list": [1, 2, 3, 4],
    "tuple_of_floats": (1.0, 2.0, 3.0, 4.0),
    "list_of_scalars": [np.float32(1), 2, np.int8(3), 4],
    "range": range(1, 5),
    "array_of_objects": np.array([1, 2, 3, 4], object),
    "array_of_any_numbers": np.array([Fraction(1), Decimal(2), 3.0, np.array(4)], object),
    "complex_array_without_imaginary_part": np.array([1 + 0j, 2, 3, 4]),
    "complex_list_without_imaginary_part": [1 + 0j, 2, 3, 4],
    "strided_array": np.repeat([1, 2, 3, 4], 2)[::2],
    "read_only_array": np.frombuffer(bytes([1, 2, 3, 4]), np.uint8),
    "array_of_another_class": np.ma.masked_array([1, 2, 3, 4]),
    "object_with_an_array": Holder(np.array([1, 2, 3, 4], np.uint16)),
    "buffer": memoryview(bytes([1, 2, 3, 4])),
}


@pytest.mark.parametrize("name", ONE_TO_FOUR)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_whatever_numpy_reads_as_an_array_is_coerced(name: str, dtype: str) -> None:
    assert_same(carried(box(dtype), ONE_TO_FOUR[name]), np.array([1, 2, 3, 4], dtype))


@pytest.mark.parametrize("name", ONE_TO_FOUR)
def test_sub_envs_are_coerced_as_one_sub_env_is(name: str) -> None:
    expected = np.array([1, 2, 3, 4], np.int64)
    assert_same(carried(Discrete(9), ONE_TO_FOUR[name], num_envs=4), expected)


def test_a_list_of_sub_envs_is_stacked() -> None:
    num_envs = [np.array([1, 2]), [3.0, 4.0], (5, np.float16(6))]
    expected = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert_same(carried(Box(-9, 9, (2,)), num_envs, num_envs=3), expected)


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        np.int64(2),
        np.uint8(2),
        np.float32(2.0),
        np.array(2),
        np.array(2.0, ">f8"),
        np.array(2, object),
        Fraction(2),
        2 + 0j,
        Holder(np.array(2, np.int16)),
    ],
    ids=lambda value: f"{type(value).__name__}_{getattr(value, 'dtype', '')}",
)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_any_integral_number_is_a_discrete(value: Any, dtype: Any) -> None:
    assert_same(carried(Discrete(5, dtype=dtype), value), dtype(2))


@pytest.mark.parametrize("flag", [True, np.True_, np.array(True)])
def test_a_bool_is_an_integer(flag: Any) -> None:
    assert_same(carried(Discrete(5), flag), np.int64(1))
    assert_same(carried(MultiDiscrete([3, 3]), [flag, 2]), np.array([1, 2]))
    assert_same(carried(MultiBinary(2), np.array([flag, False])), np.array([1, 0], np.int8))


@pytest.mark.parametrize(
    "value", [[0, 1], [0.0, 1.0], np.array([0, 1], np.uint8), np.array([False, True]), [0j, True]]
)
def test_zeros_and_ones_of_any_numeric_type_are_bools(value: Any) -> None:
    assert_same(carried(Box(0, 1, (2,), BOOL), value), np.array([False, True]))


def test_integers_keep_their_digits() -> None:
    big = [2**63 - 1, -(2**63), 2**53 + 1, -1]
    assert_same(carried(box("int64"), big), np.array(big, np.int64))
    assert_same(carried(box("int64"), np.array(big, object)), np.array(big, np.int64))
    huge = [2**64 - 1, 2**63 + 1, 2**53 + 1, 0]
    assert_same(carried(box("uint64"), huge), np.array(huge, np.uint64))


def test_an_integer_that_no_float_holds_is_rounded_as_numpy_rounds() -> None:
    assert_same(carried(box("float64", ()), 2**53 + 1), np.array(2.0**53))
    odd = np.array([2**53 + 1, 2**60 + 2**36 + 1, 3, -7])
    for target in ("float32", "float64"):
        assert_same(carried(box(target), odd), odd.astype(target))


def test_an_integer_beyond_every_integer_dtype_is_a_float() -> None:
    assert_same(carried(box("float64", ()), 2**70), np.array(2.0**70))
    assert_same(carried(box("float64", (2,)), [2**70, 1]), np.array([2.0**70, 1.0]))


class Pair(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    "value",
    [
        {"b": 2, "a": 1},
        OrderedDict(b=2, a=1),
        UserDict({"a": 1, "b": 2}),
        ChainMap({"a": 1}, {"b": 2}),
        MappingProxyType({"b": 2, "a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_mapping_is_a_dict(value: Any) -> None:
    space = Dict({"a": Discrete(3), "b": Discrete(3)})
    assert_same(carried(space, value), {"a": np.int64(1), "b": np.int64(2)})


def test_a_mapping_of_one_key_is_a_dict() -> None:
    assert_same(carried(Dict({"a": Discrete(3)}), UserDict(a=1)), {"a": np.int64(1)})


@pytest.mark.parametrize(
    "value",
    [(1, 2), [1, 2], Pair(1, 2), np.array([1, 2]), np.array([1, 2], object)],
    ids=["tuple", "list", "namedtuple", "array", "array_of_objects"],
)
def test_any_row_is_a_tuple(value: Any) -> None:
    space = Tuple([Discrete(3), Discrete(3)])
    assert_same(carried(space, value), (np.int64(1), np.int64(2)))


@pytest.mark.parametrize(
    "value",
    [("ab", "ä"), ["ab", "ä"], np.array(["ab", "ä"]), np.array(["ab", "ä"], object)],
    ids=["tuple", "list", "array_of_texts", "array_of_objects"],
)
def test_any_row_of_texts_is_a_text_of_sub_envs(value: Any) -> None:
    assert_same(carried(Text(5), value, num_envs=2), ("ab", "ä"))


def test_a_text_of_another_class_is_a_str() -> None:
    assert_same(carried(Text(5), np.str_("ab")), "ab")


def test_nested_containers_are_coerced_leaf_by_leaf() -> None:
    space = Dict({"arm": Tuple([Box(-1, 1, (2,)), Discrete(3)]), "goal": Dict({"x": Text(3)})})
    value = UserDict(goal=UserDict(x="abc"), arm=[[0.5, 1], 2.0])
    expected = {"arm": (np.array([0.5, 1], np.float32), np.int64(2)), "goal": {"x": "abc"}}
    assert_same(carried(space, value), expected)


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_what_is_no_number_travels_as_it_is(kind: str) -> None:
    # The check rejects NaN; infinity may be within bounds.
    value = np.array([float(kind)] * 4)
    for source in (value, value.astype(np.float16), value.tolist(), value.astype(object)):
        assert_same(carried(box("float32"), source), value.astype(np.float32))


def test_a_signalling_nan_is_read_without_a_warning() -> None:
    value = np.frombuffer(bytes.fromhex("010000000000f47f") * 4, np.float64)
    assert np.isnan(carried(box("float32"), value)).all()
    with pytest.raises(Violation):
        carried(box("int32"), value)


def test_what_overflows_is_noted_and_becomes_infinite() -> None:
    layout = compile_layout(from_gymnasium_space(Dict({"arm": Box(-np.inf, np.inf, (3,))})))
    for value in (np.array([1e39, 0, -1e39]), [1e39, 0, -1e39], np.array([1e39, 0, -1e39], "O")):
        notes: list[Deviation] = []
        slab = layout.encode({"arm": value}, notes)
        expected = {"arm": np.array([np.inf, 0, -np.inf], np.float32)}
        assert_same(layout.decode(slab), expected)
        detail = "1e+39 at [0] is beyond float32: it became infinite (and 1 more)"
        assert notes == [Deviation("overflow", "$.arm", None, detail)]


@pytest.mark.parametrize("size", [3, 5000])
def test_what_overflows_is_noted_for_every_sub_env(size: int) -> None:
    layout = compile_layout(from_gymnasium_space(Box(-np.inf, np.inf, (size,))), 3)
    value = np.zeros((3, size))
    value[1, 2], value[2, 0] = 1e300, -1e300
    for encode in (
        layout.encode,
        lambda v, notes: layout.encode_into(v, bytearray(layout.size), 0, notes),
    ):
        notes: list[Deviation] = []
        encode(value, notes)
        assert [(note.path, note.env_index) for note in notes] == [("$", 1), ("$", 2)]
        assert notes[0].detail == "1e+300 at [2] is beyond float32: it became infinite"


def test_an_integer_beyond_its_float_dtype_is_noted() -> None:
    layout = compile_layout(from_gymnasium_space(box("float16", ())))
    for value in (70000, np.int64(70000), np.array(70000), 2**70, 10**400, Fraction(10**400)):
        notes: list[Deviation] = []
        assert_same(layout.decode(layout.encode(value, notes)), np.array(np.inf, np.float16))
        assert [note.kind for note in notes] == ["overflow"]


def test_what_overflows_becomes_infinite_where_nobody_asks_for_notes() -> None:
    layout = compile_layout(from_gymnasium_space(box("float32", (2,))))
    assert_same(layout.decode(layout.encode([1e39, 1])), np.array([np.inf, 1], np.float32))


def test_a_narrower_float_that_rounds_to_its_largest_does_not_overflow() -> None:
    value = np.array([float(np.finfo(np.float32).max) * (1 + 1e-9)])
    assert np.isfinite(carried(box("float32", (1,)), value)).all()
