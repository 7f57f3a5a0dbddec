from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode as GymnasiumAutoresetMode

import rlmesh
from rlmesh.contract import AutoresetMode, EnvContract, read_contract
from rlmesh.errors import InvalidEnvError, UnsupportedSpaceError
from support.plain_envs import PlainCounter, PlainVector
from support.sample_envs import EchoEnv, ScriptedEnv, echo_vector


def shaped(**attributes: Any) -> Any:
    """A minimal object of an environment's shape; attributes replace or, as None, stay."""

    class Shaped:
        observation_space: Any = spaces.Discrete(2)
        action_space: Any = spaces.Discrete(2)

        def reset(self, seed: Any = None, options: Any = None) -> Any: ...
        def step(self, action: Any) -> Any: ...
        def close(self) -> None: ...

    env = Shaped()
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


def vector_shaped(**attributes: Any) -> Any:
    return shaped(
        **{
            "num_envs": 2,
            "single_observation_space": spaces.Discrete(2),
            "single_action_space": spaces.Discrete(2),
            "observation_space": spaces.MultiDiscrete([2, 2]),
            "action_space": spaces.MultiDiscrete([2, 2]),
            **attributes,
        }
    )


def test_a_registered_environment_is_told_by_its_id_and_registration() -> None:
    contract = read_contract(gymnasium.make("CartPole-v1", render_mode="rgb_array"))
    assert contract.id == "CartPole-v1"
    assert contract.vector is False
    assert contract.num_envs == 1
    assert contract.render_mode == "rgb_array"
    assert contract.autoreset_mode is None
    assert contract.spec is not None
    assert contract.spec.id == "CartPole-v1"
    assert contract.spec.max_episode_steps == 500
    assert contract.spec.reward_threshold == 475.0
    assert contract.spec.kwargs == {"render_mode": "rgb_array"}


def test_an_environment_without_a_registration_is_unknown() -> None:
    contract = read_contract(EchoEnv("dict"))
    assert contract.id == "UnknownEnv-v1"
    assert contract.spec is None
    assert contract.render_mode is None


def test_metadata_arrives_as_the_environment_has_it() -> None:
    env = ScriptedEnv()
    env.metadata = {
        "render_modes": ["ansi"],
        "render_fps": 7,
        "deep": {"tuple": (1, 2.5), "none": None, "flag": True, "big": 2**70, "bytes": b"\xff"},
    }
    metadata = read_contract(env).metadata
    assert dict(metadata) == env.metadata
    assert type(metadata["deep"]["tuple"]) is tuple
    assert metadata["deep"]["flag"] is True


def test_the_spaces_are_those_of_one_sub_env() -> None:
    contract = read_contract(echo_vector("box", 3))
    assert contract.vector is True
    assert contract.num_envs == 3
    assert contract.observation_space == rlmesh.spaces.from_gymnasium_space(
        EchoEnv("box").observation_space
    )
    assert contract.batched_observation_space is None
    assert contract.batched_action_space is None


def test_space_fields_are_told_as_the_design_promises() -> None:
    contract: Any = read_contract(gymnasium.make("CartPole-v1"))
    assert contract.observation_space.kind == "box"
    assert contract.observation_space.shape == (4,)
    assert contract.observation_space.dtype == "float32"
    assert contract.action_space.kind == "discrete"
    assert contract.action_space.n == 2


@pytest.mark.parametrize("mode", list(GymnasiumAutoresetMode))
def test_the_autoreset_mode_is_told(mode: GymnasiumAutoresetMode) -> None:
    contract = read_contract(echo_vector("discrete", 2, mode))
    assert contract.autoreset_mode is AutoresetMode[mode.name]
    assert "autoreset_mode" not in contract.metadata


@pytest.mark.parametrize(
    "mode", ["next_step", "NEXT_STEP", "NextStep", AutoresetMode.NEXT_STEP], ids=repr
)
def test_the_autoreset_mode_of_a_plain_object_is_read_from_its_word(mode: object) -> None:
    contract = read_contract(vector_shaped(metadata={"autoreset_mode": mode}))
    assert contract.autoreset_mode is AutoresetMode.NEXT_STEP


def test_an_unknown_autoreset_mode_is_refused() -> None:
    with pytest.raises(InvalidEnvError, match="next_step, same_step, disabled, got 'sometimes'"):
        read_contract(vector_shaped(metadata={"autoreset_mode": "sometimes"}))


