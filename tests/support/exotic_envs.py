"""Environments of other packages, which the extra `exotic` installs: ALE, MuJoCo and MiniGrid."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium import spaces


class MissionAsText(gymnasium.ObservationWrapper[Any, Any, Any]):
    """MiniGrid's own observations, whose mission is a space of MiniGrid's, with a text instead."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = spaces.Dict(
            {**env.observation_space.spaces, "mission": spaces.Text(200, min_length=0)}
        )

    def observation(self, observation: Any) -> Any:
        return observation


class Threads(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes the thread of every call.

    Attributes:
        calls: The names of the calls by the ids of their threads.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.calls: dict[int, set[str]] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._note("reset")
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._note("step")
        return super().step(action)

    def render(self) -> Any:
        self._note("render")
        return super().render()

    def close(self) -> None:
        self._note("close")
        super().close()

    def _note(self, name: str) -> None:
        self.calls.setdefault(threading.get_ident(), set()).add(name)


def game(name: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """An Atari game."""
    import ale_py

    gymnasium.register_envs(ale_py)
    return gymnasium.make(name, **settings)


def simulation(name: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """A MuJoCo task."""
    return gymnasium.make(name, **settings)


def grid(name: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """A MiniGrid task as it is, with its mission in a space of its own."""
    import minigrid

    gymnasium.register_envs(minigrid)
    return gymnasium.make(name, **settings)


def grid_image(**settings: Any) -> gymnasium.Env[Any, Any]:
    """A MiniGrid task that observes its image alone."""
    from minigrid import wrappers

    untyped: Any = wrappers.ImgObsWrapper
    env: gymnasium.Env[Any, Any] = untyped(grid("MiniGrid-DoorKey-5x5-v0", **settings))
    return env


def grid_flat(**settings: Any) -> gymnasium.Env[Any, Any]:
    """A MiniGrid task that observes image and mission as one array."""
    from minigrid.wrappers import FlatObsWrapper

    return FlatObsWrapper(grid("MiniGrid-LavaGapS5-v0", **settings))


def grid_text(**settings: Any) -> gymnasium.Env[Any, Any]:
    """A MiniGrid task that observes its mission as a text."""
    return MissionAsText(grid("MiniGrid-GoToObject-6x6-N2-v0", **settings))


@dataclass(frozen=True)
class Exotic:
    """An environment of another package.

    Attributes:
        package: What must be installed.
        make: Makes it, with the keyword arguments of `gymnasium.make`.
    """

    package: str
    make: Callable[..., gymnasium.Env[Any, Any]]


EXOTIC = {
    "ALE/Pong-v5": Exotic("ale_py", lambda **settings: game("ALE/Pong-v5", **settings)),
    "ALE/Breakout-v5 ram": Exotic(
        "ale_py", lambda **settings: game("ALE/Breakout-v5", obs_type="ram", **settings)
    ),
    "HalfCheetah-v5": Exotic("mujoco", lambda **settings: simulation("HalfCheetah-v5", **settings)),
    "Ant-v5": Exotic("mujoco", lambda **settings: simulation("Ant-v5", **settings)),
    "MiniGrid image": Exotic("minigrid", grid_image),
    "MiniGrid flat": Exotic("minigrid", grid_flat),
    "MiniGrid text": Exotic("minigrid", grid_text),
}
