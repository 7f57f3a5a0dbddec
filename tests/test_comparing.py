"""The comparison that the other tests rely on finds every kind of difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.comparing import difference

VALUE = {"a": [1, (2.0, None)], "b": np.array([[1.5, np.nan]], np.float32)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, np.int64(1)),
        (np.int32(1), np.int64(1)),
        (0.0, -0.0),
        (1.0, 1.0 + 2**-52),
        ([1], (1,)),
        ([1], [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 2}),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2, np.float32), np.zeros(2)),
        (np.zeros(1), np.array([-0.0])),
        (np.array([None, 1], dtype=object), np.array([None, True], dtype=object)),
        ("a", b"a"),
        (np.array(1), np.int64(1)),
    ],
    ids=repr,
)
def test_what_differs_is_told(one: Any, other: Any) -> None:
    assert difference(one, other) is not None
    assert difference([{"x": one}], [{"x": other}], "$") is not None


def test_what_is_the_same_is_the_same() -> None:
    copied = {"a": [1, (2.0, None)], "b": np.array([[1.5, np.nan]], np.float32)}
    assert difference(copied, VALUE) is None
    assert difference(float("nan"), float("nan")) is None


def test_the_place_is_named() -> None:
    told = difference({"a": [1, (2.5, None)], "b": VALUE["b"]}, VALUE)
    assert told == "$.a[1][0]: got float 2.5, expected float 2.0"
