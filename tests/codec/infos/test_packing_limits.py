"""Cycles, depth and size are bounded, and what is within the bounds arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packing import PackingLimits, pack_info, pack_listing, unpack, unpack_info
from support.comparing import assert_same
from support.odd_values import (
    cyclic_dict,
    cyclic_keyed,
    cyclic_list,
    cyclic_objects,
    cyclic_subclass,
    cyclic_tuple,
    objects,
)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (cyclic_list, "$.value[1]"),
        (cyclic_dict, "$.value.self.inner"),
        (cyclic_tuple, "$.value[0][0]"),
        (cyclic_objects, "$.value[0][0]"),
        (cyclic_subclass, "$.value.self"),
        (cyclic_keyed, "$.value[1]"),
    ],
)
def test_a_cycle_ends_where_it_closes(make: Callable[[], Any], path: str) -> None:
    data, degraded = pack_info({"value": make(), "other": 1})
    assert [(entry.path, entry.reason) for entry in degraded] == [(path, "cycle")]
    assert unpack_info(data)["other"] == 1


def test_a_value_that_stands_in_two_places_arrives_in_both() -> None:
    shared = {"x": [1, set()]}
    data, degraded = pack_listing([shared, shared])
    first, second = unpack(data)
    assert first == second == {"x": [1, "set()"]}
    assert {entry.reason for entry in degraded} == {"unsupported type"}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {"k": inner},
        lambda inner: {1: inner},
        objects,
    ],
    ids=["list", "tuple", "dict", "keyed dict", "object array"],
)
def test_containers_are_carried_to_the_depth_of_the_limit(wrap: Callable[[Any], Any]) -> None:
    value: Any = wrap(None)
    for _ in range(63):
        value = wrap(value)
    data, degraded = pack_listing(value)
    assert not degraded
    assert_same(unpack(data), value)
    (degraded_value,) = pack_listing(wrap(value))[1]
    assert degraded_value.reason == "too deep"


def test_any_depth_is_packed() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value, 1]
    received = unpack(pack_listing(value)[0])
    assert received[1] == 1


def test_a_graph_that_unrolls_without_end_is_packed() -> None:
    value: Any = [0]
    for _ in range(60):
        value = [value, value]
    data, degraded = pack_listing(value, limits=PackingLimits(max_bytes=100_000))
    assert len(data) <= 100_000
    assert {entry.reason for entry in degraded} == {"too large"}


LARGE: dict[str, Any] = {
    "array": np.zeros(20_000, np.uint8),
    "bytes": bytes(20_000),
    "text": "x" * 20_000,
    "text beyond ASCII": "ä" * 20_000,
    "list": [0.5] * 20_000,
    "list of lists of texts": [["x" * 300] * 200],
    "dict": {str(number): number for number in range(20_000)},
    "dict with a long key": {"x" * 20_000: 1},
    "keyed dict": {1: "x" * 20_000},
    "keyed dict with a long key": {1: 2, "x" * 20_000: 1},
    "object array": objects(*["x" * 300] * 200),
    "integer": 2 ** (8 * 20_000),
    "scalar": np.str_("x" * 20_000),
}


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE.keys())
def test_what_does_not_fit_becomes_a_text_and_the_rest_arrives(large: Any) -> None:
    data, degraded = pack_info(
        {"before": 1, "large": large, "after": [2, 3]}, limits=PackingLimits(max_bytes=10_000)
    )
    received = unpack_info(data)
    assert (received["before"], received["after"]) == (1, [2, 3])
    assert {entry.reason for entry in degraded} == {"too large"}
    listing = sum(len(str(entry)) for entry in received.pop(INFO_DEGRADED))
    assert len(data) <= 10_000 + listing


def test_a_value_of_the_very_size_of_the_limit_arrives() -> None:
    value = {"a": bytes(9_000), "b": [0] * 900}
    size = len(pack_listing(value)[0])
    assert not pack_listing(value, limits=PackingLimits(max_bytes=size))[1]
