"""The batched space that a vector environment declares, compared with Gymnasium's."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Dict as GymnasiumDict
from gymnasium.vector.utils import batch_differing_spaces, batch_space

from rlmesh.errors import InvalidEnvError
from rlmesh.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple, to_gymnasium_space
from rlmesh.spaces.batching import batch_as_declared

SINGLE = Dict({"a": Box(0.0, 1.0, (2,)), "b": Tuple([Discrete(3), Text(4)])})


def test_the_batched_space_of_gymnasium_needs_no_mention() -> None:
    declared = batch_space(to_gymnasium_space(SINGLE), 2)
    assert batch_as_declared(declared, SINGLE, 2, "observation_space") is None


def test_sub_envs_with_bounds_of_their_own_are_kept() -> None:
    num_envs = [to_gymnasium_space(Box(0.0, high, (2,))) for high in (1.0, 5.0)]
    declared = batch_differing_spaces(num_envs)
    kept = batch_as_declared(declared, Box(0.0, 5.0, (2,)), 2, "observation_space")
    assert kept == Box(0.0, np.array([[1.0, 1.0], [5.0, 5.0]]), (2, 2))


def test_an_rlmesh_space_may_be_declared() -> None:
    declared = MultiDiscrete([3, 3])
    assert batch_as_declared(declared, Discrete(3), 2, "action_space") == declared
    assert batch_as_declared(MultiDiscrete([3, 2]), Discrete(3), 2, "action_space") is not None


@pytest.mark.parametrize(
    "declared",
    [
        to_gymnasium_space(SINGLE),
        batch_space(to_gymnasium_space(SINGLE), 3),
        batch_space(GymnasiumDict({"a": to_gymnasium_space(Box(0.0, 1.0, (2,)))}), 2),
        Discrete(2),
    ],
    ids=["one sub-environment", "three sub-environments", "a missing key", "another kind"],
)
def test_what_is_no_batch_of_the_sub_envs_is_refused(declared: object) -> None:
    with pytest.raises(
        InvalidEnvError, match=r"env\.observation_space must hold 2 sub-environments"
    ):
        batch_as_declared(declared, SINGLE, 2, "observation_space")
