"""Gymnasium's spaces come back equal: every sample space, and spaces that Hypothesis makes."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space
from hypothesis import given

from rlmesh import spaces
from rlmesh.spaces import Space, from_gymnasium_space, to_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh_api.v1 import space_pb2
from support.comparing import assert_same
from support.sample_spaces import SAMPLE_SPACES, UNSAMPLEABLE
from support.space_anatomy import anatomy
from support.space_strategies import gymnasium_spaces

KINDS: dict[str, type[Any]] = {
    "box": spaces.Box,
    "discrete": spaces.Discrete,
    "multi_binary": spaces.MultiBinary,
    "multi_discrete": spaces.MultiDiscrete,
    "text": spaces.Text,
    "tuple": spaces.Tuple,
    "dict": spaces.Dict,
}

every_space = pytest.mark.parametrize("name", SAMPLE_SPACES)
every_sampleable_space = pytest.mark.parametrize(
    "name", sorted(SAMPLE_SPACES.keys() - UNSAMPLEABLE)
)


def over_the_wire(space: Space) -> Space:
    data = space.to_proto().SerializeToString()
    return Space.from_proto(space_pb2.Space.FromString(data))


def over_json(space: Space) -> Space:
    return Space.from_dict(json.loads(json.dumps(space.to_dict(), allow_nan=False)))


ways = pytest.mark.parametrize("way", [over_the_wire, over_json])


@every_space
@ways
def test_a_sample_space_comes_back_with_the_same_anatomy(
    name: str, way: Callable[[Space], Space]
) -> None:
    original = SAMPLE_SPACES[name]
    carried = way(from_gymnasium_space(original))
    back = to_gymnasium_space(carried)
    assert back == original
    assert anatomy(back) == anatomy(original)


@every_space
@ways
def test_a_space_that_was_carried_is_equal_and_of_the_same_class(
    name: str, way: Callable[[Space], Space]
) -> None:
    space = from_gymnasium_space(SAMPLE_SPACES[name])
    carried = way(space)
    assert carried == space
    assert hash(carried) == hash(space)
    assert type(carried) is type(space) is KINDS[space.kind]


@every_space
def test_converting_twice_gives_the_same_space(name: str) -> None:
    space = from_gymnasium_space(SAMPLE_SPACES[name])
    assert from_gymnasium_space(to_gymnasium_space(space)) == space


@every_space
def test_a_conversion_leaves_the_original_as_it_was(name: str) -> None:
    original = SAMPLE_SPACES[name]
    before = anatomy(original)
    back: Any = to_gymnasium_space(from_gymnasium_space(original))
    for child in (back, *getattr(back, "spaces", ())):
        if isinstance(child, gymnasium.spaces.Box):
            child.low[...] = child.high
    assert anatomy(original) == before


@every_sampleable_space
def test_equal_seeds_give_equal_samples(name: str) -> None:
    original = copy.deepcopy(SAMPLE_SPACES[name])
    back = to_gymnasium_space(from_gymnasium_space(original))
    original.seed(7)
    back.seed(7)
    for _ in range(3):
        assert_same(back.sample(), original.sample())


@every_space
def test_a_batched_space_is_the_one_that_gymnasium_makes(name: str) -> None:
    original = copy.deepcopy(SAMPLE_SPACES[name])
    batched = batched_gymnasium_space(from_gymnasium_space(original), 3)
    assert anatomy(batched) == anatomy(batch_space(original, 3))


@every_space
def test_every_space_tells_kind_shape_and_dtype(name: str) -> None:
    original = SAMPLE_SPACES[name]
    space: Any = from_gymnasium_space(original)
    numeric = not isinstance(
        original, (gymnasium.spaces.Text, gymnasium.spaces.Tuple, gymnasium.spaces.Dict)
    )
    assert KINDS[space.kind] is type(space)
    assert space.shape == (original.shape if numeric else None)
    assert space.dtype == (str(original.dtype) if numeric else None)


@given(gymnasium_spaces())
def test_any_space_comes_back_with_the_same_anatomy(original: gymnasium.Space[Any]) -> None:
    space = from_gymnasium_space(original)
    for carried in (space, over_the_wire(space), over_json(space)):
        assert carried == space
        back = to_gymnasium_space(carried)
        assert back == original
        assert anatomy(back) == anatomy(original)


@given(gymnasium_spaces(sampleable=True))
def test_any_space_comes_back_with_equal_samples(original: gymnasium.Space[Any]) -> None:
    back = to_gymnasium_space(from_gymnasium_space(original))
    original.seed(7)
    back.seed(7)
    assert_same(back.sample(), original.sample())


@pytest.mark.parametrize("text", ["a b", "!?\n\t", "漢字🦊", "\x00", "\ud800"])
def test_a_text_of_the_default_charset_comes_back_accepting_every_character(text: str) -> None:
    original = gymnasium.spaces.Text(8)
    back = to_gymnasium_space(from_gymnasium_space(original))
    assert back == original
    assert original == back
    assert text in back
    assert text not in original


@pytest.mark.parametrize("value", ["", "123456789", 5, None, ["a"]])
def test_a_text_of_any_character_still_has_its_length(value: object) -> None:
    assert value not in to_gymnasium_space(spaces.Text(8))


def test_a_charset_of_the_default_characters_as_a_set_is_the_default() -> None:
    charset = frozenset(gymnasium.spaces.Text(1).character_set)
    assert from_gymnasium_space(gymnasium.spaces.Text(4, charset=charset)) == spaces.Text(4)


@pytest.mark.parametrize("charset", [string.ascii_letters, string.digits, "abc ", "", "!"])
def test_another_charset_stays_the_limit(charset: str) -> None:
    original = gymnasium.spaces.Text(4, min_length=0, charset=charset)
    back = to_gymnasium_space(from_gymnasium_space(original))
    assert "~" not in back
    assert charset[:4] in back


def test_a_text_of_any_character_can_be_served_again() -> None:
    once = to_gymnasium_space(from_gymnasium_space(gymnasium.spaces.Text(8)))
    assert "!" in to_gymnasium_space(from_gymnasium_space(once))
    assert "!" in copy.deepcopy(once)


def test_a_conversion_gives_spaces_of_their_own() -> None:
    space = spaces.Box([0.0, 1.0], 2.0)
    one, other = to_gymnasium_space(space), to_gymnasium_space(space)
    assert isinstance(one, gymnasium.spaces.Box)
    one.low[0] = -1.0
    assert to_gymnasium_space(space) == other


def test_a_space_of_gymnasium_has_the_classes_of_numpy_and_python() -> None:
    discrete = to_gymnasium_space(spaces.Discrete(3, start=1, dtype="int16"))
    assert isinstance(discrete, gymnasium.spaces.Discrete)
    assert type(discrete.n) is type(discrete.start) is np.int16
    binary = to_gymnasium_space(spaces.MultiBinary(3))
    assert isinstance(binary, gymnasium.spaces.MultiBinary)
    assert type(binary.n) is int
