"""PPO of TorchRL on remote environments, single and vector.

    python torchrl_ppo.py

`GymWrapper` takes both clients as they are.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from tensordict.nn import ProbabilisticTensorDictModule, TensorDictModule
from tensordict.nn import ProbabilisticTensorDictSequential as Sequential
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import MLP, OneHotCategorical
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import rlmesh

FRAMES, EPOCHS = 128, 4


def learn(env: Any, steps: int) -> dict[str, Any]:
    """Trains for that many steps, of all sub-environments together; returns the weights."""
    torch.manual_seed(1)
    wrapped = GymWrapper(env)
    wrapped.set_seed(1)
    size, actions = wrapped.observation_spec["observation"].shape[-1], wrapped.action_spec.shape[-1]
    network = MLP(in_features=size, out_features=actions, num_cells=[64], activation_class=nn.Tanh)
    choice = {"distribution_class": OneHotCategorical, "return_log_prob": True}
    actor = Sequential(
        TensorDictModule(network, in_keys=["observation"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(in_keys=["logits"], out_keys=["action"], **choice),
    )
    critic = TensorDictModule(
        MLP(in_features=size, out_features=1, num_cells=[64], activation_class=nn.Tanh),
        in_keys=["observation"],
        out_keys=["state_value"],
    )
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    loss = ClipPPOLoss(actor, critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    settings = {"total_frames": steps, "auto_register_policy_transforms": True}
    # It closes the client at its end.
    for batch in Collector(wrapped, actor, frames_per_batch=FRAMES, **settings):
        for _ in range(EPOCHS):
            advantage(batch)
            losses = loss(batch.reshape(-1))
            optimizer.zero_grad()
            total: Any = sum(value for key, value in losses.items() if key.startswith("loss_"))
            total.backward()
            optimizer.step()
    return {
        f"{name}.{key}": value
        for name, module in (("actor", actor), ("critic", critic))
        for key, value in module.state_dict().items()
    }


if __name__ == "__main__":
    torch.set_num_threads(1)  # for a network this small more threads only cost time
    with (
        rlmesh.EnvServer(gym.make("CartPole-v1")) as server,
        rlmesh.RemoteEnv(server.address) as env,
    ):
        learn(env, 512)
        print("single: learned from 512 steps")
    with (
        rlmesh.EnvServer([gym.make("CartPole-v1") for _ in range(4)]) as server,
        rlmesh.RemoteVectorEnv(server.address, autoreset="same_step") as envs,
    ):
        learn(envs, 512)
        print("vector: learned from 512 steps")
