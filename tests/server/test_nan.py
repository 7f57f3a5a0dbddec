"""NaN: rejected, unless the server is made to deliver it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
)
from rlmesh.spaces import from_gymnasium_space
from support.serving import serving

# Quiet and signalling NaN of both signs, with payloads.
NAN_BITS: dict[int, list[int]] = {
    2: [0x7E00, 0xFE01, 0x7D02],
    4: [0x7FC00000, 0xFFC12345, 0x7FA00001],
    8: [0x7FF8000000000000, 0xFFF8123456789ABC, 0x7FF4000000000001],
}


def unbounded(count: int, dtype: Any) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (count,), dtype)


BOXES: dict[str, spaces.Space[Any]] = {
    "float16": unbounded(3, np.float16),
    "float32": unbounded(4, np.float32),
    "float64": unbounded(3, np.float64),
    "many": unbounded(9000, np.float32),
    "without axes": spaces.Box(-np.inf, np.inf, (), np.float64),
    "two axes": spaces.Box(-np.inf, np.inf, (5, 30), np.float32),
    "bounded": spaces.Box(-1, 1, (3,), np.float32),
    "bounded on one side": spaces.Box(0, np.inf, (40,), np.float64),
    "bounds of each": spaces.Box(
        np.array([-1, -2, -np.inf], np.float32), np.array([1, np.inf, 2], np.float32)
    ),
}
SPACES: dict[str, spaces.Space[Any]] = {
    **BOXES,
    "dict": spaces.Dict({**BOXES, "coin": spaces.Discrete(2), "name": spaces.Text(4)}),
}


def padded(space: spaces.Space[Any], *, start: int = 0) -> Any:
    """A value of which every float but the last one of an array is NaN."""
    if isinstance(space, spaces.Dict):
        return {
            key: padded(child, start=start + index)
            for index, (key, child) in enumerate(space.items())
        }
    if isinstance(space, spaces.Discrete):
        return np.int64(1)
    if isinstance(space, spaces.Text):
        return "ab"
    assert space.dtype is not None
    assert space.shape is not None
    value = np.zeros(space.shape, space.dtype)
    bits = NAN_BITS[space.dtype.itemsize]
    count = max(value.size - 1, 1)
    pattern = np.array([bits[(start + index) % len(bits)] for index in range(count)], np.uint64)
    flat = value.reshape(-1).view(f"u{space.dtype.itemsize}")
    flat[:count] = pattern.astype(flat.dtype)
    return value


def bits_of(value: Any) -> Any:
    """What tells values apart that are NaN."""
    if isinstance(value, dict):
        return {key: bits_of(child) for key, child in value.items()}
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()


class Padding(gymnasium.Env[Any, Any]):
    """Observes a value of its space with NaN; the info of a step has the bits of the action."""

    def __init__(
        self, space: spaces.Space[Any], observation: Any = None, *, reward: float = 0.0
    ) -> None:
        self.observation_space = self.action_space = space
        self.observation = padded(space) if observation is None else observation
        self.reward = reward
        self.action: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.action = action
        return self.observation, self.reward, False, False, {"action": bits_of(action)}


@contextlib.contextmanager
def client_of(env: Any, **settings: Any) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    with (
        serving(env, **settings) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        yield client


delivering = functools.partial(client_of, nan="deliver")


def assert_delivers(client: rlmesh.RemoteEnv[Any, Any], space: spaces.Space[Any]) -> None:
    observed, acted = padded(space), padded(space, start=1)
    observation, info = client.reset()
    assert (bits_of(observation), info) == (bits_of(observed), {})
    observation, *_, info = client.step(acted)
    assert bits_of(observation) == bits_of(observed)
    assert info == {"action": bits_of(acted)}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.usefixtures("each_transport")
def test_nan_arrives_bit_for_bit_in_observations_and_actions(name: str) -> None:
    space = SPACES[name]
    with delivering(Padding(space)) as client:
        assert_delivers(client, space)


@pytest.mark.parametrize("policy", ["warn", "strict", "off"])
def test_no_policy_lists_or_rejects_what_is_delivered(policy: str) -> None:
    space = SPACES["dict"]
    with delivering(Padding(space), validation=policy) as client:
        assert_delivers(client, space)


@pytest.mark.usefixtures("each_transport")
def test_an_environment_in_a_worker_process_delivers_nan() -> None:
    space = SPACES["dict"]
    with delivering(functools.partial(Padding, space), isolation="process") as client:
        assert client.env_contract.delivers_nan
        assert_delivers(client, space)


def test_each_session_of_a_callable_delivers_nan() -> None:
    space = SPACES["bounded"]
    with serving(lambda: Padding(space), sessions=2, nan="deliver") as server:
        for _ in range(2):
            with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
                assert_delivers(client, space)


def sub_envs(space: spaces.Space[Any]) -> list[Callable[[], Padding]]:
    return [functools.partial(Padding, space, padded(space, start=index)) for index in range(3)]


@pytest.mark.parametrize("form", ["vector", "list"])
@pytest.mark.parametrize("name", ["float32", "many", "bounded", "dict"])
@pytest.mark.usefixtures("each_transport")
def test_sub_environments_deliver_nan(name: str, form: str) -> None:
    space = SPACES[name]
    makers = sub_envs(space)
    with contextlib.closing(SyncVectorEnv(makers)) as local:
        env: Any = SyncVectorEnv(makers) if form == "vector" else [make() for make in makers]
        actions = local.reset()[0]
        with (
            serving(env, nan="deliver") as server,
            contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client,
        ):
            observations, _ = client.reset()
            assert bits_of(observations) == bits_of(actions)
            observations, *_, infos = client.step(actions)
            assert bits_of(observations) == bits_of(actions)
            assert "rlmesh.conformance.warning" not in infos
            expected = local.step(actions)[4]
    assert repr(infos) == repr(expected)


@pytest.mark.usefixtures("each_transport")
def test_single_endpoints_that_are_driven_as_a_vector_deliver_nan() -> None:
    space = SPACES["float32"]
    with (
        serving(Padding(space), nan="deliver") as one,
        serving(Padding(space), nan="deliver") as other,
        contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any]([one.address, other.address])
        ) as client,
    ):
        rows = np.stack([padded(space)] * 2)
        assert bits_of(client.reset()[0]) == bits_of(rows)
        assert bits_of(client.step(rows)[0]) == bits_of(rows)


@pytest.mark.usefixtures("each_transport")
def test_several_steps_at_once_deliver_nan() -> None:
    space = SPACES["float32"]
    with delivering(Padding(space)) as client:
        client.reset()
        steps = client.step_many([padded(space, start=index) for index in range(3)])
        assert bits_of(steps.observations) == bits_of(np.stack([padded(space)] * 3))
        told = [info["action"] for info in steps.infos]
    assert told == [bits_of(padded(space, start=index)) for index in range(3)]


@pytest.mark.parametrize("settings", [{}, {"nan": "reject"}], ids=["default", "reject"])
@pytest.mark.parametrize("isolation", [None, "process"])
@pytest.mark.usefixtures("each_transport")
def test_nan_is_rejected_unless_the_server_delivers_it(
    settings: dict[str, Any], isolation: str | None
) -> None:
    space = SPACES["float32"]
    make = functools.partial(Padding, space)
    with client_of(make, isolation=isolation, **settings) as client:
        assert not client.env_contract.delivers_nan
        with pytest.raises(InvalidObservationError, match=r"nan at .* is no number"):
            client.reset()
        with pytest.raises(InvalidActionError, match=r"nan at .* is no number"):
            client.step(padded(space))


@pytest.mark.parametrize(
    ("space", "good", "bad"),
    [
        (spaces.Discrete(2), 1, np.nan),
        (spaces.MultiDiscrete([2, 2]), [0, 1], [0, np.nan]),
        (spaces.MultiBinary(2), [0, 1], [0, np.nan]),
        (spaces.Box(0, 255, (2,), np.uint8), [0, 1], [0, np.nan]),
        (spaces.Box(0, 1, (2,), cast("Any", np.bool_)), [0, 1], [0, np.nan]),
    ],
    ids=str,
)
def test_nan_that_is_no_element_of_a_box_of_floats_is_rejected(
    space: spaces.Space[Any], good: Any, bad: Any
) -> None:
    env = Padding(space, good)
    with delivering(env) as client:
        client.reset()
        with pytest.raises(InvalidActionError):
            client.step(bad)
        assert env.action is None
        env.observation = bad
        with pytest.raises(InvalidObservationError):
            client.step(good)


def test_a_deviation_beside_nan_is_found() -> None:
    env = Padding(SPACES["bounded"], np.array([np.nan, 1.5, np.nan], np.float32))
    with delivering(env) as client:
        _, info = client.reset()
    [listed] = info["rlmesh.conformance.warning"]
    assert (listed["kind"], listed["detail"]) == (
        "bounds",
        "1.5 at [1] is above the largest allowed, 1.0",
    )


@pytest.mark.parametrize("nan", ["reject", "deliver"])
def test_a_reward_of_nan_and_nan_in_an_info_are_delivered_in_any_case(nan: str) -> None:
    class Unsure(Padding):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return 1, float("nan"), False, False, {"loss": np.array([np.nan])}

    with client_of(Unsure(spaces.Discrete(2), 0), nan=nan) as client:
        client.reset()
        _, reward, *_, info = client.step(1)
    assert np.isnan(reward)
    assert np.isnan(info["loss"]).all()


def test_the_contract_says_whether_nan_is_delivered() -> None:
    contracts = []
    for nan in ("reject", "deliver"):
        with serving(Padding(SPACES["float32"]), nan=nan) as server:
            contracts.append(server.env_contract)
    rejecting, delivered = contracts
    assert (rejecting.delivers_nan, delivered.delivers_nan) == (False, True)
    assert rejecting.fingerprint != delivered.fingerprint
    assert rlmesh.EnvContract.from_json(delivered.to_json()) == delivered
    assert delivered.observation_space == from_gymnasium_space(SPACES["float32"])


def test_a_client_that_expects_no_nan_is_refused_where_it_is_delivered() -> None:
    env = Padding(SPACES["float32"])
    with serving(env) as server:
        expected = server.env_contract
    with (
        serving(Padding(SPACES["float32"]), nan="deliver") as server,
        pytest.raises(rlmesh.errors.ContractMismatchError, match="delivers_nan was False, is True"),
    ):
        rlmesh.RemoteEnv[Any, Any](server.address, expect=expected)


def test_endpoints_that_treat_nan_in_two_ways_are_no_vector_environment() -> None:
    space = SPACES["float32"]
    with (
        serving(Padding(space)) as one,
        serving(Padding(space), nan="deliver") as other,
        pytest.raises(InvalidArgumentError) as caught,
    ):
        rlmesh.RemoteVectorEnv[Any, Any]([one.address, other.address])
    assert str(caught.value) == (
        f"the endpoints of one vector environment treat NaN alike, but {other.address} delivers "
        f"it and {one.address} rejects it; serve all of them with the same nan="
    )


@pytest.mark.parametrize("word", ["", "keep", "DELIVER", "allow"])
def test_an_unknown_word_is_refused_with_the_allowed_ones(word: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        rlmesh.EnvServer(Padding(SPACES["float32"]), nan=cast("Any", word))
    assert str(caught.value) == f"nan must be one of 'reject', 'deliver', got {word!r}"


@pytest.mark.parametrize("word", [None, True, float("nan"), ["deliver"]], ids=repr)
def test_what_is_no_word_is_refused_with_the_allowed_ones(word: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^nan must be one of 'reject', 'deliver', got "):
        rlmesh.EnvServer(Padding(SPACES["float32"]), nan=word)
