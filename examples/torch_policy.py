"""Train a PyTorch policy on a remote environment, with REINFORCE.

    python torch_policy.py

`rlmesh.torch` gives observations as tensors, and takes tensors as actions.
"""

from __future__ import annotations

import gymnasium as gym
import torch

import rlmesh
import rlmesh.torch

EPISODES = 120

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for a network this small more threads only cost time
    policy = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.005)
    lengths: list[int] = []
    with (
        rlmesh.EnvServer(gym.make("CartPole-v1")) as server,
        rlmesh.torch.RemoteEnv(server.address) as env,
    ):
        for episode in range(EPISODES):
            observation, info = env.reset(seed=episode)
            scores: list[torch.Tensor] = []
            done = False
            while not done:
                choice = torch.distributions.Categorical(logits=policy(observation))
                action = choice.sample()
                scores.append(choice.log_prob(action))
                observation, reward, terminated, truncated, info = env.step(action)
                done = terminated or truncated
            lengths.append(len(scores))
            # Each step earns 1: what is still to come is the number of steps that follow.
            returns = torch.arange(len(scores), 0, -1).float()
            advantages = (returns - returns.mean()) / returns.std()
            loss = -(torch.stack(scores) * advantages).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    first, last = sum(lengths[:30]) / 30, sum(lengths[-30:]) / 30
    print(f"steps an episode: {first:.0f} at first, {last:.0f} at last")