def test_sub_envs_with_bounds_of_their_own_keep_them() -> None:
    env = vector_shaped(
        single_observation_space=spaces.Box(-1, 1, (1,)),
        observation_space=spaces.Box(
            np.array([[-1], [-5]]), np.array([[1], [5]]), dtype=np.float32
        ),
    )
    contract: Any = read_contract(env)
    assert rlmesh.spaces.to_gymnasium_space(contract.batched_observation_space) == (
        env.observation_space
    )


def test_batched_spaces_that_are_none_of_the_sub_envs_are_refused() -> None:
    env = vector_shaped(observation_space=spaces.MultiDiscrete([2, 2, 2]))
    with pytest.raises(InvalidEnvError, match="must hold 2 sub-environments"):
        read_contract(env)


def test_plain_objects_with_spaces_of_rlmesh_are_read() -> None:
    contract = read_contract(PlainCounter(render_mode="ansi"))
    assert contract.id == "UnknownEnv-v1"
    assert contract.render_mode == "ansi"
    assert contract.action_space == PlainCounter().action_space
    assert read_contract(PlainVector()).num_envs == 2


def test_no_method_of_the_environment_is_called() -> None:
    env = ScriptedEnv()
    read_contract(env)
    assert env.calls == []


@pytest.mark.parametrize("env", [None, 7, "CartPole-v1", object(), {}, shaped])
def test_what_is_no_environment_is_refused(env: object) -> None:
    with pytest.raises(InvalidEnvError, match="env must be") as caught:
        read_contract(env)
    assert isinstance(caught.value, TypeError)


def test_a_class_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidEnvError, match="the class ScriptedEnv; make an instance"):
        read_contract(ScriptedEnv)


@pytest.mark.parametrize("name", ["reset", "step", "close"])
def test_a_missing_method_is_named(name: str) -> None:
    env = shaped(**{name: None})
    with pytest.raises(InvalidEnvError, match=rf"Shaped without {name}\(\)"):
        read_contract(env)


def test_a_missing_space_is_named() -> None:
    class Spaceless(gymnasium.Env[Any, Any]):
        action_space = spaces.Discrete(2)

    with pytest.raises(InvalidEnvError, match="Spaceless without observation_space"):
        read_contract(Spaceless())


@pytest.mark.parametrize("name", ["observation_space", "action_space"])
def test_a_space_of_none_is_named(name: str) -> None:
    with pytest.raises(InvalidEnvError, match=rf"env\.{name} of Shaped is None"):
        read_contract(shaped(**{name: None}))


def test_an_unsupported_space_is_refused_with_its_place() -> None:
    arm = spaces.Tuple([spaces.Discrete(2), spaces.Sequence(spaces.Discrete(2))])
    env = shaped(observation_space=spaces.Dict({"arm": arm}))
    with pytest.raises(UnsupportedSpaceError, match=r"\$\.arm\[1\]") as caught:
        read_contract(env)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("space", [7, "Discrete(2)", {"a": spaces.Discrete(2)}, np.zeros(3)])
def test_what_is_no_space_is_refused(space: object) -> None:
    with pytest.raises(UnsupportedSpaceError) as caught:
        read_contract(shaped(action_space=space))
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("num_envs", [0, -1, 2.5, None, "two", float("inf"), float("nan")])
def test_a_number_of_sub_envs_that_is_none_is_refused(num_envs: object) -> None:
    with pytest.raises(InvalidEnvError, match="num_envs of Shaped must be a positive integer"):
        read_contract(vector_shaped(num_envs=num_envs))


def test_metadata_that_is_no_dict_is_refused() -> None:
    with pytest.raises(InvalidEnvError, match="metadata of Shaped must be a dict, got list"):
        read_contract(shaped(metadata=["rgb_array"]))


def test_a_wrapper_without_a_limit_is_told_as_one() -> None:
    contract = read_contract(gymnasium.make("Pendulum-v1", max_episode_steps=-1))
    assert contract.spec is not None
    assert contract.spec.max_episode_steps is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: gymnasium.make("CartPole-v1"),
        lambda: EchoEnv("nested"),
        lambda: echo_vector("text", 4),
        PlainVector,
    ],
    ids=["registered", "nested", "vector", "plain"],
)
def test_a_contract_survives_the_wire_and_a_dict(make: Callable[[], Any]) -> None:
    contract = read_contract(make())
    assert EnvContract.from_proto(contract.to_proto()) == contract
    assert EnvContract.from_dict(contract.to_dict()) == contract


def test_a_contract_is_frozen_and_hashable() -> None:
    contract, twin = (read_contract(gymnasium.make("CartPole-v1")) for _ in range(2))
    assert contract == twin
    assert hash(contract) == hash(twin)
    with pytest.raises(dataclasses.FrozenInstanceError):
        contract.id = "Other-v0"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] # misuse
