"""What of a value a contract can hold."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.infos.packing import plain
from support.comparing import assert_same
from support.odd_values import (
    Color,
    Hostile,
    Lazy,
    Level,
    Liar,
    Mute,
    Named,
    Quitting,
    Unhashable,
    cyclic_list,
)

PLAIN: dict[str, tuple[Any, Any]] = {
    "leaves": ([None, True, 1, 2**70, 1.5, -0.0, math.inf, "ü", b"x"], ...),
    "containers": ({"a": [1, (2, {"b": []})]}, ...),
    "numpy scalars": ((np.float32(0.5), np.int8(1), np.bool_(False)), (0.5, 1, False)),
    "numpy text": ([np.str_("a"), np.bytes_(b"b")], ["a", b"b"]),
    "numpy long double": (np.longdouble(0.5), 0.5),
    "array": (np.array([[1, 2]], np.uint8), [[1, 2]]),
    "array without axes": (np.array(2.5), 2.5),
    "array of objects": (np.array([{"a": np.int64(1)}, None]), [{"a": 1}, None]),
    "array of times": (np.array(["2024-01-02"], "M8[D]"), ["2024-01-02"]),
    "mappings": ([OrderedDict(a=1), MappingProxyType({"b": 2})], [{"a": 1}, {"b": 2}]),
    "other keys": ({1: "a", None: "b", "1": "c"}, {"1 (2)": "a", "None": "b", "1": "c"}),
    "subclasses": (
        [type("Text", (str,), {})("a"), type("Number", (int,), {})(3), bytearray(b"c")],
        ["a", 3, b"c"],
    ),
    "enums": ([Color.RED, Level.LOW], ["Color.RED", 1]),
    "others": ([{1}, 1j, int], ["{1}", "1j", "<class 'int'>"]),
    "lone surrogate": ({"\ud800": "\udfff"}, {"\\ud800": "\\udfff"}),
    "integer of too many digits": (10**5000, "<int>"),
}


@pytest.mark.parametrize(("value", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_reduces_to_what_a_contract_holds(value: Any, expected: Any) -> None:
    assert_same(plain(value), value if expected is ... else expected)


def test_a_cycle_ends() -> None:
    assert plain(cyclic_list()) == [1, "[1, [1, [1, [1, [1, [1, [...]]]]]]]"]


def test_depth_is_bounded() -> None:
    value: Any = "end"
    for _ in range(10_000):
        value = [value]
    reduced, depth = plain(value), 0
    while isinstance(reduced, list):
        (reduced,), depth = reduced, depth + 1
    assert depth == 64
    assert isinstance(reduced, str)


@pytest.mark.parametrize("make", [Hostile, Quitting, Mute, Liar, Lazy, Unhashable])
def test_what_raises_becomes_a_text(make: Callable[[], Any]) -> None:
    assert isinstance(plain([make()])[0], str)


def test_keys_of_one_text_lose_no_value() -> None:
    reduced = plain({Named("a"): 1, Named("a"): 2, "a": 3})
    assert sorted(reduced.values()) == [1, 2, 3]


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_what_is_plain_stays(value: Any) -> None:
    assert plain(plain(value)) == plain(value)
