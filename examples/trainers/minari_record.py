"""Record episodes of a remote environment as a Minari dataset, and read them.

    python minari_record.py

Minari writes into the folder that the environment variable MINARI_DATASETS_PATH names.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import minari

import rlmesh

EPISODES = 5


def record(env: gym.Env[Any, Any], name: str) -> minari.MinariDataset:
    """Records episodes of random actions under that name, closes the environment."""
    collector = minari.DataCollector(env, record_infos=True)
    collector.action_space.seed(1)
    for episode in range(EPISODES):
        collector.reset(seed=episode)
        done = False
        while not done:
            _, _, terminated, truncated, _ = collector.step(collector.action_space.sample())
            done = bool(terminated or truncated)
    dataset = collector.create_dataset(name)
    collector.close()
    return dataset


if __name__ == "__main__":
    with rlmesh.EnvServer(gym.make("CartPole-v1")) as server:
        dataset = record(rlmesh.RemoteEnv(server.address), "cartpole/random-v0")
    for episode in dataset.iterate_episodes():
        print(f"episode {episode.id}: {len(episode)} steps, return {episode.rewards.sum():.0f}")
