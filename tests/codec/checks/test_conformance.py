"""What is always rejected, what deviates, and what each policy makes of it."""

from __future__ import annotations

import math
import re
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector.utils import batch_differing_spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlmesh.codec.checks.conformance import Nan, Policy, compile_check
from rlmesh.codec.slab.layout import Deviation, Violation, compile_layout
from rlmesh.spaces import from_gymnasium_space
from rlmesh_api.contract import DiscreteSpace, Dtype
from support.sample_spaces import BOOL

Space = gymnasium.Space[Any]

# How many elements are compared one by one, in whole arrays, and by their extremes.
SIZES = (1, 4, 24, 25, 3000, 9000)


def checked(
    space: Space,
    value: Any,
    policy: Policy = Policy.WARN,
    num_envs: int | None = None,
    batched: Space | None = None,
    nan: Nan = Nan.REJECT,
) -> list[Deviation]:
    """The deviations of a value, the same wherever its slab stands."""
    ours = from_gymnasium_space(space)
    layout = compile_layout(ours, num_envs)
    whole = None if batched is None else from_gymnasium_space(batched)
    check = compile_check(ours, num_envs, layout, whole, nan=nan)
    notes: list[Deviation] = []
    slab = layout.encode(value, notes)
    moved = memoryview(b"\xff" * 8 + slab + b"\xff" * 8)
    try:
        found = check(slab, 0, policy, notes)
    except Violation as violation:
        with pytest.raises(Violation, match=f"^{re.escape(str(violation))}$"):
            check(moved, 8, policy, notes)
        raise
    assert check(moved, 8, policy, notes) == found
    return found


def rejected(space: Space, value: Any, policy: Policy, num_envs: int | None = None) -> Violation:
    with pytest.raises(Violation) as caught:
        checked(space, value, policy, num_envs)
    return caught.value


def assert_always_rejected(
    space: Space,
    value: Any,
    kind: str,
    detail: str,
    *,
    num_envs: int | None = None,
    env_index: int | None = None,
) -> None:
    for policy in Policy:
        for path, whole, wrapped in (("$", space, value), ("$.a", Dict(a=space), {"a": value})):
            violation = rejected(whole, wrapped, policy, num_envs)
            assert (violation.kind, violation.path, violation.env_index) == (kind, path, env_index)
            assert violation.detail == detail


def assert_deviates(
    space: Space,
    value: Any,
    kind: str,
    details: dict[int | None, str],
    num_envs: int | None = None,
) -> None:
    """Deviates under `warn` as said, is rejected under `strict`, and passes when `off`."""
    for path, whole, wrapped in (("$", space, value), ("$.a", Dict(a=space), {"a": value})):
        found = checked(whole, wrapped, Policy.WARN, num_envs)
        expected = [(kind, path, env_index, detail) for env_index, detail in details.items()]
        assert [(item.kind, item.path, item.env_index, item.detail) for item in found] == expected
        violation = rejected(whole, wrapped, Policy.STRICT, num_envs)
        assert (violation.kind, violation.path, violation.env_index, violation.detail) == expected[
            0
        ]
        assert checked(whole, wrapped, Policy.OFF, num_envs) == []


@pytest.mark.parametrize(
    ("space", "least", "largest"),
    [
        (Discrete(3), 0, 2),
        (Discrete(3, start=-1), -1, 1),
        (Discrete(3, start=5, dtype=np.uint8), 5, 7),
        (Discrete(300), 0, 299),
        (Discrete(2**40, start=-3), -3, 2**40 - 4),
    ],
    ids=str,
)
def test_a_discrete_outside_of_its_domain_is_rejected(
    space: Space, least: int, largest: int
) -> None:
    for value in (least, largest):
        assert checked(space, value, Policy.STRICT) == []
    low, high = f"{least - 1} is below the least allowed, {least}", f"{largest + 1} is above the"
    assert_always_rejected(space, largest + 1, "domain", f"{high} largest allowed, {largest}")
    assert_always_rejected(space, least - 1, "domain", low)


