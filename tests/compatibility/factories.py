"""Environments that need more than their constructor; `rlmesh serve factories:NAME` makes them."""

from __future__ import annotations

from typing import Any


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
