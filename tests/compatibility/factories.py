"""Environments that need more than their constructor.

`rlmesh serve compatibility.factories:NAME` makes them.
"""

from __future__ import annotations

from typing import Any

SEED = 17


def small_pistons() -> Any:
    """PettingZoo's pistons, seen through three wrappers of SuperSuit."""
    import supersuit
    from pettingzoo.butterfly import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        pistonball_v6,
    )

    env: Any = pistonball_v6.parallel_env(n_pistons=5)
    env = supersuit.color_reduction_v0(env, mode="B")
    env = supersuit.resize_v1(env, x_size=84, y_size=84)
    return supersuit.frame_stack_v1(env, 3)


def lift() -> Any:
    """Robosuite's task of lifting a cube, without cameras, in robosuite's own wrapper."""
    import robosuite
    from robosuite.wrappers import GymWrapper

    env = robosuite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        horizon=200,
        seed=SEED,
    )
    return GymWrapper(env)


def gymnax_cartpole() -> Any:
    """CartPole of gymnax, in gymnax's own wrapper."""
    import gymnax
    from gymnax.wrappers import GymnaxToGymWrapper

    env, params = gymnax.make("CartPole-v1")
    return GymnaxToGymWrapper(env, params)


def brax_pendulum() -> Any:
    """The inverted pendulum of brax, in brax's own wrapper, which has the interface of Gym 0.21."""
    from brax import envs
    from brax.envs.wrappers.gym import GymWrapper

    return GymWrapper(envs.create("inverted_pendulum", episode_length=200), seed=SEED)
