"""DQN of d3rlpy on a remote environment: online, then offline from what it has recorded.

    python d3rlpy_dqn.py

It takes single environments only.
"""

from __future__ import annotations

from typing import Any

import d3rlpy
import gymnasium as gym

import rlmesh


def learn(env: Any, steps: int) -> dict[str, Any]:
    """Trains for that many steps; returns the weights."""
    d3rlpy.seed(1)
    d3rlpy.envs.seed_env(env, 1)
    quiet: Any = {"logger_adapter": d3rlpy.logging.NoopAdapterFactory(), "show_progress": False}
    buffer = d3rlpy.dataset.create_fifo_replay_buffer(limit=10_000, env=env)
    encoder = d3rlpy.models.VectorEncoderFactory([64])
    settings = d3rlpy.algos.DQNConfig(batch_size=32, learning_rate=1e-3, encoder_factory=encoder)
    online = settings.create(device="cpu:0")
    explorer = d3rlpy.algos.ConstantEpsilonGreedy(0.3)
    online.fit_online(
        env, buffer, explorer, n_steps=steps, n_steps_per_epoch=steps, update_interval=4, **quiet
    )
    offline = d3rlpy.algos.DiscreteCQLConfig(batch_size=32, encoder_factory=encoder)
    learner = offline.create(device="cpu:0")
    learner.fit(
        buffer,
        n_steps=steps // 4,
        n_steps_per_epoch=steps // 4,
        evaluators={"return": d3rlpy.metrics.EnvironmentEvaluator(env, n_trials=2)},
        **quiet,
    )
    networks = {"online": online.impl.modules.q_funcs, "offline": learner.impl.modules.q_funcs}
    return {
        f"{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


if __name__ == "__main__":
    with (
        rlmesh.EnvServer(gym.make("CartPole-v1")) as server,
        rlmesh.RemoteEnv(server.address) as env,
    ):
        learn(env, 1024)
        print("single: learned from 1024 steps")
