"""Serve a policy with a memory, and ask it from two clients at once.

    python recurrent_policy.py

The memory is in the context of each session, so that neither client disturbs the other. Both are
computed in one batch wherever their requests meet.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from gymnasium.spaces import Box

import rlmesh


class Smooth:
    """Follows a moving mean of what the episode has seen, with a little noise."""

    observation_space = Box(-1, 1, (3,))
    action_space = Box(-2, 2, (3,))

    def predict_batch(self, observations: Any, contexts: list[rlmesh.ModelContext]) -> Any:
        actions = np.empty_like(observations)
        for place, context in enumerate(contexts):
            memory = np.zeros(3, np.float32) if context.state is None else context.state
            context.state = 0.9 * memory + 0.1 * observations[place]
            actions[place] = context.state + context.rng.uniform(-0.01, 0.01, 3)
        return actions


def follow(address: str, target: float, results: dict[float, float]) -> None:
    with rlmesh.RemoteModel(address) as model:
        model.reset(seed=1)
        action = np.zeros(3, np.float32)
        for _ in range(100):
            action = model.predict(np.full(3, target, np.float32))
        results[target] = float(action.mean())


if __name__ == "__main__":
    results: dict[float, float] = {}
    with rlmesh.ModelWorker(Smooth()) as worker:
        clients = [
            threading.Thread(target=follow, args=(worker.address, target, results))
            for target in (1.0, -1.0)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    for target, reached in sorted(results.items()):
        print(f"asked for {target:+.0f}, came to {reached:+.2f}")
