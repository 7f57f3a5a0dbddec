"""An info never fails a step, whatever it is and whatever is in it."""

from __future__ import annotations

from collections import OrderedDict, UserList
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packing import Degraded, PackingLimits, pack_info, unpack_info
from support.odd_values import (
    Color,
    Endless,
    Hostile,
    Lazy,
    Liar,
    Mute,
    Named,
    Quitting,
    Unhashable,
    cyclic_dict,
    cyclic_list,
    cyclic_objects,
    cyclic_subclass,
    cyclic_tuple,
    objects,
)


def test_an_info_may_be_any_mapping() -> None:
    assert unpack_info(pack_info(MappingProxyType({"a": 1}))[0]) == {"a": 1}


@pytest.mark.parametrize("kind", [list, str, int, Hostile, Liar, Endless, Lazy])
def test_an_info_that_is_no_mapping_or_has_no_end_is_named(kind: Callable[[], Any]) -> None:
    data, (degraded,) = pack_info(kind())
    assert list(unpack_info(data)) == [INFO_DEGRADED]
    assert (degraded.path, degraded.reason) == ("$", "unsupported type")


def test_what_no_walk_survives_becomes_a_text_as_a_whole() -> None:
    data, (degraded,) = pack_info({"a": Unhashable()})
    assert degraded == Degraded("$", "dict", "failed")
    assert list(unpack_info(data)) == [INFO_DEGRADED]


# Hypothesis asks what it generates for its class and text, so it generates recipes.


@dataclass
class Made:
    """What makes a container of its parts."""

    make: Callable[[list[Any]], Any]
    parts: list[Any]

    def __call__(self) -> Any:
        return self.make([part() for part in self.parts])


@dataclass
class Given:
    value: object

    def __call__(self) -> object:
        return self.value


def pairs(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=False))


plain_values = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
foreign = st.sampled_from([Hostile, Quitting, Mute, Liar, lambda: Named(None), lambda: Color.RED])
leaves = (
    plain_values.map(Given)
    | foreign
    | st.sampled_from([Unhashable.made, Lazy, set, lambda: iter([]), lambda: np.ma.masked])
    | st.sampled_from([lambda: np.zeros(2, "M8[s]"), lambda: np.float32(1), np.str_, np.bytes_])
    | st.sampled_from([cyclic_list, cyclic_dict, cyclic_tuple, cyclic_objects, cyclic_subclass])
)
keys = plain_values.map(Given) | foreign
anything = st.recursive(
    leaves,
    lambda inner: (
        st.builds(
            Made,
            st.sampled_from([list, tuple, UserList, lambda parts: objects(*parts)]),
            st.lists(inner, max_size=3),
        )
        | st.builds(
            Made,
            st.sampled_from([pairs, lambda parts: OrderedDict(pairs(parts))]),
            st.tuples(keys, inner, keys, inner).map(list),
        )
    ),
    max_leaves=15,
)


@given(
    st.dictionaries(st.text(max_size=2), anything, max_size=4),
    st.integers(1, 5),
    st.integers(1, 2000),
)
def test_an_info_of_anything_is_packed_and_arrives(
    recipe: dict[str, Callable[[], Any]], depth: int, size: int
) -> None:
    info = {key: make() for key, make in recipe.items()}
    for limits in [PackingLimits(), PackingLimits(max_depth=depth, max_bytes=size, max_listed=2)]:
        data, degraded = pack_info(info, limits=limits)
        received = unpack_info(data)
        assert (INFO_DEGRADED in received) == bool(degraded)
        if not degraded:
            assert list(received) == list(info)
