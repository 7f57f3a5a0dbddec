"""`rlmesh.torch`: the same clients with PyTorch tensors."""

from __future__ import annotations

import contextlib

import gymnasium as gym
import numpy as np
import pytest

from support.sample_envs import ScriptedEnv
from support.serving import serving

torch = pytest.importorskip("torch", reason="PyTorch is optional and large")


def test_a_client_takes_and_gives_tensors() -> None:
    import rlmesh.torch

    with (
        serving(ScriptedEnv()) as server,
        contextlib.closing(rlmesh.torch.RemoteEnv(server.address)) as client,
    ):
        observation, _ = client.reset(seed=0)
        assert torch.equal(observation, torch.zeros(2))
        action = torch.tensor([0.25, -0.5], requires_grad=True)
        observation, reward, terminated, truncated, _ = client.step(action)
        assert torch.equal(observation, action)
        assert (reward, terminated, truncated) == (1.0, False, False)
        assert client.metadata["torch"] is True


def test_a_vector_client_takes_and_gives_tensors() -> None:
    import rlmesh.torch

    envs = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    local = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    with (
        serving(envs) as server,
        contextlib.closing(rlmesh.torch.RemoteVectorEnv(server.address)) as client,
    ):
        observations, _ = client.reset(seed=0)
        expected, _ = local.reset(seed=0)
        np.testing.assert_array_equal(observations.numpy(), expected)
        actions = np.array([0, 1, 0])
        answers = client.step(torch.from_numpy(actions))[:4]
        for got, wanted in zip(answers, local.step(actions)[:4], strict=True):
            assert got.numpy().dtype == wanted.dtype
            np.testing.assert_array_equal(got.numpy(), wanted)
    local.close()
