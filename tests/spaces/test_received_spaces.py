"""A space that came from outside is checked as one that was written down here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rlmesh.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple
from rlmesh_api.v1 import space_pb2

GOOD: dict[str, Space] = {
    "box": Box([0, 1], [8, 9], dtype="int8"),
    "float_box": Box([0.0, 1.0], 2.0),
    "discrete": Discrete(5, 2, "int8"),
    "multi_binary": MultiBinary(3),
    "multi_discrete": MultiDiscrete([2, 3], start=[0, 1]),
    "text": Text(5, charset="ab"),
    "dict": Dict({"a": Discrete(2), "b": Discrete(2)}),
}


def number(**value: Any) -> space_pb2.Number:
    return space_pb2.Number(**value)


DAMAGES: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "no bounds": ("box", lambda m: m.box.ClearField("low"), "must have 1 or 2 elements, got 0"),
    "a bound too many": ("box", lambda m: m.box.low.append(number(integer=1)), "got 3"),
    "a bound out of range": ("box", lambda m: m.box.high[0].MergeFrom(number(integer=128)), "int8"),
    "a float for an integer": ("box", lambda m: m.box.low[0].MergeFrom(number(real=0.5)), "int8"),
    "a float for an integer in disguise": (
        "box",
        lambda m: m.box.low[0].MergeFrom(number(real=0.0)),
        "int8",
    ),
    "low above high": ("box", lambda m: m.box.low[1].MergeFrom(number(integer=10)), "above high"),
    "a flag too many": ("box", lambda m: m.box.bounded_below.extend([True] * 3), "got 3"),
    "a longer axis": ("box", lambda m: m.box.shape.append(2), "1 or 4 elements, got 2"),
    "an empty axis": ("box", lambda m: m.box.shape.append(0), "got 2"),
    "more digits than float32 has": (
        "float_box",
        lambda m: m.box.low[0].MergeFrom(number(real=0.1)),
        "float32 holds exactly",
    ),
    "more than float32 holds": (
        "float_box",
        lambda m: m.box.high[0].MergeFrom(number(real=1e300)),
        "float32 holds exactly",
    ),
    "no values": ("discrete", lambda m: m.discrete.ClearField("n"), "n must be positive"),
    "a count out of range": ("discrete", lambda m: setattr(m.discrete, "n", 300), "int8"),
    "values out of range": ("discrete", lambda m: setattr(m.discrete, "n", 127), r"\+ n - 1"),
    "a start that is a float": (
        "discrete",
        lambda m: m.discrete.start.MergeFrom(number(real=0.5)),
        "Discrete start",
    ),
    "a dtype that is no integer": (
        "discrete",
        lambda m: setattr(m.discrete, "dtype", space_pb2.DTYPE_FLOAT32),
        "Discrete dtype",
    ),
    "a flat shape of two axes": (
        "multi_binary",
        lambda m: m.multi_binary.shape.append(2),
        "one axis",
    ),
    "an empty axis of bits": (
        "multi_binary",
        lambda m: m.multi_binary.shape.__setitem__(0, 0),
        "must be 1 or more",
    ),
    "more axes than an array can have": (
        "multi_binary",
        lambda m: m.multi_binary.shape.extend([1] * 64),
        "at most [0-9]+ axes, got 65",
    ),
    "a count too many": ("multi_discrete", lambda m: m.multi_discrete.nvec.append(2), "nvec must"),
    "a start too few": (
        "multi_discrete",
        lambda m: m.multi_discrete.ClearField("start"),
        "start must have 1 or 2",
    ),
    "a count of zero": (
        "multi_discrete",
        lambda m: m.multi_discrete.nvec.__setitem__(0, 0),
        "positive",
    ),
    "lengths in the wrong order": ("text", lambda m: setattr(m.text, "min_length", 6), "got 6 and"),
    "a character twice": ("text", lambda m: setattr(m.text, "charset", "aa"), "once"),
    "a key twice": ("dict", lambda m: setattr(m.dict.entries[1], "key", "a"), "must come once"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_message_is_refused(damage: str) -> None:
    name, apply, reason = DAMAGES[damage]
    message = GOOD[name].to_proto()
    apply(message)
    with pytest.raises(ValueError, match=rf"^\$: .*{reason}"):
        Space.from_proto(message)


@pytest.mark.parametrize("name", GOOD)
def test_an_undamaged_message_is_read(name: str) -> None:
    assert Space.from_proto(GOOD[name].to_proto()) == GOOD[name]


def test_a_message_without_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Space.from_proto(space_pb2.Space())


def test_a_message_without_a_dtype_is_refused() -> None:
    message = Box(0.0, 1.0).to_proto()
    message.box.ClearField("dtype")
    with pytest.raises(ValueError, match="dtype"):
        Space.from_proto(message)


def test_a_damaged_child_is_refused() -> None:
    message = Tuple([Discrete(2)]).to_proto()
    message.tuple.spaces[0].discrete.n = 0
    with pytest.raises(ValueError, match=r"^\$\.spaces\[0\]: .*positive"):
        Space.from_proto(message)
