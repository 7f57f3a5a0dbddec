"""`rlmesh.torch`: the same clients with PyTorch tensors."""

from __future__ import annotations

import contextlib
from typing import Any

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


def test_a_tensor_on_the_cpu_shares_the_memory_that_was_received() -> None:
    import rlmesh.torch

    for dtype in (np.float32, np.uint8, np.int64, np.float16, np.bool_):
        received = np.ones((2, 3), dtype)
        view = received.view()
        view.flags.writeable = False
        made = rlmesh.torch._tensors({"one": received, "several": (received, view)}, None)
        shared, (also, copied) = made["one"], made["several"]
        assert shared.data_ptr() == also.data_ptr() == received.ctypes.data
        # A tensor can be written on: what cannot be is copied.
        assert copied.data_ptr() != received.ctypes.data


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


def test_a_network_is_a_model_with_stacks_and_in_inference_mode() -> None:
    import rlmesh.torch

    seen: list[tuple[int, bool, bool]] = []

    network: Any = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())

    def note(module: Any, given: Any) -> None:
        seen.append((len(given[0]), module.training, torch.is_grad_enabled()))

    network.register_forward_pre_hook(note)
    served = rlmesh.torch.Model(
        network,
        gym.spaces.Box(-1, 1, (3,)),
        gym.spaces.Box(-1, 1, (2,)),
        device="cpu",
        warm_sizes=(1, 4),
    )
    observations = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    with rlmesh.ModelWorker(served) as worker, rlmesh.RemoteModel(worker.address) as model:
        assert seen == [(1, False, False), (4, False, False)]
        actions = model.predict_batch(observations)
        assert not model.model_contract.keeps_state
    with torch.inference_mode():
        expected = network(torch.from_numpy(observations)).numpy()
    np.testing.assert_array_equal(actions, expected)


def test_a_network_may_give_chunks() -> None:
    import rlmesh.torch

    served = rlmesh.torch.Model(
        lambda seen: seen[:, None, :].repeat(1, 5, 1),
        gym.spaces.Box(-1, 1, (3,)),
        gym.spaces.Box(-1, 1, (3,)),
        horizon=5,
    )
    one = np.array([0.0, 0.5, 1.0], np.float32)
    with rlmesh.ModelWorker(served) as worker, rlmesh.RemoteModel(worker.address) as model:
        np.testing.assert_array_equal(model.predict_chunk(one), np.tile(one, (5, 1)))
        np.testing.assert_array_equal(model.predict(one), one)