@pytest.mark.parametrize(
    ("n", "start"), [(2**63 - 1, 1), (2, 2**63 - 2), (5, -(2**63)), (2**62, 2**62)]
)
def test_a_discrete_at_the_end_of_its_dtype_is_checked_exactly(n: int, start: int) -> None:
    space = Discrete(n, start=start)
    assert checked(space, start, Policy.STRICT) == checked(space, start + n - 1) == []
    if start > -(2**63):
        detail = f"{start - 1} is below the least allowed, {start}"
        assert_always_rejected(space, start - 1, "domain", detail)
    if start + n < 2**63:
        detail = f"{start + n} is above the largest allowed, {start + n - 1}"
        assert_always_rejected(space, start + n, "domain", detail)


def test_a_discrete_that_fills_its_dtype_has_nothing_outside() -> None:
    space = DiscreteSpace(n=256, dtype=Dtype.UINT8)  # Gymnasium's own cannot be made
    layout = compile_layout(space)
    check = compile_check(space, None, layout)
    assert [check(layout.encode(value), 0, Policy.STRICT) for value in (0, 255)] == [[], []]


def test_a_discrete_of_several_sub_envs_names_the_sub_env() -> None:
    detail = "3 is above the largest allowed, 2"
    assert_always_rejected(Discrete(3), [0, 3, 2, 9], "domain", detail, num_envs=4, env_index=1)


@pytest.mark.parametrize("size", SIZES)
def test_a_multi_binary_takes_only_0_and_1(size: int) -> None:
    value: npt.NDArray[Any] = np.ones(size, np.int8)
    value[::2] = 0
    assert checked(MultiBinary(size), value, Policy.STRICT) == []
    for element, rule in ((2, "above the largest allowed, 1"), (-1, "below the least allowed, 0")):
        value[-1] = element
        detail = f"{element} at [{size - 1}] is {rule}"
        assert_always_rejected(MultiBinary(size), value, "domain", detail)


@pytest.mark.parametrize("size", SIZES)
def test_a_multi_discrete_takes_its_own_range_for_each_element(size: int) -> None:
    nvec, start = np.arange(1, size + 1), np.arange(size) * 10
    space = MultiDiscrete(nvec, start=start)
    assert checked(space, start, Policy.STRICT) == []
    assert checked(space, start + nvec - 1, Policy.STRICT) == []
    value = start.copy()
    value[-1] += size
    least, largest = start[-1], start[-1] + size - 1
    detail = f"{value[-1]} at [{size - 1}] is above the largest allowed, {largest}"
    assert_always_rejected(space, value, "domain", detail)
    value[-1] = least - 1
    detail = f"{value[-1]} at [{size - 1}] is below the least allowed, {least}"
    assert_always_rejected(space, value, "domain", detail)


def test_a_multi_discrete_of_two_axes_names_the_element() -> None:
    space = MultiDiscrete(np.array([[2, 3], [4, 5]]))
    detail = "4 at [1, 0] is above the largest allowed, 3 (and 1 more)"
    assert_always_rejected(space, [[0, 0], [4, 5]], "domain", detail)
    num_envs = [[[1, 2], [3, 4]], [[0, 0], [4, 5]]]
    assert_always_rejected(space, num_envs, "domain", detail, num_envs=2, env_index=1)


