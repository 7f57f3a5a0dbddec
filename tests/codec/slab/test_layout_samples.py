"""Every sample of every space is equal after encoding and decoding."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Tuple
from gymnasium.vector.utils import batch_space
from hypothesis import given, reject
from hypothesis import strategies as st

from rlmesh.codec.checks.conformance import Policy, compile_check
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.spaces import from_gymnasium_space
from support.comparing import assert_same
from support.sample_spaces import SAMPLE_SPACES, UNSAMPLEABLE
from support.space_strategies import gymnasium_spaces

Space = gymnasium.Space[Any]

SAMPLED = sorted(SAMPLE_SPACES.keys() - UNSAMPLEABLE)
# Gymnasium makes Boxes of their batches, whose bounds are too far apart for it.
UNSAMPLEABLE_BATCHED = {"box_integer_bounded_below", "multi_discrete_extremes"}
SEEDS = st.integers(0, 2**32 - 1)


def sampled(space: Space, num_envs: int | None, seed: int) -> Any:
    whole = deepcopy(space) if num_envs is None else batch_space(space, num_envs)
    whole.seed(seed)
    return whole.sample()


def as_carried(space: Space, value: Any) -> Any:
    """A sample as the space says it: Gymnasium's own stray from that in two places.

    A Box of integers of shape `()` samples a scalar, and a batched Dict sorts its keys anew.
    """
    if isinstance(space, Dict):
        return {key: as_carried(child, value[key]) for key, child in space.spaces.items()}
    if isinstance(space, Tuple):
        pairs = zip(space.spaces, value, strict=True)
        return tuple(as_carried(child, part) for child, part in pairs)
    return np.asarray(value) if isinstance(space, Box) else value


def is_member(space: Space, num_envs: int | None, value: Any) -> bool:
    """Whether Gymnasium finds its sample in its space.

    It loses characters NUL at a text's end, and rounds large integers of a batch to float64.
    """
    whole = space if num_envs is None else batch_space(space, num_envs)
    with np.errstate(over="ignore"):  # of an integer, in releases before 1.4
        return whole.contains(value)


def assert_carried(space: Space, num_envs: int | None, value: Any) -> None:
    ours = from_gymnasium_space(space)
    layout = compile_layout(ours, num_envs)
    expected = as_carried(space, value)
    slab = layout.encode(value)
    assert len(slab) >= layout.size
    assert layout.has_text or len(slab) == layout.size
    assert_same(layout.decode(slab), expected)
    assert_same(layout.decode(slab, copy=False), expected)
    buffer = memoryview(bytearray(b"\xa5" * (len(slab) + 24)))
    assert layout.encode_into(value, buffer, 8) == len(slab)
    assert_same(layout.decode(buffer, 8, len(slab)), expected)
    assert_same(layout.decode(buffer, 8, len(slab), copy=False), expected)
    assert bytes(buffer[:8]) == b"\xa5" * 8
    assert bytes(buffer[8 + len(slab) :]) == b"\xa5" * 16
    if is_member(space, num_envs, expected):
        check = compile_check(ours, num_envs, layout)
        assert check(slab, 0, Policy.STRICT) == []
        assert check(buffer, 8, Policy.STRICT) == []


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sample_of_the_catalogue_is_carried(name: str) -> None:
    space = SAMPLE_SPACES[name]
    for seed in range(3):
        assert_carried(space, None, sampled(space, None, seed))


@pytest.mark.parametrize("name", sorted(set(SAMPLED) - UNSAMPLEABLE_BATCHED))
def test_a_batched_sample_of_the_catalogue_is_carried(name: str) -> None:
    space = SAMPLE_SPACES[name]
    for num_envs in (1, 2, 5):
        assert_carried(space, num_envs, sampled(space, num_envs, seed=num_envs))


def drawn(space: Space, num_envs: int | None, seed: int) -> Any:
    """A sample, if Gymnasium can draw one: not from 0.0 to -0.0, nor from some batches."""
    try:
        return sampled(space, num_envs, seed)
    except (ValueError, OverflowError):
        reject()


@given(gymnasium_spaces(sampleable=True), SEEDS)
def test_a_sample_of_any_space_is_carried(space: Space, seed: int) -> None:
    assert_carried(space, None, drawn(space, None, seed))


@given(gymnasium_spaces(sampleable=True), st.integers(1, 5), SEEDS)
def test_a_batched_sample_of_any_space_is_carried(space: Space, num_envs: int, seed: int) -> None:
    assert_carried(space, num_envs, drawn(space, num_envs, seed))
