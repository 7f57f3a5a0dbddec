"""A contract that no environment can have, or whose values no message holds, is refused."""

from __future__ import annotations

from typing import Any

import pytest

import rlmesh
from rlmesh.contract import EnvContract, compare_contracts, received_contract
from rlmesh.errors import UnsupportedSpaceError
from rlmesh.spaces import Box, Dict, MultiDiscrete, Text, Tuple
from rlmesh.spaces.batching import is_batched
from support.contracts import COIN, a_contract
from support.plain_envs import PlainCounter

GIBIBYTE = 1 << 30
PAIR = MultiDiscrete([2, 2])

REFUSED: dict[str, tuple[EnvContract, str]] = {
    "no sub-environments": (a_contract(vector=True, num_envs=0), r"\$\.num_envs: .* got 0"),
    "no environment": (a_contract(num_envs=0), r"\$\.num_envs: expected 1 for a single"),
    "sub-environments of a single one": (
        a_contract(num_envs=2),
        r"\$\.num_envs: expected 1 for a single",
    ),
    "a box that is too large": (
        a_contract(observation_space=Box(0, 255, (GIBIBYTE + 1,), "uint8")),
        rf"\$\.observation_space: .* at most {GIBIBYTE} bytes",
    ),
    "boxes that are too large together": (
        a_contract(action_space=Tuple([Box(0.0, 1.0, (GIBIBYTE // 8,))] * 3)),
        r"\$\.action_space",
    ),
    "too many sub-environments": (
        a_contract(vector=True, num_envs=2**32 - 1, observation_space=Text(3)),
        r"\$\.observation_space",
    ),
    "batched texts of other sub-environments": (
        a_contract(
            vector=True,
            num_envs=2**32 - 1,
            observation_space=Text(3),
            batched_observation_space=Tuple([Text(3)]),
        ),
        r"\$\.batched_observation_space: expected 4294967295 sub-environments",
    ),
    "a batched space of another kind": (
        a_contract(vector=True, num_envs=2, batched_action_space=COIN),
        r"\$\.batched_action_space: expected 2 sub-environments",
    ),
}


@pytest.mark.parametrize(("contract", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_received_contract_is_refused_by_its_place(contract: EnvContract, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        received_contract(contract.to_proto())


def test_a_received_contract_with_what_all_have_is_taken() -> None:
    contract = a_contract(vector=True, num_envs=2, batched_action_space=PAIR)
    assert received_contract(contract.to_proto()) == contract


@pytest.mark.parametrize(
    ("space", "single", "batched"),
    [
        (Dict({"b": PAIR, "a": PAIR}), Dict({"a": COIN, "b": COIN}), True),
        (Dict({"a": PAIR}), Dict({"a": COIN, "b": COIN}), False),
        (Tuple([PAIR]), Tuple([COIN, COIN]), False),
        (Tuple([Text(1), Text(2)]), Text(3), True),
        (Tuple([Text(1)]), Text(3), False),
        (COIN, Tuple([COIN]), False),
    ],
)
def test_sub_envs_have_the_structure_of_one(space: Any, single: Any, batched: bool) -> None:
    assert is_batched(space, single, 2) is batched


def test_an_environment_whose_values_fit_into_no_message_is_refused_at_once() -> None:
    env: Any = PlainCounter()
    env.observation_space = Box(0.0, 1.0, (GIBIBYTE // 4,))
    with pytest.raises(UnsupportedSpaceError, match="which a message holds"):
        rlmesh.EnvServer(env)


def test_spaces_are_compared_by_the_numbers_that_they_hold_however_large_they_are() -> None:
    one, other = (
        a_contract(observation_space=Box(low, 9.0, (1 << 20, 1 << 20))) for low in (0.0, 1.0)
    )
    (difference,) = compare_contracts(one, other)
    assert (difference.aspect, difference.breaking) == ("bounds", False)
    assert not compare_contracts(one, one)