NAN_BOUNDS: dict[str, tuple[float, float]] = {
    "unbounded": (-math.inf, math.inf),
    "bounded": (-2.0, 2.0),
    "bounded_below": (-2.0, math.inf),
    "bounded_above": (-math.inf, 2.0),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAN_BOUNDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_is_always_rejected(dtype: Any, name: str, size: int) -> None:
    space = Box(*NAN_BOUNDS[name], (size,), dtype)
    value: npt.NDArray[Any] = np.ones(size, dtype)
    assert checked(space, value, Policy.STRICT) == []
    for index in {0, size // 2, size - 1}:
        broken = value.copy()
        broken[index] = math.nan
        assert_always_rejected(space, broken, "nan", f"nan at [{index}] is no number")


@pytest.mark.parametrize("size", SIZES)
def test_nan_is_rejected_under_array_bounds(size: int) -> None:
    low = np.linspace(-3, -2, size, dtype=np.float32)
    space = Box(low, -low)
    value: npt.NDArray[Any] = np.zeros(size, np.float32)
    value[-1] = math.nan
    assert_always_rejected(space, value, "nan", f"nan at [{size - 1}] is no number")


def test_nan_names_its_sub_env() -> None:
    value: npt.NDArray[Any] = np.zeros((3, 2, 2), np.float32)
    value[1, 0, 1] = value[1, 1, 1] = value[2] = math.nan
    detail = "nan at [0, 1] is no number (and 1 more)"
    assert_always_rejected(Box(-1, 1, (2, 2)), value, "nan", detail, num_envs=3, env_index=1)


@pytest.mark.parametrize("pattern", ["0100a07f", "0100a0ff", "ffffffff", "0000c07f"])
def test_every_nan_is_rejected_without_a_warning(pattern: str) -> None:
    for size in SIZES:
        value = np.frombuffer(bytes.fromhex(pattern) * size, np.float32)
        space = Box(-np.inf, np.inf, (size,))
        assert rejected(space, value, Policy.OFF).kind == "nan"
        assert rejected(Box(-1, 1, (size,)), value, Policy.WARN).kind == "nan"


def test_nan_of_a_leaf_after_a_deviation_is_rejected() -> None:
    space = Tuple([Box(-1, 1, (2,)), Text(2), Box(-1, 1, (2,))])
    value = (np.array([5, 5]), "long", np.array([0, math.nan]))
    for policy in Policy:
        violation = rejected(space, value, policy)
        assert (violation.kind, violation.path) == ("nan", "$[2]")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64])
def test_a_box_out_of_its_bounds_deviates(dtype: Any, size: int) -> None:
    space = Box(-2, 3, (size,), dtype)
    value: npt.NDArray[Any] = np.zeros(size, dtype)
    value[:1], value[-1:] = -2, 3
    assert checked(space, value, Policy.STRICT) == []
    value[-1] = 5
    high, low = dtype(3), dtype(-2)
    detail = f"{dtype(5)} at [{size - 1}] is above the largest allowed, {high}"
    assert_deviates(space, value, "bounds", {None: detail})
    value[-1] = -4
    detail = f"{dtype(-4)} at [{size - 1}] is below the least allowed, {low}"
    assert_deviates(space, value, "bounds", {None: detail})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_box_with_array_bounds_is_compared_element_by_element(dtype: Any, size: int) -> None:
    high = (np.arange(size) % 50 + 1).astype(dtype)
    space = Box(-high, high, dtype=dtype)
    for value in (high, -high, np.zeros(size, dtype)):
        assert checked(space, value, Policy.STRICT) == []
    value = high.copy()
    value[-1] += 1
    detail = f"{value[-1]} at [{size - 1}] is above the largest allowed, {high[-1]}"
    assert_deviates(space, value, "bounds", {None: detail})
    detail = f"{-value[-1]} at [{size - 1}] is below the least allowed, {-high[-1]}"
    assert_deviates(space, -value, "bounds", {None: detail})


def test_a_box_that_is_bounded_on_one_side_is_checked_on_that_side() -> None:
    for size in SIZES:
        ones: npt.NDArray[Any] = np.ones(size, np.float32)
        assert checked(Box(0, np.inf, (size,)), ones * np.inf, Policy.STRICT) == []
        assert checked(Box(-np.inf, 0, (size,)), ones * -np.inf, Policy.STRICT) == []
        assert len(checked(Box(0, np.inf, (size,)), -ones)) == 1
        assert len(checked(Box(-np.inf, 0, (size,)), ones)) == 1
        assert len(checked(Box(0, 255, (size,), np.int16), ones.astype(np.int16) * 256)) == 1
        assert len(checked(Box(0, 1, (size,), np.uint8), ones.astype(np.uint8) * 2)) == 1
        assert len(checked(Box(1, 255, (size,), np.uint8), ones.astype(np.uint8) * 0)) == 1


