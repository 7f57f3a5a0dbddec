"""DQN of Tianshou on remote environments, single and several.

    python tianshou_dqn.py

Tianshou has vector environments of its own, which take one client for each sub-environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from tianshou.utils.net.common import Net

import rlmesh


def learn(envs: Sequence[gym.Env[Any, Any]], steps: int) -> dict[str, Any]:
    """Trains for that many steps, of all environments together; returns the weights."""
    np.random.seed(1)  # noqa: NPY002 # Tianshou explores with it
    torch.manual_seed(1)
    several = DummyVectorEnv([lambda env=env: env for env in envs])
    several.seed(1)
    spaces: Any = envs[0]
    network = Net(
        state_shape=spaces.observation_space.shape,
        action_shape=spaces.action_space.n,
        hidden_sizes=[64],
    )
    policy = DiscreteQLearningPolicy(
        model=network, action_space=spaces.action_space, eps_training=0.1
    )
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), target_update_freq=100)
    collector = Collector(algorithm, several, VectorReplayBuffer(10_000, len(envs)))
    collector.reset()
    algorithm.run_training(
        OffPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=steps,
            collection_step_num_env_steps=16,
            update_step_num_gradient_steps_per_sample=0.25,
            batch_size=32,
            show_progress=False,
            verbose=False,
        )
    )
    return dict(policy.state_dict())


if __name__ == "__main__":
    torch.set_num_threads(1)  # for a network this small more threads only cost time
    # Each session has an environment of its own.
    with rlmesh.EnvServer(lambda: gym.make("CartPole-v1"), sessions=4) as server:
        for number, name in ((1, "single"), (4, "several")):
            clients = [rlmesh.RemoteEnv(server.address) for _ in range(number)]
            learn(clients, 512)
            for client in clients:
                client.close()
            print(f"{name}: learned from 512 steps")
