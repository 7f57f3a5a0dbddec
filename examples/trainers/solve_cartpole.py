"""PPO of Stable-Baselines3 learns CartPole-v1 in a server's environments, to a mean return of 475.

    python solve_cartpole.py [FOLDER]

Into the folder it writes its learning curve: cartpole.json, and cartpole.svg with Matplotlib.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

import rlmesh.sb3

NUM_ENVS, GOAL, EPISODES = 8, 475, 100


def learn(envs: Any, most_steps: int = 500_000) -> dict[str, Any]:
    """Learns until the mean return of 100 episodes in a row is 475; returns the learning curve."""
    returns: collections.deque[float] = collections.deque(maxlen=EPISODES)
    curve: list[list[float]] = []

    def go_on(names: dict[str, Any], _: dict[str, Any]) -> bool:
        ended = [info["episode"]["r"] for info in names["infos"] if "episode" in info]
        if ended:
            returns.extend(float(one) for one in ended)
            curve.append([names["self"].num_timesteps, round(sum(returns) / len(returns), 2)])
        return len(returns) < EPISODES or curve[-1][1] < GOAL

    settings: Any = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98}
    settings |= {"gae_lambda": 0.8, "learning_rate": 1e-3, "seed": 1, "device": "cpu"}
    model = PPO("MlpPolicy", VecMonitor(envs), **settings)
    begun = time.monotonic()
    model.learn(most_steps, callback=go_on)
    return {
        "steps": curve[-1][0],
        "mean return": curve[-1][1],
        "seconds": round(time.monotonic() - begun),
        "curve": curve,
    }


def write(result: dict[str, Any], folder: Path) -> None:
    from matplotlib.figure import Figure

    # The last point of each two thousand steps.
    points = list({point[0] // 2000: point for point in result["curve"]}.values())
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes: Any = figure.add_subplot(1, 1, 1)
    axes.plot(*zip(*result["curve"], strict=True))
    axes.set_xlabel("steps")
    axes.set_ylabel(f"mean return of {EPISODES} episodes")
    figure.savefig(folder / "cartpole.svg", metadata={"Date": None})
    (folder / "cartpole.json").write_text(json.dumps(result | {"curve": points}) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    read, ready = os.pipe()
    command = f"-m rlmesh serve CartPole-v1 --num-envs {NUM_ENVS} --ready-fd {ready}".split()
    with subprocess.Popen([sys.executable, *command], pass_fds=[ready]) as server:
        os.close(ready)
        address = os.fdopen(read).readline().strip()
        with contextlib.closing(rlmesh.sb3.VecEnv(address)) as envs:
            result = learn(envs)
        server.terminate()
    print(f"mean return {result['mean return']} after {result['steps']} steps")
    if len(sys.argv) > 1:
        write(result, Path(sys.argv[1]))
