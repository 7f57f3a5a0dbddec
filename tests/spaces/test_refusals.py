"""What RLMesh cannot carry is refused by name, with its place in the tree."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple

from rlmesh import spaces
from rlmesh.errors import UnsupportedSpaceError
from rlmesh.spaces import from_gymnasium_space, to_gymnasium_space
from rlmesh_api.stability import SPACES, Stability
from support.sample_spaces import SAMPLE_SPACES, UNSUPPORTED_SPACES, nested


def refusal(space: object) -> str:
    with pytest.raises(UnsupportedSpaceError) as caught:
        from_gymnasium_space(space)
    return str(caught.value)


class Noisy(Box):
    """A Box that holds other values than Box says."""

    def contains(self, x: Any) -> bool:
        return True


class Alien(gymnasium.Space[int]):
    """A space of a kind of its own."""


class Named(Box):
    """A Box that remembers a name."""

    def __init__(self, name: str) -> None:
        super().__init__(-1.0, 1.0, dtype=np.float32)
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def rename(self, name: str) -> None:
        self.name = name


class Keyed(Dict):
    """A Dict with a method of its own."""

    def first(self) -> str:
        return next(iter(self.spaces))


@pytest.mark.parametrize("name", UNSUPPORTED_SPACES)
def test_an_unsupported_space_is_refused_by_name(name: str) -> None:
    message = refusal(UNSUPPORTED_SPACES[name])
    assert message.startswith(f"$: {name} is not supported")
    assert "Box, Discrete, MultiBinary, MultiDiscrete, Text, Tuple, Dict" in message


@pytest.mark.parametrize("name", UNSUPPORTED_SPACES)
def test_an_unsupported_space_is_refused_with_its_place(name: str) -> None:
    inner = UNSUPPORTED_SPACES[name]
    assert refusal(Dict({"arm": Tuple([Discrete(2), inner])})).startswith(f"$.arm[1]: {name} ")
    assert refusal(Tuple([Dict({"two words": inner})])).startswith(f'$[0]["two words"]: {name} ')


@pytest.mark.parametrize("name", SPACES)
def test_the_table_of_spaces_says_which_are_refused(name: str) -> None:
    row = SPACES[name]
    refused = row.stability is Stability.NOT_SUPPORTED
    assert refused == (row.gymnasium in UNSUPPORTED_SPACES)
    samples = [from_gymnasium_space(space) for space in SAMPLE_SPACES.values()]
    carried = {type(space).__name__: space.kind for space in samples}
    assert refused == (row.rlmesh not in carried)
    assert carried.get(row.rlmesh or "") == row.kind


def test_a_refusal_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Graph"):
        from_gymnasium_space(UNSUPPORTED_SPACES["Graph"])


@pytest.mark.parametrize("thing", [None, 3, "text", Box, {"a": Discrete(2)}], ids=repr)
def test_what_is_no_space_is_refused(thing: object) -> None:
    assert "expected a Gymnasium or RLMesh space, got an object of type builtins." in refusal(thing)


def test_a_space_of_a_kind_of_its_own_is_refused() -> None:
    assert refusal(Tuple([Alien()])).startswith("$[0]: Alien is not supported")


def test_a_subclass_that_holds_other_values_is_refused() -> None:
    message = refusal(Dict({"a": Noisy(-1.0, 1.0, dtype=np.float32)}))
    assert message.startswith("$.a: Noisy is a Box with its own contains")


def test_a_subclass_with_another_constructor_is_read_as_its_base() -> None:
    assert from_gymnasium_space(Named("speed")) == spaces.Box(-1.0, 1.0)
    keyed = Keyed({"a": Discrete(2)})
    assert from_gymnasium_space(keyed) == spaces.Dict({"a": spaces.Discrete(2)})


@pytest.mark.parametrize("thing", [None, Discrete(2)], ids=repr)
def test_only_an_rlmesh_space_becomes_a_gymnasium_space(thing: Any) -> None:
    with pytest.raises(UnsupportedSpaceError, match="expected an RLMesh space, got"):
        to_gymnasium_space(thing)


def test_an_rlmesh_space_is_returned_as_it_is() -> None:
    space = spaces.Tuple([spaces.Discrete(2)])
    assert from_gymnasium_space(space) is space


@pytest.mark.parametrize("key", [3, None, ("a", "b"), b"a"], ids=repr)
def test_a_dict_key_that_is_no_text_is_refused(key: Any) -> None:
    message = refusal(Dict({"inner": Dict([(key, Discrete(2))])}))
    assert message.startswith(f"$.inner: Dict key must be a str, got {key!r}")


def test_a_dict_key_with_a_lone_surrogate_is_refused() -> None:
    assert "lone surrogates" in refusal(Dict([("\ud800", Discrete(2))]))


def test_a_charset_with_a_lone_surrogate_is_refused() -> None:
    message = refusal(Dict({"a": Text(3, charset="a\udfff")}))
    assert message.startswith("$.a: Text charset must not hold lone surrogates")


@pytest.mark.skipif(
    np.dtype(np.longdouble) == np.float64, reason="longdouble is float64 on this platform"
)
def test_a_box_of_longdouble_is_refused() -> None:
    message = refusal(Tuple([Box(-1.0, 1.0, (2,), np.longdouble)]))
    assert re.match(r"\$\[0\]: Box dtype must be one of bool, .*float64, got dtype\('", message)


def test_a_box_in_foreign_byte_order_is_refused() -> None:
    swapped: Any = np.dtype(np.float32).newbyteorder()
    bounds = np.zeros(2, swapped)
    assert "Box dtype must be one of" in refusal(Box(bounds, bounds + 1, dtype=swapped))


@pytest.mark.parametrize("name", ["low", "high", "bounded_below", "bounded_above"])
def test_a_box_whose_arrays_have_another_shape_is_refused(name: str) -> None:
    box = Box(-1.0, 1.0, (2,))
    setattr(box, name, getattr(box, name)[:1])
    assert f"$: Box {name} must have the shape of its space, (2,), got (1,)" in refusal(box)


@pytest.mark.parametrize("name", ["low", "high"])
def test_a_box_whose_bounds_have_another_dtype_is_refused(name: str) -> None:
    box = Box(-1.0, 1.0, (2,))
    setattr(box, name, getattr(box, name).astype(np.float64))
    assert f"$: Box {name} must have the dtype of its space, float32" in refusal(box)


def test_a_box_with_nan_for_a_bound_is_refused() -> None:
    box = Box(-1.0, 1.0, (2,))
    box.low[0] = np.nan
    assert refusal(box).startswith("$: Box low must be made of plain numbers")


def test_a_discrete_whose_values_its_dtype_cannot_hold_is_refused() -> None:
    message = refusal(Tuple([Discrete(2, start=2**63 - 1)]))
    assert message.startswith("$[0]: Discrete start + n - 1 must fit int64")


def test_a_multi_discrete_whose_values_its_dtype_cannot_hold_is_refused() -> None:
    assert "must fit int8, got [100, 128]" in refusal(
        MultiDiscrete([1, 100], np.int8, start=[100, 29])
    )


def test_spaces_nested_more_than_32_deep_are_refused() -> None:
    message = refusal(nested(33))
    assert "32 deep" in message
    assert message.startswith("$[0].in[0].in")


def test_a_space_that_contains_itself_is_refused() -> None:
    endless = Dict({"a": Discrete(2)})
    endless["a"] = endless
    assert "32 deep" in refusal(endless)
