"""Step a remote environment inside of a loop that JAX compiles.

    python jax_loop.py

`io_callback` calls the client from compiled code, and `ordered=True` keeps the order of the steps.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
from jax.experimental import io_callback

import rlmesh
import rlmesh.jax

ENVS, STEPS = 4, 200

if __name__ == "__main__":
    local = gym.make_vec("CartPole-v1", ENVS, vectorization_mode="sync")
    with (
        rlmesh.EnvServer(local) as server,
        rlmesh.jax.RemoteVectorEnv(server.address) as envs,
    ):

        def step(actions: Any) -> Any:
            return envs.step(actions)[:4]  # without the infos, which have no fixed shape

        first, _ = envs.reset(seed=0)
        # What `step` returns: compiled code needs the shapes and dtypes beforehand.
        rewards = jax.ShapeDtypeStruct((ENVS,), jnp.float32)
        flags = jax.ShapeDtypeStruct((ENVS,), jnp.bool_)
        observed = jax.ShapeDtypeStruct(first.shape, first.dtype)
        results = (observed, rewards, flags, flags)

        def advance(observations: Any, _: Any) -> Any:
            # Push to the side to which the pole falls.
            actions = (observations[:, 2] + observations[:, 3] > 0).astype(jnp.int32)
            observations, _, terminated, _ = io_callback(step, results, actions, ordered=True)
            return observations, terminated

        @jax.jit
        def rollout(begin: Any) -> Any:
            return jax.lax.scan(advance, begin, length=STEPS)

        _, terminations = rollout(first)
        print(f"{STEPS} steps of {ENVS}, {int(terminations.sum())} poles fell")