def test_a_box_may_be_bounded_in_some_elements_only() -> None:
    low, high = np.array([0, 5, 0], np.uint8), np.array([255, 255, 9], np.uint8)
    space = Box(low, high, dtype=np.uint8)
    assert checked(space, [255, 5, 9], Policy.STRICT) == []
    assert_deviates(space, [0, 4, 0], "bounds", {None: "4 at [1] is below the least allowed, 5"})
    assert_deviates(
        space, [0, 5, 10], "bounds", {None: "10 at [2] is above the largest allowed, 9"}
    )


def test_a_box_of_one_point_takes_that_point() -> None:
    assert checked(Box(0.25, 0.25, (2,)), [0.25, 0.25]) == []
    assert len(checked(Box(0.25, 0.25, (2,)), [0.25, 0.5])) == 1
    assert checked(Box(np.inf, np.inf, (2,)), [np.inf, np.inf]) == []
    assert len(checked(Box(np.inf, np.inf, (2,)), [np.inf, 0])) == 1
    assert len(checked(Box(-np.inf, -np.inf, (9000,)), np.zeros(9000))) == 1


def test_zeros_of_both_signs_are_the_same_number() -> None:
    assert checked(Box(0.0, 1.0, (2,)), [-0.0, 0.0], Policy.STRICT) == []
    assert checked(Box(-1.0, -0.0, (9000,)), np.zeros(9000), Policy.STRICT) == []


def test_a_bound_is_that_of_the_rounded_value() -> None:
    # 0.1 as float32 is above 0.1 as float64; a value of 0.1 becomes the same float32.
    assert checked(Box(-0.1, 0.1, (2,)), np.array([0.1, -0.1]), Policy.STRICT) == []


def test_a_box_of_bools_may_be_bounded() -> None:
    always = Box(np.array([True, False]), np.array([True, True]), dtype=BOOL)
    assert checked(always, [True, False], Policy.STRICT) == []
    assert_deviates(
        always, [False, True], "bounds", {None: "0 at [0] is below the least allowed, 1"}
    )


def test_a_number_without_axes_is_named_without_an_index() -> None:
    assert_deviates(Box(-1, 1, ()), 2.5, "bounds", {None: "2.5 is above the largest allowed, 1.0"})


@pytest.mark.parametrize("size", [2, 1000, 4000])
def test_every_sub_env_out_of_bounds_deviates(size: int) -> None:
    value: npt.NDArray[Any] = np.zeros((4, size), np.float32)
    value[1, -1], value[3, 0], value[3, -1] = 2, -2, 2
    expected: dict[int | None, str] = {
        1: f"2.0 at [{size - 1}] is above the largest allowed, 1.0",
        3: "-2.0 at [0] is below the least allowed, -1.0 (and 1 more)",
    }
    assert_deviates(Box(-1, 1, (size,)), value, "bounds", expected, num_envs=4)


def test_array_bounds_are_those_of_every_sub_env() -> None:
    for size in (2, 1000, 4000):
        high = (np.arange(size) % 50 + 1).astype(np.float32)
        space = Box(-high, high)
        value = np.stack([high, -high, high])
        assert checked(space, value, Policy.STRICT, num_envs=3) == []
        value[2, -1] += 1
        detail = f"{value[2, -1]} at [{size - 1}] is above the largest allowed, {high[-1]}"
        assert_deviates(space, value, "bounds", {2: detail}, num_envs=3)


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        ("a", "length", "a text of 1 characters, where 2 to 4 are allowed"),
        ("abbab", "length", "a text of 5 characters, where 2 to 4 are allowed"),
        ("aXba", "charset", "'X' at [1] is not in the charset"),
        ("aXYé", "charset", "'X' at [1] is not in the charset (and 2 more)"),
    ],
)
def test_a_text_out_of_its_charset_or_length_deviates(text: str, kind: str, detail: str) -> None:
    space = Text(4, min_length=2, charset="ab漢")
    assert checked(space, "漢a", Policy.STRICT) == []
    assert_deviates(space, text, kind, {None: detail})
    assert_deviates(space, ["ab", text, "ba"], kind, {1: detail}, num_envs=3)


def test_a_text_may_deviate_in_both_ways() -> None:
    found = checked(Text(2, charset="ab"), "xyz")
    assert [item.kind for item in found] == ["length", "charset"]
    assert rejected(Text(2, charset="ab"), "xyz", Policy.STRICT).kind == "length"


