"""What cannot travel becomes its text and is listed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import msgpack
import numpy as np
import pytest

from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packing import Degraded, pack_info, pack_listing, unpack, unpack_info
from support.comparing import assert_same
from support.odd_values import (
    Color,
    Hostile,
    Liar,
    Mute,
    Named,
    Pose,
    Quitting,
    objects,
)

HERE = "support.odd_values"

# Made in the test: pytest asks parameters for their names.
FOREIGN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "set": (lambda: {3, 1, 2}, "{1, 2, 3}", "set"),
    "frozenset": (lambda: frozenset(["a"]), "frozenset({'a'})", "frozenset"),
    "range": (lambda: range(3), "range(0, 3)", "range"),
    "complex": (lambda: 1 + 2j, "(1+2j)", "complex"),
    "enum": (lambda: Color.RED, "Color.RED", f"{HERE}.Color"),
    "dataclass": (lambda: Pose(1.0, 2.0), "Pose(x=1.0, y=2.0)", f"{HERE}.Pose"),
    "path": (lambda: PurePosixPath("a/b"), "a/b", f"{PurePosixPath.__module__}.PurePosixPath"),
    "class": (lambda: int, "<class 'int'>", "type"),
    "endless iterator": (itertools.count, "count(0)", "itertools.count"),
    "raises in repr": (Mute, "<Mute>", f"{HERE}.Mute"),
    "ends the process": (Quitting, "<Quitting>", f"{HERE}.Quitting"),
    "raises in every method": (Hostile, "<Hostile>", f"{HERE}.Hostile"),
    "lies about its class": (Liar, "liar", f"{HERE}.Liar"),
    "text that is none": (lambda: Named(1), "<Named>", f"{HERE}.Named"),
    "timestamp of MessagePack": (
        lambda: msgpack.Timestamp(1),
        "Timestamp(seconds=1, nanoseconds=0)",
        "msgpack.ext.Timestamp",
    ),
    "masked array": (
        lambda: np.ma.masked_array([1, 2], [False, True]),
        "[1 --]",
        f"{np.ma.MaskedArray.__module__}.MaskedArray",
    ),
}


@pytest.mark.parametrize(("make", "text", "kind"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_value_becomes_its_text_and_is_named(
    make: Callable[[], Any], text: str, kind: str
) -> None:
    value = make()
    info = {"a": 1, "value": value, "list": [value, (value,)], "objects": objects(None, value)}
    data, degraded = pack_info(info)
    received = unpack_info(data)
    listed = received.pop(INFO_DEGRADED)
    assert_same(
        received, {"a": 1, "value": text, "list": [text, (text,)], "objects": objects(None, text)}
    )
    paths = ["$.value", "$.list[0]", "$.list[1][0]", "$.objects[1]"]
    assert degraded == [Degraded(path, kind, "unsupported type") for path in paths]
    assert listed == [{"path": path, "type": kind, "reason": "unsupported type"} for path in paths]


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("a", object)]),
        np.dtype([(("title", "name"), "<i4")]),
        np.dtype({"names": ["a", "b"], "formats": ["<i4", "<f4"], "offsets": [0, 0]}),
    ],
    ids=["objects in fields", "titles", "fields on top of each other"],
)
def test_an_array_without_a_form_on_the_wire_is_named(dtype: Any) -> None:
    data, degraded = pack_listing(np.zeros(1, dtype))
    assert isinstance(unpack(data), str)
    assert degraded == [Degraded("$", "numpy.ndarray", "unsupported dtype")]


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no such dtype")
def test_an_array_of_strings_of_variable_length_is_named() -> None:
    (degraded,) = pack_listing(np.array(["a"], np.dtypes.StringDType()))[1]
    assert degraded.reason == "unsupported dtype"


def test_a_buffer_of_other_items_than_bytes_is_named() -> None:
    released = memoryview(b"gone")
    released.release()
    for view in [np.zeros(2, np.int32).data, np.zeros((2, 2), np.uint8).data, released]:
        (degraded,) = pack_listing(view)[1]
        assert (degraded.type, degraded.reason) == ("memoryview", "unsupported type")


@pytest.mark.parametrize(
    ("path", "info"),
    {
        "$.a.b[1][0]": {"a": {"b": [0, (set(),)]}},
        "$[2].x": {2: {"x": set()}},
        '$["two words"]': {"two words": set()},
        "$[b'k'][None]": {b"k": {None: set()}},
        "$[(1, 'a')]": {(1, "a"): set()},
        "$.grid[1, 0]": {"grid": np.array([[1, 2], [set(), 3]], object)},
        "$.only[]": {"only": np.array(set(), object)},
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "info",
)
def test_a_degraded_value_is_named_by_its_path(path: str, info: Any) -> None:
    assert [degraded.path for degraded in pack_info(info)[1]] == [path]


def test_a_long_text_is_cut() -> None:
    text = unpack(pack_listing(Named("x" * 10_000))[0])
    assert text == "x" * 997 + "..."


def test_a_long_path_is_cut_in_the_middle() -> None:
    (degraded,) = pack_info({"k" * 100_000: {"end": set()}})[1]
    assert len(degraded.path) < 600
    assert degraded.path.endswith(".end")


def test_the_text_of_a_large_set_does_not_take_all_of_it() -> None:
    text = unpack(pack_listing(set(range(100_000)))[0])
    assert text.startswith("{0, 1, 2, ")
    assert text.endswith("...}")


def test_what_an_environment_behind_listed_stays() -> None:
    earlier = {"path": "$.x", "type": "set", "reason": "unsupported type"}
    received = unpack_info(pack_info({INFO_DEGRADED: [earlier], "y": Color.RED})[0])
    assert [entry["path"] for entry in received[INFO_DEGRADED]] == ["$.x", "$.y"]


def test_a_long_list_of_losses_is_cut_and_counted() -> None:
    data, degraded = pack_info({"all": [set() for _ in range(1000)]})
    listed = unpack_info(data)[INFO_DEGRADED]
    assert len(degraded) == 256
    assert listed[-1] == {"path": "$", "type": "", "reason": "744 more"}


def test_a_key_that_cannot_travel_becomes_its_text_and_is_named() -> None:
    data, degraded = pack_info({Color.RED: 1, frozenset([1]): 2, (1, Color.RED): 3, 7: 4})
    received = unpack_info(data)
    del received[INFO_DEGRADED]
    assert list(received.items()) == [
        ("Color.RED", 1),
        ("frozenset({1})", 2),
        ("(1, <Color.RED: 1>)", 3),
        (7, 4),
    ]
    assert {entry.reason for entry in degraded} == {"unsupported key"}


def test_keys_that_come_to_be_alike_lose_no_value() -> None:
    class Loose(str):
        __slots__ = ()
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return self is other

    info = {Named("a"): 1, Named("a"): 2, Loose("a"): 3, "a": 4, "a (2)": 5}
    data, degraded = pack_info(info)
    received = unpack_info(data)
    del received[INFO_DEGRADED]
    assert received == {"a (3)": 1, "a (4)": 2, "a (5)": 3, "a": 4, "a (2)": 5}
    assert [entry.reason for entry in degraded] == [
        "unsupported key",
        "unsupported key",
        "colliding key",
    ]


def test_keys_that_the_decoder_would_refuse_become_texts() -> None:
    info = dict.fromkeys(itertools.product((-1, -2), repeat=7), 0)
    data, degraded = pack_info(info)
    assert len(degraded) == 128
    assert "(-1, -2, -1, -1, -1, -1, -1)" in unpack_info(data)
