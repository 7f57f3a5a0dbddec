"""PPO of skrl on remote environments, single and vector.

    python skrl_ppo.py

`wrap_env` recognises both clients.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.trainers.torch import SequentialTrainer, SequentialTrainerCfg
from skrl.utils import set_seed
from skrl.utils.model_instantiators.torch import categorical_model, deterministic_model

import rlmesh

ROLLOUT = 64


def learn(env: Any, steps: int) -> dict[str, Any]:
    """Trains for that many steps of each sub-environment; returns the weights."""
    set_seed(1)
    wrapped = wrap_env(env)
    spaces = {
        "observation_space": wrapped.observation_space,
        "action_space": wrapped.action_space,
        "device": wrapped.device,
    }
    network = [
        {"name": "net", "input": "OBSERVATIONS", "layers": [64], "activations": "tanh"},
    ]
    models = {
        "policy": categorical_model(**spaces, network=network, output="ACTIONS"),
        "value": deterministic_model(**spaces, network=network, output="ONE"),
    }
    settings = PPO_CFG(rollouts=ROLLOUT, learning_epochs=4, mini_batches=2)
    settings.experiment.write_interval = settings.experiment.checkpoint_interval = 0
    memory = RandomMemory(memory_size=ROLLOUT, num_envs=wrapped.num_envs, device=wrapped.device)
    agent = PPO(models=models, memory=memory, cfg=settings, **spaces)
    # Without headless=True it calls render() at each step.
    trainer = SequentialTrainerCfg(
        timesteps=steps, headless=True, disable_progressbar=True, close_environment_at_exit=False
    )
    SequentialTrainer(env=wrapped, agents=agent, cfg=trainer).train()
    return {
        f"{name}.{key}": value
        for name, model in models.items()
        for key, value in model.state_dict().items()
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
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        learn(envs, 128)
        print("vector: learned from 512 steps")
