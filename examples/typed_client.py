"""Let your type checker know the observations and actions of an environment.

    rlmesh serve CartPole-v1 --address tcp://127.0.0.1:5555
    rlmesh typegen tcp://127.0.0.1:5555 -o cartpole.py
    python typed_client.py tcp://127.0.0.1:5555

The second command wrote `cartpole.py`. A type checker now refuses `env.step(2)`, and the client
refuses an endpoint whose contract breaks these types.
"""

from __future__ import annotations

import sys

from cartpole import Action, CartPoleV1Env, Observation


def policy(observation: Observation) -> Action:
    """Pushes to the side to which the pole falls."""
    return 1 if observation[2] + observation[3] > 0 else 0


with CartPoleV1Env(sys.argv[1]) as env:
    observation, info = env.reset(seed=0)
    steps, done = 0, False
    while not done:
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        steps, done = steps + 1, terminated or truncated
    print(f"the pole stood for {steps} steps")
