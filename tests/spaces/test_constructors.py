"""RLMesh's own spaces: what the constructors read, and what they refuse."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces import (
    Box,
    Dict,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Space,
    Text,
    Tuple,
    to_gymnasium_space,
)
from rlmesh_api._enums import StrEnum
from rlmesh_api.contract import BoxSpace, Dtype
from support.sample_spaces import FLOAT_DTYPES, INTEGER_DTYPES

EXAMPLES: dict[str, Space] = {
    "Box(-1.0, 2.0, (3, 4), float32)": Box(-1, 2, (3, 4)),
    "Box([0, 10], [9, 19], (2,), int64)": Box([0, 10], [9, 19], dtype="int64"),
    "Box(0.1, inf, (), float32)": Box(0.1, np.inf, ()),
    "Box([0, 1, 2, 3, 4, 5, ...], 9, (8,), uint8)": Box(np.arange(8), 9, dtype="uint8"),
    "Discrete(3)": Discrete(3),
    "Discrete(3, start=-1, dtype=int8)": Discrete(3, -1, "int8"),
    "MultiDiscrete([2, 3], (2,))": MultiDiscrete([2, 3]),
    "MultiDiscrete(2, (1, 2), start=[0, 5])": MultiDiscrete([[2, 2]], start=[[0, 5]]),
    "MultiBinary(4)": MultiBinary(4),
    "MultiBinary((4, 2))": MultiBinary([4, 2]),
    "Text(1, 9)": Text(9),
    "Text(0, 9, charset='ab')": Text(9, min_length=0, charset="ab"),
    "Text(1, 9, charset='abcdefghijkl...')": Text(9, charset="abcdefghijklmn"),
    "Tuple(Discrete(2), Tuple())": Tuple([Discrete(2), Tuple([])]),
    "Dict('b': Discrete(2), 'a': Dict())": Dict({"b": Discrete(2), "a": Dict({})}),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_space_reads_like_gymnasium_s(text: str) -> None:
    assert repr(EXAMPLES[text]) == text


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_space_is_equal_to_its_copies_and_hashes_alike(text: str) -> None:
    space = EXAMPLES[text]
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):  # noqa: S301 - its own
        assert twin == space
        assert hash(twin) == hash(space)
        assert type(twin) is type(space)


def test_different_spaces_are_unequal() -> None:
    assert len(set(EXAMPLES.values())) == len(EXAMPLES)


def test_a_space_is_frozen() -> None:
    space: Any = Discrete(3)
    with pytest.raises(AttributeError):
        space.n = 4
    with pytest.raises((AttributeError, TypeError)):
        space.other = 4


@pytest.mark.parametrize(
    ("low", "high", "shape"),
    [
        (0.0, 1.0, None),
        ([0.0], [1.0], None),
        ((0.0,), 1.0, None),
        (np.zeros(1), 1, (1,)),
        (np.float16(0), np.int64(1), [np.int64(1)]),
    ],
)
def test_a_box_takes_numbers_lists_and_arrays(low: Any, high: Any, shape: Any) -> None:
    assert Box(low, high, shape) == Box(0.0, 1.0)


def test_a_box_of_equal_bounds_holds_one_number() -> None:
    box = Box(np.full((3, 4), -1.0), np.full((3, 4), 2.0))
    assert (box.low, box.high) == ((-1.0,), (2.0,))
    assert box == Box(-1.0, 2.0, (3, 4))


def test_a_box_keeps_the_sign_of_every_zero() -> None:
    box = Box([-0.0, 0.0], [0.0, 0.0])
    assert [str(number) for number in box.low] == ["-0.0", "0.0"]
    assert str(Box(-0.0, 0.0).low[0]) == "-0.0"


def test_a_box_without_elements_holds_no_bounds() -> None:
    assert Box(0.0, 1.0, (2, 0)) == Box(np.zeros((2, 0)), np.ones((2, 0)))
    assert Box(0.0, 1.0, (2, 0)).low == ()


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_a_box_holds_the_extremes_of_an_integer_dtype(dtype: str) -> None:
    limits = np.iinfo(dtype)
    box = Box([int(limits.min), 0], [0, int(limits.max)], dtype=dtype)
    assert (box.low[0], box.high[1]) == (limits.min, limits.max)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_an_infinite_bound_of_a_signed_box_is_its_extreme_and_no_bound(dtype: str) -> None:
    box = Box([-np.inf, 0], [7, np.inf], dtype=dtype)
    assert (box.low[0], box.high[1]) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert (box.bounded_below, box.bounded_above) == ((False, True), (True, False))


def test_infinity_does_not_cost_the_digits_of_an_integer_beside_it() -> None:
    assert Box([-np.inf, 2**62 + 1], 2**63 - 1, dtype="int64").low == (-(2**63), 2**62 + 1)


def test_a_float_box_holds_what_its_dtype_rounds_to() -> None:
    assert Box(0.1, 1.0).low == (float(np.float32(0.1)),)


def test_a_bool_box_holds_zero_and_one() -> None:
    assert Box(False, True, (2,), bool) == Box(0, 1, (2,), "bool")
    assert Box([False, True], 1, dtype="bool").low == (0, 1)


@pytest.mark.parametrize("dtype", [*INTEGER_DTYPES, *FLOAT_DTYPES])
def test_a_dtype_may_be_given_in_every_form_that_numpy_knows(dtype: str) -> None:
    forms: list[Any] = [dtype, Dtype(dtype), np.dtype(dtype), np.dtype(dtype).type]
    assert {Box(0, 1, dtype=form) for form in forms} == {Box(0, 1, dtype=dtype)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "Box low must not be above high, got 2.0 and 1.0"),
        (([0, 2], 1), r"Box low must not be above high, got \[0.0, 2.0\] and 1.0"),
        ((np.nan, 1), "Box low must be made of numbers that fit float32, got nan"),
        ((np.full(2, np.nan, np.float32), 1), "Box low must be made of plain numbers"),
        ((0, 1e39), r"Box high must be made of numbers that fit float32, got 1e\+39"),
        ((0, 10**400), "Box high must be made of numbers that fit float32"),
        ((0, 256, None, "uint8"), "Box high must be made of numbers that fit uint8, got 256"),
        ((-1, 1, None, "uint8"), "Box low must be made of numbers that fit uint8, got -1"),
        ((0, np.inf, None, "uint8"), "Box high must be made of numbers that fit uint8, got inf"),
        ((0, 2, None, "bool"), "Box high must be made of numbers that fit bool, got 2"),
        ((0, -np.inf, None, "int8"), "Box high must be made of numbers that fit int8, got -inf"),
        ((0.5, 1, None, "int64"), "Box low must be made of numbers that fit int64, got 0.5"),
        ((0, 2**63, None, "int64"), "Box high must be made of numbers that fit int64"),
        (("0", 1), "Box low must be made of numbers, got '0'"),
        ((None, 1), "Box low must be made of numbers, got None"),
        ((True, 1), "Box low must be made of numbers, got True"),
        (([[0], [1, 2]], 3), r"Box low must be made of numbers, got \[0\]"),
        ((0, 1, (2.5,)), "every axis of Box shape must be an integer, got 2.5"),
        ((0, 1, (-1,)), r"every axis of Box shape must be 0 or more: \(-1,\)"),
        ((0, 1, 3), "Box shape must be integers, got 3"),
        (([0, 0], 1, (3,)), r"Box low must have the shape \(3,\), got \(2,\)"),
        (([0, 0], [1, 1, 1]), r"Box high must have the shape \(2,\), got \(3,\)"),
        ((0, 1, None, "longdouble"), "Box dtype must be one of bool, int8"),
        ((0, 1, None, "complex64"), "Box dtype must be one of"),
        ((0, 1, None, object), "Box dtype must be one of"),
        ((0, 1, None, "M8[s]"), "Box dtype must be one of"),
        ((0, 1, None, None), "Box dtype must be one of .* got None"),
        ((0, 1, None, "real"), "Box dtype must be one of .* got 'real'"),
    ],
)
def test_a_box_refuses_what_it_cannot_be(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Box(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "Discrete n must be positive, got 0"),
        ((2.0,), "Discrete n must be an integer, got 2.0"),
        ((True,), "Discrete n must be an integer, got True"),
        ((2, 0.5), "Discrete start must be an integer, got 0.5"),
        ((2, 0, "float32"), "Discrete dtype must be one of int8, .*, got 'float32'"),
        ((2, 0, "bool"), "Discrete dtype must be one of int8"),
        ((200, 0, "int8"), "Discrete n must be made of plain numbers that int8 holds"),
        ((2, -1, "uint8"), "Discrete start must be made of plain numbers that uint8 holds"),
        ((100, 100, "int8"), r"Discrete start \+ n - 1 must fit int8, got 199; take a wider"),
    ],
)
def test_a_discrete_refuses_what_it_cannot_be(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Discrete(*arguments)


def test_a_discrete_reaches_to_the_ends_of_its_dtype() -> None:
    assert Discrete(2**64 - 1, 1, "uint64").n == 2**64 - 1
    assert Discrete(2**63 - 1, -(2**63)).start == -(2**63)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2, 0],), r"MultiDiscrete n must be positive, got \[2, 0\]"),
        (([2, 1.5],), "MultiDiscrete nvec must be made of numbers that fit int64, got 1.5"),
        (([2, 3], "int64", [0]), r"MultiDiscrete start must have the shape of nvec, \(2,\), got"),
        (([2, 3], "float64"), "MultiDiscrete dtype must be one of int8"),
        (([2, 3], "uint8", [254, 254]), r"must fit uint8, got \[255, 256\]"),
    ],
)
def test_a_multi_discrete_refuses_what_it_cannot_be(
    arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        MultiDiscrete(*arguments)


@pytest.mark.parametrize("n", [0, -1, (2, 0), 2.5, "ab", True, None, np.array(3.5)])
def test_a_multi_binary_refuses_what_is_no_shape(n: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="MultiBinary"):
        MultiBinary(n)


def test_a_multi_binary_tells_a_number_from_a_shape_of_one_axis() -> None:
    assert MultiBinary(3).n == 3
    assert MultiBinary([3]).n == (3,)
    assert MultiBinary(3) != MultiBinary([3])
    assert MultiBinary(np.int64(3)) == MultiBinary(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": -1}, "Text lengths must be 0 <= min_length <= max_length"),
        ({"max_length": 1, "min_length": 2}, "got 2 and 1"),
        ({"max_length": 2**64}, "Text lengths must be"),
        ({"max_length": 1.5}, "Text max_length must be an integer, got 1.5"),
        ({"max_length": 5, "charset": ["ab"]}, "Text charset must be characters, got 'ab'"),
        ({"max_length": 5, "charset": [1]}, "Text charset must be characters, got 1"),
        ({"max_length": 5, "charset": 7}, "Text charset must be characters, got 7"),
        ({"max_length": 5, "charset": "\ud800"}, "Text charset must not hold lone surrogates"),
    ],
)
def test_a_text_refuses_what_it_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Text(**arguments)


def test_a_charset_keeps_its_order_and_a_set_is_sorted() -> None:
    assert Text(3, charset="cab").charset == "cab"
    assert Text(3, charset=["c", "a", "c"]).charset == "ca"
    assert Text(3, charset={"c", "a", "b"}).charset == "abc"
    assert Text(3, charset="").charset == ""


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({1: Discrete(2)}, "Dict key must be a str, got 1"),
        ([("a", Discrete(2)), ("a", Discrete(2))], "Dict key 'a' must come once"),
        ({"a": 3}, "Dict space 'a' must be an RLMesh space, got int; convert a Gymnasium space"),
        ({"\ud800": Discrete(2)}, "Dict key must not hold lone surrogates"),
        ([3], "Dict spaces must be a mapping or pairs"),
        (None, "Dict spaces must be a mapping or pairs"),
    ],
)
def test_a_dict_refuses_what_it_cannot_be(spaces: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Dict(spaces)


@pytest.mark.parametrize("spaces", [[Discrete(2), 3], 5])
def test_a_tuple_refuses_what_is_no_space(spaces: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="Tuple space"):
        Tuple(spaces)


def test_a_dict_keeps_the_order_of_its_keys_here_and_in_gymnasium() -> None:
    space = Dict({"b": Discrete(2), "a": Discrete(3)})
    assert list(space.spaces) == ["b", "a"]
    converted: Any = to_gymnasium_space(space)
    assert list(converted.spaces) == ["b", "a"]
    assert converted.sort_keys is False


def test_a_dict_of_sorted_keys_is_gymnasium_s_usual_one() -> None:
    assert Dict({"a": Discrete(2), "b": Discrete(3)}).keep_order is False
    assert Dict({"a": Discrete(2)}, keep_order=True).keep_order is True


def test_a_dict_takes_texts_that_are_more_than_texts_for_keys() -> None:
    class Part(StrEnum):
        ARM = "arm"

    space = Dict([(Part.ARM, Discrete(2))])
    assert type(space.entries[0].key) is str
    assert space == Dict({"arm": Discrete(2)})


def test_containers_give_their_children() -> None:
    assert Tuple([Discrete(2), Text(3)])[1] == Text(3)
    space = Dict({"b": Discrete(2), "a": Text(3)})
    assert {key: space[key] for key in space} == space.spaces
    assert "a" in space
    assert "c" not in space


def test_spaces_may_stand_in_each_other_32_deep() -> None:
    space: Space = Discrete(2)
    for _ in range(32):
        space = Dict({"a": space})
    assert Space.from_proto(space.to_proto()) == space
    with pytest.raises(InvalidArgumentError, match="32 deep, got 33"):
        Tuple([space])


def test_fields_that_mean_the_same_make_equal_spaces() -> None:
    written_out = BoxSpace(
        dtype=Dtype.FLOAT32,
        shape=(2,),
        low=(0, 0),
        high=(1.0, 1.0),
        bounded_below=(True, True),
        bounded_above=(True,),
    )
    assert Space.from_proto(written_out.to_proto()) == Box(0.0, 1.0, (2,))


def test_the_spaces_need_no_gymnasium() -> None:
    code = """
import sys
sys.modules["gymnasium"] = None
from rlmesh.spaces import Box, Dict, Discrete, Space, Text, Tuple, from_gymnasium_space
space = Dict({"a": Tuple([Box(-1, 1), Discrete(2)]), "b": Text(3)})
assert from_gymnasium_space(space) is space
assert Space.from_proto(space.to_proto()) == space
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