def test_a_text_of_the_default_charset_is_made_of_any_characters() -> None:
    assert checked(Text(9), "a b,\n漢\ud800", Policy.STRICT) == []


def test_length_is_counted_in_characters_not_in_bytes() -> None:
    assert checked(Text(2, min_length=2), "漢🦊", Policy.STRICT) == []


def test_an_empty_charset_admits_the_empty_text_only() -> None:
    space = Text(3, min_length=0, charset="")
    assert checked(space, "", Policy.STRICT) == []
    assert [item.kind for item in checked(space, "a")] == ["charset"]


def test_deviations_come_in_declared_order() -> None:
    space = Tuple([Text(1), Box(-1, 1, (2,)), Box(-1, 1, (9000,)), Text(1), Box(-1, 1, ())])
    value = ("long", [0, 9], np.full(9000, 9), "long", 9)
    found = checked(space, value)
    assert [item.path for item in found] == ["$[0]", "$[1]", "$[2]", "$[3]", "$[4]"]


def test_overflow_deviates() -> None:
    space = Dict(a=Box(-np.inf, np.inf, (2,)), b=Box(-1, 1, (2,)))
    value = {"a": [1e39, 0], "b": [0, -1e39]}
    found = checked(space, value)
    assert [(item.kind, item.path) for item in found] == [
        ("overflow", "$.a"),
        ("overflow", "$.b"),
        ("bounds", "$.b"),
    ]
    violation = rejected(space, value, Policy.STRICT)
    assert (violation.kind, violation.path) == ("overflow", "$.a")
    assert violation.detail == "1e+39 at [0] is beyond float32: it became infinite"
    assert checked(space, value, Policy.OFF) == []


def test_a_space_that_holds_every_value_of_its_dtype_is_not_looked_at() -> None:
    # A slab that is too short for any look at it.
    for space in (Box(0, 255, (60, 60, 3), np.uint8), Box(0, 1, (4,), BOOL), Dict({})):
        ours = from_gymnasium_space(space)
        check = compile_check(ours, None, compile_layout(ours))
        assert [check(b"", 0, policy) for policy in Policy] == [[], [], []]


def test_bounds_are_not_looked_for_when_off() -> None:
    ours = from_gymnasium_space(Tuple([Box(0, 9, (4,), np.uint8), Text(3), Box(0, 9, (90, 90))]))
    check = compile_check(ours, None, compile_layout(ours))
    with pytest.raises(TypeError, match="buffer is too small"):
        check(b"", 0, Policy.OFF)  # for the NaN that the last leaf could hold
    ours = from_gymnasium_space(Tuple([Box(0, 9, (4,), np.uint8), Text(3)]))
    check = compile_check(ours, None, compile_layout(ours))
    assert check(b"", 0, Policy.OFF) == []


def test_a_box_without_bounds_that_may_hold_nan_is_not_looked_at() -> None:
    # A slab that is too short for any look at it.
    for space in (*(unbounded(count) for count in SIZES), Tuple([unbounded(3), unbounded(9000)])):
        ours = from_gymnasium_space(space)
        check = compile_check(ours, None, compile_layout(ours), nan=Nan.DELIVER)
        assert [check(b"", 0, policy) for policy in Policy] == [[], [], []]


def unbounded(count: int) -> Box:
    return Box(-np.inf, np.inf, (count,))


# Uniform bounds, on one side and on both, and bounds of each element.
BOUNDS: list[tuple[Any, Any]] = [(-1, 1), (-np.inf, 1), (-1, np.inf), ("each", "each")]


