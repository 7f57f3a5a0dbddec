"""PPO in the style of CleanRL, one loop in one file, on remote environments.

    python cleanrl_ppo.py

The loop steps a `RemoteVectorEnv`. A single `RemoteEnv` becomes a vector of one in `SyncVectorEnv`.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import rlmesh

ROLLOUT, EPOCHS, GAMMA, LAMBDA, CLIP = 64, 4, 0.99, 0.95, 0.2


def learn(envs: Any, steps: int) -> dict[str, Any]:
    """Trains for that many steps of each sub-environment; returns the weights."""
    torch.manual_seed(1)
    size, number = int(np.prod(envs.single_observation_space.shape)), envs.single_action_space.n
    actor = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, number))
    critic: Any = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 1))
    agent: Any = nn.ModuleDict({"actor": actor, "critic": critic})
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5)
    observation = torch.as_tensor(envs.reset(seed=1)[0])
    done = torch.zeros(envs.num_envs)
    for _ in range(steps // ROLLOUT):
        kept: list[tuple[Any, ...]] = []
        for _ in range(ROLLOUT):
            with torch.no_grad():
                choice = Categorical(logits=actor(observation))
                action = choice.sample()
                value = critic(observation).flatten()
            following, reward, terminations, truncations, _ = envs.step(action.numpy())
            rewarded = torch.as_tensor(reward, dtype=torch.float32)
            kept.append((observation, action, choice.log_prob(action), value, rewarded, done))
            observation = torch.as_tensor(following)
            done = torch.as_tensor(terminations | truncations).float()

        stacked: Any = [torch.stack(part) for part in map(list, zip(*kept, strict=True))]
        observations, actions, log_probs, values, rewards, dones = stacked
        next_value, next_done = critic(observation).detach().flatten(), done
        advantages, last = torch.zeros_like(rewards), torch.zeros(envs.num_envs)
        for t in reversed(range(ROLLOUT)):
            delta = rewards[t] + GAMMA * next_value * (1 - next_done) - values[t]
            advantages[t] = last = delta + GAMMA * LAMBDA * (1 - next_done) * last
            next_value, next_done = values[t], dones[t]

        normal = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        for _ in range(EPOCHS):
            now: Any = Categorical(logits=actor(observations))
            ratio = (now.log_prob(actions) - log_probs).exp()
            policy = -torch.min(ratio * normal, ratio.clamp(1 - CLIP, 1 + CLIP) * normal).mean()
            critic_error = (critic(observations)[..., 0] - advantages - values).square().mean()
            optimizer.zero_grad()
            (policy + 0.5 * critic_error - 0.01 * now.entropy().mean()).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
    return dict(agent.state_dict())


if __name__ == "__main__":
    torch.set_num_threads(1)  # for a network this small more threads only cost time
    with rlmesh.EnvServer(gym.make("CartPole-v1")) as server:
        one = gym.vector.SyncVectorEnv([lambda: rlmesh.RemoteEnv(server.address)])
        learn(one, 512)
        one.close()
        print("single: learned from 512 steps")
    with (
        rlmesh.EnvServer([gym.make("CartPole-v1") for _ in range(4)]) as server,
        rlmesh.RemoteVectorEnv(server.address) as envs,
    ):
        learn(envs, 128)
        print("vector: learned from 512 steps")
