"""Environments and callers that use PyTorch's tensors and JAX's arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

import rlmesh
from rlmesh.errors import ArgumentTypeError, InvalidActionError, InvalidArgumentError
from support.comparing import assert_same
from support.serving import remote, remote_vector, serving


def with_gradient(value: Any) -> Any:
    tensor = torch.tensor(value)
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def brain_tensor(value: Any) -> Any:
    tensor = torch.tensor(value)
    return tensor.bfloat16() if tensor.is_floating_point() else tensor


def brain_array(value: Any) -> Any:
    array = jnp.asarray(value)
    return array.astype(jnp.bfloat16) if jnp.issubdtype(array.dtype, jnp.floating) else array


# Every number of the tests is one of bfloat16.
ARRAYS: dict[str, Callable[[Any], Any]] = {
    "torch": torch.tensor,
    "torch with a gradient": with_gradient,
    "torch of bfloat16": brain_tensor,
    "jax": jnp.asarray,
    "jax of bfloat16": brain_array,
}


class Tensors(gymnasium.Env[Any, Any]):
    """Everything that it returns is an array of another library."""

    def __init__(self, array: Callable[[Any], Any]) -> None:
        self.observation_space = spaces.Box(-10, 10, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self._array = array
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._array([0.0, 0.0]), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._steps += 1
        array = self._array
        info = {
            "success": array(False),
            "distance": array(0.5),
            "count": array(self._steps),
            "row": array([1.5, 2.5]),
            "nested": {"flags": [array([True, False])]},
        }
        observation = array(np.asarray(action, np.float32) * self._steps)
        return observation, array(0.25), array(False), array(self._steps == 2), info


@pytest.mark.parametrize("library", ARRAYS)
def test_what_an_environment_returns_in_arrays_of_another_library_arrives_as_numpys(
    library: str,
) -> None:
    with remote(Tensors(ARRAYS[library])) as client:
        assert_same(client.reset(), (np.zeros(2, np.float32), {}))
        action = np.array([0.5, -0.25], np.float32)
        for step in (1, 2):
            observation, reward, terminated, truncated, info = client.step(action)
            assert_same(observation, action * step)
            assert (reward, terminated, truncated) == (0.25, False, step == 2)
            assert type(reward) is float
            assert type(truncated) is bool
            assert not info["success"]
            assert (float(info["distance"]), int(info["count"])) == (0.5, step)
            assert np.asarray(info["row"]).tolist() == [1.5, 2.5]
            assert info["nested"]["flags"][0].tolist() == [True, False]
        assert client.notices == ()


class BatchedTensors(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """A vector environment as simulators have them: every result is one array."""

    def __init__(self, array: Callable[[Any], Any]) -> None:
        single = Tensors(array)
        self.num_envs = 2
        self.metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(self.single_observation_space, 2)
        self.action_space = batch_space(self.single_action_space, 2)
        self._array = array

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self._array([[0.0, 0.0]] * 2), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        array = self._array
        flags = array([False, False])
        info = {"success": flags, "_success": array([True, True])}
        return array(np.asarray(actions, np.float32)), array([0.25, 0.25]), flags, flags, info


def batched_envs(library: str) -> list[Any]:
    envs: list[Any] = [BatchedTensors(ARRAYS[library])]
    if "gradient" not in library and "bfloat16" not in library:
        # Gymnasium's own SyncVectorEnv takes no others.
        envs.append([Tensors(ARRAYS[library]) for _ in range(2)])
    return envs


@pytest.mark.parametrize("library", ARRAYS)
def test_a_vector_environment_may_return_arrays_of_another_library(library: str) -> None:
    for envs in batched_envs(library):
        with remote_vector(envs) as client:
            client.reset()
            ones = np.ones((2, 2), np.float32)
            observations, rewards, terminations, truncations, infos = client.step(ones)
            assert_same(observations, ones)
            assert_same(rewards, np.full(2, 0.25))
            assert_same((terminations, truncations), (np.zeros(2, bool), np.zeros(2, bool)))
            assert not np.any(np.asarray(infos["success"], bool))
            assert not [key for key in infos if "rlmesh" in key]


def torch_actions() -> dict[str, Any]:
    return {
        "tensor": torch.tensor([0.5, -0.25]),
        "double": torch.tensor([0.5, -0.25], dtype=torch.float64),
        "half": torch.tensor([0.5, -0.25], dtype=torch.float16),
        "bfloat16": torch.tensor([0.5, -0.25], dtype=torch.bfloat16),
        "gradient": torch.tensor([0.5, -0.25], requires_grad=True),
        "JAX": jnp.asarray([0.5, -0.25]),
        "JAX's bfloat16": jnp.asarray([0.5, -0.25], jnp.bfloat16),
        "row with a gradient": [torch.tensor(0.5, requires_grad=True), torch.tensor(-0.25)],
        "row of bfloat16": [torch.tensor(0.5), torch.tensor(-0.25, dtype=torch.bfloat16)],
        "row of JAX's bfloat16": [jnp.bfloat16(0.5), jnp.bfloat16(-0.25)],
        "negative bit": torch.tensor([-0.5j, 0.25j]).conj().imag,
    }


@pytest.mark.parametrize("name", torch_actions())
def test_an_action_may_be_an_array_of_another_library(name: str) -> None:
    import rlmesh.torch

    with serving(Tensors(torch.tensor)) as server:
        for make in (rlmesh.RemoteEnv, rlmesh.torch.RemoteEnv):
            with contextlib.closing(make(server.address)) as client:
                client.reset()
                observation, *_ = client.step(torch_actions()[name])
                assert_same(np.asarray(observation), np.array([0.5, -0.25], np.float32))


def test_an_action_that_numpy_cannot_read_is_refused_with_what_to_do() -> None:
    import rlmesh.torch

    with serving(Tensors(torch.tensor)) as server:
        for make in (rlmesh.RemoteEnv, rlmesh.torch.RemoteEnv):
            with contextlib.closing(make(server.address)) as client:
                client.reset()
                for action in (torch.ones(2, device="meta"), torch.ones(2).to_sparse()):
                    with pytest.raises(InvalidActionError, match="in main memory and of a dtype"):
                        client.step(action)
                client.step(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:99", "this process has no such device"),
        ("meta", "it has cpu"),
        ("gpu!", "PyTorch says"),
    ],
)
def test_a_device_that_is_not_there_is_refused_and_holds_no_session(
    device: str, words: str
) -> None:
    import rlmesh.torch

    with serving(Tensors(torch.tensor)) as server:
        for make in (rlmesh.torch.RemoteEnv, rlmesh.torch.RemoteVectorEnv):
            with pytest.raises(InvalidArgumentError, match=words):
                make(server.address, device=device)
        with pytest.raises(ArgumentTypeError, match="got list"):
            rlmesh.torch.Model(torch.nn.Linear(1, 1), device=[])
        rlmesh.RemoteEnv(server.address).close()


def test_the_torch_client_takes_actions_that_require_a_gradient() -> None:
    import rlmesh.torch

    with (
        serving(Tensors(torch.tensor)) as server,
        contextlib.closing(rlmesh.torch.RemoteEnv(server.address, device="cpu")) as client,
    ):
        client.reset()
        action = torch.tensor([0.5, -0.25], requires_grad=True)
        observation, *_ = client.step(action)
        assert torch.equal(observation, action)


def test_a_plain_client_of_jax_arrays_is_as_in_process() -> None:
    local = Tensors(jnp.asarray)
    local.reset()
    with serving(Tensors(jnp.asarray)) as server, rlmesh.RemoteEnv(server.address) as client:
        client.reset()
        action = jnp.asarray([0.5, 0.5])
        assert_same(client.step(action)[0], np.asarray(local.step(action)[0]))