@pytest.mark.parametrize("num_envs", [None, 2])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_nan_that_is_delivered_is_within_all_bounds_and_hides_nothing(
    low: Any, high: Any, count: int, dtype: Any, num_envs: int | None
) -> None:
    if low == "each":
        steps = np.arange(count) % 3
        low, high = -1 - steps.astype(dtype), 1 + steps.astype(dtype)
    space = Box(low, high, (count,), dtype)
    shape = (count,) if num_envs is None else (num_envs, count)
    for policy in Policy:
        for fill in (0, np.nan):
            value = np.full(shape, fill, dtype)
            value[..., :: max(count // 2, 1)] = np.nan
            assert checked(space, value, policy, num_envs, nan=Nan.DELIVER) == []
    for number, bound in ((-9, low), (9, high)):
        for fill in (0, np.nan):
            value = np.full(shape, fill, dtype)
            value[..., -1] = number
            expected = [] if np.isinf(bound).all() else [None] if num_envs is None else [0, 1]
            found = checked(space, value, Policy.WARN, num_envs, nan=Nan.DELIVER)
            assert [(item.kind, item.env_index) for item in found] == [
                ("bounds", env_index) for env_index in expected
            ]
            assert checked(space, value, Policy.OFF, num_envs, nan=Nan.DELIVER) == []
            if expected:
                with pytest.raises(Violation, match=r"9\.0 at \[\d+\] is "):
                    checked(space, value, Policy.STRICT, num_envs, nan=Nan.DELIVER)


def test_many_small_leaves_are_all_checked() -> None:
    space = Tuple([Box(-1, 1, (3,)) for _ in range(60)])
    value = [[0.0, 0.0, 0.0] for _ in range(60)]
    assert checked(space, value, Policy.STRICT) == []
    for index in (0, 31, 32, 59):
        broken = [list(part) for part in value]
        broken[index][1] = 2.0
        assert [item.path for item in checked(space, broken)] == [f"$[{index}]"]


def test_a_zero_length_axis_has_nothing_wrong_with_it() -> None:
    for num_envs, shape in ((None, (2, 0, 3)), (2, (2, 2, 0, 3))):
        value: npt.NDArray[Any] = np.zeros(shape)
        for policy in Policy:
            assert checked(Box(0, 1, (2, 0, 3)), value, policy, num_envs) == []


DIFFERING: list[tuple[list[Space], Any, Any, str, int]] = [
    ([Box(0, 1, (2,)), Box(0, 5, (2,))], [[1, 1], [5, 5]], [[5, 5], [5, 5]], "bounds", 0),
    ([Discrete(2), Discrete(5, start=-1)], [1, 3], [1, 4], "domain", 1),
    (
        [MultiDiscrete([2, 3]), MultiDiscrete([4, 2], start=[1, 1])],
        [[1, 2], [4, 2]],
        [[1, 2], [0, 2]],
        "domain",
        1,
    ),
    ([MultiBinary(2), MultiBinary(2)], [[1, 0], [0, 1]], [[1, 0], [0, 2]], "domain", 1),
    ([Text(2), Text(9, charset="a")], ["zz", "aaa"], ["zzz", "aaa"], "length", 0),
]


@pytest.mark.parametrize(("spaces", "good", "bad", "kind", "env_index"), DIFFERING, ids=range(5))
def test_sub_envs_that_differ_in_their_bounds_are_checked_by_their_own(
    spaces: list[Space], good: Any, bad: Any, kind: str, env_index: int
) -> None:
    nested = [Tuple([Dict(a=space), Discrete(2)]) for space in spaces]
    batched = batch_differing_spaces(nested)
    ones = np.array([1, 1])
    value, broken = ({"a": good}, ones), ({"a": bad}, ones)
    assert checked(nested[0], value, Policy.STRICT, 2, batched) == []
    with pytest.raises(Violation) as caught:
        checked(nested[0], broken, Policy.STRICT, 2, batched)
    assert (caught.value.kind, caught.value.path, caught.value.env_index) == (
        kind,
        "$[0].a",
        env_index,
    )


@given(
    hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32)),
    st.sampled_from([(-math.inf, math.inf), (-1.0, math.inf), (-math.inf, 1.0), (-1.0, 1.0)]),
    st.sampled_from([None, 2]),
)
def test_the_check_agrees_with_gymnasium(
    value: npt.NDArray[Any], bounds: tuple[float, float], num_envs: int | None
) -> None:
    space = Box(*bounds, (2, 3) if num_envs is None else (3,))
    whole = Box(*bounds, (2, 3))
    try:
        conforms = checked(space, value, Policy.STRICT, num_envs) == []
    except Violation:
        conforms = False
    assert conforms == (whole.contains(value) and not np.isnan(value).any())
