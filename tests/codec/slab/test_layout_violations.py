"""What a space refuses whatever the policy: structure, shape, type, exactness and range."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from rlmesh.codec.slab.layout import Violation, compile_layout
from rlmesh.spaces import from_gymnasium_space
from support.sample_spaces import BOOL

Space = gymnasium.Space[Any]


def refused(space: Space, value: Any, num_envs: int | None = None) -> Violation:
    """Why a value is refused, both ways of encoding agreeing."""
    layout = compile_layout(from_gymnasium_space(space), num_envs)
    with pytest.raises(Violation) as first:
        layout.encode(value, [])
    with pytest.raises(Violation) as second:
        layout.encode_into(value, bytearray(layout.size + 64), 0, [])
    assert str(first.value) == str(second.value)
    return first.value


def assert_refused(
    violation: Violation, kind: str, detail: str, path: str = "$", env_index: int | None = None
) -> None:
    assert (violation.kind, violation.path, violation.env_index) == (kind, path, env_index)
    assert detail in violation.detail
    assert (
        str(violation)
        == f"{path}{'' if env_index is None else f' in sub-environment {env_index}'}: "
        f"{violation.detail}"
    )


BOX = Box(-9, 9, (2, 3))
BYTES = Box(0, 255, (3,), np.uint8)
PAIR = Tuple([Discrete(2), Discrete(2)])
ARM = Dict({"arm": Dict({"x": Discrete(2), "y": Discrete(2)})})
NESTED = Dict({"arm": Tuple([Discrete(2), Box(-1, 1, (2,))])})


def test_a_missing_key_is_refused() -> None:
    violation = refused(ARM, {"arm": {"x": 1}})
    assert_refused(violation, "structure", "keys 'x', 'y', got one without 'y'", "$.arm")


def test_a_missing_key_beside_a_strange_one_is_refused() -> None:
    violation = refused(ARM, {"arm": {"x": 1, "z": 1}})
    assert_refused(violation, "structure", "without 'y' and with 'z' besides", "$.arm")


def test_an_unexpected_key_is_refused() -> None:
    violation = refused(ARM, {"arm": {"x": 1, "y": 1, 3: 1}})
    assert_refused(violation, "structure", "got one with 3 besides", "$.arm")


def test_a_key_that_a_defaultdict_would_make_is_missing() -> None:
    value: defaultdict[str, int] = defaultdict(int, x=1)
    violation = refused(Dict({"x": Discrete(2), "y": Discrete(2)}), value)
    assert_refused(violation, "structure", "without 'y'")
    assert dict(value) == {"x": 1}


@pytest.mark.parametrize("value", [None, 3, [1, 2], "xy", frozenset("x"), np.zeros(2)], ids=repr)
def test_what_is_no_mapping_is_refused_as_a_dict(value: Any) -> None:
    violation = refused(ARM, {"arm": value})
    assert_refused(violation, "structure", "expected a dict with the keys 'x', 'y', got ", "$.arm")


@pytest.mark.parametrize("value", [(), (1,), [1, 1, 1], np.zeros(4, int)], ids=len)
def test_another_arity_is_refused(value: Any) -> None:
    violation = refused(PAIR, value)
    assert_refused(violation, "structure", f"expected a tuple of 2, got one of {len(value)}")


@pytest.mark.parametrize("value", [None, 3, "xy", {0: 1, 1: 1}, np.array(3), iter([1, 1])])
def test_what_is_no_row_is_refused_as_a_tuple(value: Any) -> None:
    assert_refused(refused(PAIR, value), "structure", "expected a tuple of 2, got ")


def test_a_value_for_an_empty_container_is_refused() -> None:
    assert refused(Dict({}), {"x": 1}).kind == "structure"
    assert refused(Tuple([]), (1,)).kind == "structure"


@pytest.mark.parametrize(
    "shape", [(6,), (3, 2), (2, 3, 1), (1, 2, 3), (1, 3), (3,), (2, 4), (), (0,)], ids=repr
)
def test_another_shape_is_refused_even_of_as_many_elements(shape: tuple[int, ...]) -> None:
    expected = f"expected float32 of shape (2, 3), got shape {shape}"
    assert_refused(refused(BOX, np.zeros(shape, np.float32)), "shape", expected)
    assert_refused(refused(BOX, np.zeros(shape)), "shape", expected)
    assert_refused(refused(BOX, np.zeros(shape).tolist()), "shape", expected)
    large = Box(-9, 9, (90, 90, 3))
    assert_refused(refused(large, np.zeros(shape)), "shape", "of shape (90, 90, 3)")


@pytest.mark.parametrize("value", [[1], (1,), np.array([1]), np.zeros((1, 1), int), []], ids=repr)
def test_a_discrete_is_no_array_with_axes(value: Any) -> None:
    assert_refused(refused(Discrete(2), value), "shape", "expected int64 of shape (), got shape")


def test_a_number_is_no_array_of_one() -> None:
    assert_refused(refused(Box(-1, 1, (1,)), 0.5), "shape", "of shape (1,), got shape ()")
    assert_refused(refused(Box(-1, 1, (1,)), 2**70), "shape", "of shape (1,), got shape ()")


NUMBER_TYPES: dict[str, Any] = {
    "float": float,
    "float64": np.float64,
    "array": np.array,
    "array_of_objects": lambda number: np.array(number, dtype=object),
    "longdouble": np.longdouble,
}


@pytest.mark.parametrize("number", [2.5, -0.5, 1e-9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NUMBER_TYPES)
def test_a_float_that_is_no_integer_is_refused_for_an_integer_dtype(
    name: str, number: float
) -> None:
    violation = refused(Discrete(5), NUMBER_TYPES[name](number))
    assert_refused(violation, "inexact", "which is no integer")


@pytest.mark.parametrize("number", [1e30, -1e30, 2.0**63])
@pytest.mark.parametrize("name", NUMBER_TYPES)
def test_a_float_beyond_an_integer_dtype_is_refused(name: str, number: float) -> None:
    violation = refused(Discrete(5), NUMBER_TYPES[name](number))
    assert_refused(violation, "range", "outside of -9223372036854775808 to 9223372036854775807")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_narrow_float_that_is_no_integer_is_refused(dtype: Any) -> None:
    violation = refused(BYTES, np.array([1, 2.5, 300], dtype))
    assert_refused(violation, "inexact", "got 2.5 at [1], which is no integer")


@pytest.mark.parametrize("number", [300, -1, 256, 2**31, -(2**63), 2**64 - 1, 2**70])
def test_an_integer_beyond_its_dtype_is_refused(number: int) -> None:
    rule = f"got {number} at [1], outside of 0 to 255"
    assert_refused(refused(BYTES, [0, number, 0]), "range", rule)
    assert_refused(refused(BYTES, np.array([0, number, 0], object)), "range", rule)
    assert_refused(refused(BYTES, [0, float(number), 0]), "range", "at [1], outside of 0 to 255")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_integer_just_beyond_int64_is_refused(number: int) -> None:
    rule = "outside of -9223372036854775808 to 9223372036854775807"
    for value in (number, float(number) * (1 + 1e-15), np.array(number, object)):
        assert_refused(refused(Discrete(5), value), "range", rule)


def test_an_integer_just_beyond_uint64_is_refused() -> None:
    space = Box(0, 2**64 - 1, (2,), np.uint64)
    for value in ([0, 2**64], [0, 2.0**64], [0, -1], np.array([0, -1])):
        assert_refused(
            refused(space, value), "range", "at [1], outside of 0 to 18446744073709551615"
        )


def test_integers_on_both_sides_of_the_signed_range_are_told_apart() -> None:
    # NumPy reads this list as float64, in which the first number is 2**63.
    violation = refused(Box(-9, 9, (2,), np.int64), [2**63 + 1, -1])
    assert_refused(violation, "range", "got 9223372036854775809 at [0]")


@pytest.mark.parametrize("value", [2, -1, 0.5, 256, math.nan, np.int64(2), 2 + 0j])
def test_a_bool_is_0_or_1(value: Any) -> None:
    violation = refused(Box(0, 1, (2,), BOOL), [0, value])
    assert violation.kind in {"inexact", "range"}
    assert "at [1]" in violation.detail


NO_NUMBERS: dict[str, tuple[Any, str]] = {
    "none": (None, "got NoneType"),
    "text": ("abc", "got str"),
    "bytes": (b"abc", "got bytes"),
    "dict": ({"x": 1}, "got dict"),
    "set": ({1, 2, 3}, "got set"),
    "object": (object(), "got object"),
    "class": (int, "got type"),
    "datetime": (datetime(2020, 1, 1, tzinfo=timezone.utc), "got datetime.datetime"),
    "texts": (["1", "2", "3"], "got list"),
    "array_of_texts": (np.array(["1", "2", "3"]), "got an array of dtype <U1"),
    "array_of_dates": (np.array([1, 2, 3], "M8[s]"), "got an array of dtype datetime64[s]"),
    "array_of_durations": (np.array([1, 2, 3], "m8[s]"), "got an array of dtype timedelta64[s]"),
    "records": (np.zeros(3, [("x", "i4")]), "got an array of dtype [('x', '<i4')]"),
    "none_inside": ([1, None, 3], "got NoneType at [1]"),
    "object_inside": (np.array([1, 0, object()], object), "got object at [2]"),
    "text_inside": (np.array([1, "2", 3], object), "got str at [1]"),
    "complex": (np.array([1, 2j, 3]), "which is no real number"),
    "complex_inside": ([1, 2j, 3], "which is no real number"),
    "ragged": ([1, [2, 3], 4], "got list that NumPy cannot read as an array"),
}


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, BOOL])
@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused(name: str, dtype: Any) -> None:
    value, detail = NO_NUMBERS[name]
    violation = refused(Dict({"arm": Box(0, 1, (3,), dtype)}), {"arm": value})
    assert violation.kind == "type"
    assert (violation.path, violation.env_index) == ("$.arm", None)
    assert violation.detail.startswith(f"expected {np.dtype(dtype).name} of shape (3,), got ")
    assert detail in violation.detail


def test_a_number_that_python_cannot_read_is_refused() -> None:
    value = [1, Decimal("sNaN"), 0]
    violation = refused(Box(0, 1, (3,)), value)
    assert_refused(
        violation, "type", "got a value of type decimal.Decimal at [1], which is no real"
    )
    assert_refused(refused(BYTES, value), "inexact", "at [1], which is no integer")


@pytest.mark.parametrize("value", [None, "1", b"1", {}, 1j, "ab"], ids=repr)
def test_what_is_no_number_is_refused_as_a_discrete(value: Any) -> None:
    assert_refused(refused(Discrete(2), value), "type", "expected int64 of shape (), got ")


def test_an_array_that_refuses_to_be_read_is_refused() -> None:
    class Locked:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise RuntimeError("on another device")

    violation = refused(Discrete(2), Locked())
    assert_refused(violation, "type", "an array: on another device; convert it first")


def test_an_array_whose_error_cannot_be_read_is_refused() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise AssertionError

    class Locked:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise MuteError

    assert_refused(refused(Discrete(2), Locked()), "type", "MuteError")


@pytest.mark.parametrize("value", [None, 3, b"abc", ["a"], np.array("abc"), ("abc",)])
def test_a_text_that_is_no_str_is_refused(value: Any) -> None:
    violation = refused(Dict({"goal": Text(5)}), {"goal": value})
    assert_refused(violation, "type", "expected a str, got ", "$.goal")


def test_the_place_of_a_nested_leaf_is_named() -> None:
    violation = refused(NESTED, {"arm": (1, [0.5, "x"])})
    assert (violation.path, violation.kind) == ("$.arm[1]", "type")
    violation = refused(NESTED, {"arm": (0.5, [0.5, 0.5])})
    assert (violation.path, violation.kind) == ("$.arm[0]", "inexact")
    assert refused(Dict({"two words": Discrete(2)}), {"two words": 0.5}).path == '$["two words"]'


SUB_ENVS: dict[str, tuple[Space, Any, str, int]] = {
    "none": (Discrete(2), [0, 1, None], "type", 2),
    "text": (Discrete(2), [0, "1", 1], "type", 1),
    "fraction": (Discrete(2), [0, 1, 0.5], "inexact", 2),
    "fraction_in_array": (Discrete(2), np.array([0, 0.5, 1]), "inexact", 1),
    "fraction_of_objects": (Discrete(2), np.array([0, Fraction(1, 2), 1], object), "inexact", 1),
    "shape": (BYTES, [[1, 2, 3], [1, 2], [1, 2, 3]], "shape", 1),
    "shape_of_array": (BYTES, (np.zeros(3), np.zeros(3), np.zeros(4)), "shape", 2),
    "array_for_discrete": (Discrete(2), [0, 1, [1]], "shape", 2),
    "missing": (BYTES, [[1, 2, 3], None, [1, 2, 3]], "type", 1),
    "range": (BYTES, [[1, 2, 3], [1, 2, 3], [1, 300, 3]], "range", 2),
    "range_in_array": (BYTES, np.array([[1, 2, 3], [1, 2, 256], [1, 2, 3]]), "range", 1),
    "bool": (Box(0, 1, (1,), BOOL), [[0], [1], [2]], "inexact", 2),
    "complex": (Box(0, 1, (1,)), np.array([[0], [1j], [1]]), "type", 1),
    "multi_binary": (MultiBinary(1), [[0], [0.5], [1]], "inexact", 1),
    "multi_discrete": (MultiDiscrete([3]), [[0], [math.nan], [1]], "inexact", 1),
    "words": (Text(5), ("a", "b", 3), "type", 2),
}


@pytest.mark.parametrize("name", SUB_ENVS)
def test_the_sub_env_is_named_where_it_can_be_known(name: str) -> None:
    space, value, kind, env_index = SUB_ENVS[name]
    violation = refused(space, value, num_envs=3)
    assert (violation.kind, violation.path, violation.env_index) == (kind, "$", env_index)
    violation = refused(Dict({"arm": space}), {"arm": value}, num_envs=3)
    assert (violation.kind, violation.path, violation.env_index) == (kind, "$.arm", env_index)


def test_the_index_of_an_element_is_that_within_its_sub_env() -> None:
    violation = refused(
        Box(0, 255, (2, 2), np.uint8), np.full((3, 2, 2), [[1, 2], [3, 400]]), num_envs=3
    )
    assert "got 400 at [1, 1], outside" in violation.detail
    assert violation.env_index == 0


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_sub_envs_is_refused(count: int) -> None:
    assert_refused(
        refused(Discrete(2), [1] * count, num_envs=3), "shape", f"got {count} sub-environments"
    )
    assert_refused(
        refused(Discrete(2), np.ones(count), num_envs=3), "shape", f"got shape ({count},)"
    )
    expected = f"expected a tuple of 3 texts, one for each sub-environment, got {count}"
    assert_refused(refused(Text(5), ["a"] * count, num_envs=3), "structure", expected)


@pytest.mark.parametrize("value", ["abc", 3, None, np.array("abc"), np.array([["a", "b", "c"]])])
def test_what_is_no_row_of_texts_is_refused(value: Any) -> None:
    violation = refused(Text(5), value, num_envs=3)
    assert_refused(
        violation, "structure", "expected a tuple of 3 texts, one for each sub-environment, got "
    )


def test_a_value_of_one_sub_env_is_refused_for_several() -> None:
    assert_refused(refused(BYTES, np.zeros(3, np.uint8), num_envs=3), "shape", "got shape (3,)")
    assert_refused(refused(BYTES, [1, 2, 3], num_envs=3), "shape", "got shape ()", env_index=0)


def test_a_message_does_not_call_foreign_code() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise AssertionError

        __str__ = __repr__

    for value in (Rude(), [Rude()] * 3, {Rude(): 1}):
        assert "Rude" in str(refused(BYTES, value)) or "dict" in str(refused(BYTES, value))
    assert "Rude" in str(refused(Dict({"x": Discrete(2)}), {Rude(): 1}))


def test_a_message_is_of_moderate_length() -> None:
    for value in ("x" * 9999, 10**9999, [10**9999] * 3, {f"key{i}": 1 for i in range(9999)}):
        for space in (BYTES, Dict({"x": Discrete(2)})):
            assert len(str(refused(space, value))) < 400
