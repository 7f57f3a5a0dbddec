"""Seeds of vector environments: an integer, or one per sub-environment, as in Gymnasium."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from gymnasium.utils import seeding

import rlmesh
from support.comparing import assert_same
from support.serving import remote_vector
from support.vector_envs import sync_sub_envs

pytestmark = pytest.mark.usefixtures("transports_in_turn")

STEPS = 12

# What a client takes, and the same as a list, which Gymnasium's own environments take.
SEEDS: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "integer": (7, 7),
    "numpy integer": (np.int64(7), 7),
    "huge integer": (2**80, 2**80),
    "list": ([3, 1, 2], [3, 1, 2]),
    "list with None": ([3, None, 2], [3, None, 2]),
    "list of None": ([None, None, None], [None, None, None]),
    "tuple": ((3, 1, 2), [3, 1, 2]),
    "tuple with None": ((None, 1, None), [None, 1, None]),
    "array": (np.array([3, 1, 2]), [3, 1, 2]),
    "array of small integers": (np.array([3, 1, 2], np.uint8), [3, 1, 2]),
    "array with None": (np.array([3, None, 2], dtype=object), [3, None, 2]),
    "numpy integers in a list": ([np.int32(3), np.uint64(1), 2], [3, 1, 2]),
}


@pytest.mark.parametrize("case", SEEDS)
def test_seeds_of_sub_envs_reach_them(case: str) -> None:
    seed, plain = SEEDS[case]
    with contextlib.closing(sync_sub_envs()) as local, remote_vector(sync_sub_envs()) as client:
        for envs in (local, client):
            # Sub-environments that are given no seed go on with the generator that they have.
            envs.reset(seed=100)
            envs.action_space.seed(1)
        assert_same(client.reset(seed=seed), local.reset(seed=plain), "reset")
        for step in range(STEPS):
            actions = local.action_space.sample()
            assert_same(client.step(actions), local.step(actions), f"step {step}")


WRONG: dict[str, tuple[Any, type[Exception], type[Exception]]] = {
    "too few": ([1, 2], rlmesh.errors.InvalidArgumentError, ValueError),
    "too many": ((1, 2, 3, 4), rlmesh.errors.InvalidArgumentError, ValueError),
    "empty": (np.array([], int), rlmesh.errors.InvalidArgumentError, ValueError),
    "negative": ([1, -2, 3], rlmesh.errors.InvalidArgumentError, ValueError),
    "floats": (np.array([1.0, 2.0, 3.0]), rlmesh.errors.ArgumentTypeError, TypeError),
    "bools": ([True, False, True], rlmesh.errors.ArgumentTypeError, TypeError),
    "texts": (["1", "2", "3"], rlmesh.errors.ArgumentTypeError, TypeError),
    "rows": (np.ones((3, 2), int), rlmesh.errors.ArgumentTypeError, TypeError),
    "an array without axes": (np.array(5), rlmesh.errors.ArgumentTypeError, TypeError),
    "a set": ({1, 2, 3}, rlmesh.errors.ArgumentTypeError, TypeError),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_seeds_are_refused_by_type_and_length_and_reach_no_sub_env(case: str) -> None:
    seed, kind, builtin = WRONG[case]
    with contextlib.closing(sync_sub_envs()) as local, remote_vector(sync_sub_envs()) as client:
        assert_same(client.reset(seed=1), local.reset(seed=1))
        with pytest.raises(kind, match="seed") as caught:
            client.reset(seed=seed)
        assert isinstance(caught.value, builtin)
        actions = local.action_space.sample()
        assert_same(client.step(actions), local.step(actions))


def test_the_length_of_seeds_is_told() -> None:
    with remote_vector(sync_sub_envs()) as client:
        with pytest.raises(
            rlmesh.errors.InvalidArgumentError, match="each of the 3 sub-environments, got 2"
        ):
            client.reset(seed=[1, 2])


def test_np_random_follows_from_an_integer_as_that_of_a_vector_environment() -> None:
    with remote_vector(sync_sub_envs()) as client:
        seed: Any = np.int64(9)
        client.reset(seed=seed)
        assert client.np_random_seed == (9, 10, 11)
        assert client.np_random.random() == seeding.np_random(9)[0].random()


@pytest.mark.parametrize(
    "seed", [[1, 2, 3], (1, 2, 3), np.array([1, 2, 3])], ids=["list", "tuple", "array"]
)
def test_np_random_follows_from_the_seeds_of_sub_envs(seed: Any) -> None:
    with remote_vector(sync_sub_envs()) as client:
        client.reset(seed=9)
        drawn: list[float] = []
        for _ in range(2):
            client.reset(seed=seed)
            assert client.np_random_seed == (1, 2, 3)
            drawn.append(client.np_random.random())
        assert drawn[0] == drawn[1]
        client.reset(seed=[1, 2, 4])
        assert client.np_random.random() != drawn[0]


@pytest.mark.parametrize("seed", [None, [None, None, None]], ids=str)
def test_np_random_goes_on_where_no_sub_env_is_given_a_seed(seed: Any) -> None:
    with remote_vector(sync_sub_envs()) as client:
        client.reset(seed=9)
        generator = client.np_random
        client.reset(seed=seed)
        assert client.np_random is generator
        assert client.np_random_seed == (9, 10, 11)


def test_np_random_stays_where_the_environment_refuses_the_seed() -> None:
    with remote_vector(sync_sub_envs()) as client:
        client.reset(seed=9)
        with pytest.raises(rlmesh.errors.ArgumentTypeError):
            client.reset(seed=1, options={"reset_mask": "no mask"})
        assert client.np_random_seed == (9, 10, 11)
