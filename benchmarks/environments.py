"""The environments that are stepped: as cheap as can be, so that the crossing is what costs."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

Info = dict[str, Any]
_FRAMES = 4
# Without blanks, which the alphabet of a Text lacks.
_INSTRUCTION = "PutTheRedCubeIntoTheLeftBin"


class _Endless(gym.Env[Any, Any]):
    """Two actions, no end of an episode, and observations that were made before."""

    def __init__(self, space: gym.Space[Any], observations: list[Any]) -> None:
        self.observation_space = space
        self.action_space = gym.spaces.Discrete(2)
        self._observations = observations
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        super().reset(seed=seed)
        return self._observations[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        self._step += 1
        return self._observations[self._step % _FRAMES], 1.0, False, False, self._info()

    def _info(self) -> Info:
        return {}


class Camera(_Endless):
    """Another frame of uint8 pixels each step, shape (height, width, 3)."""

    def __init__(self, height: int, width: int) -> None:
        space = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
        super().__init__(space, _frames(height, width))


class Flat(_Endless):
    """Four float32 each step, as CartPole observes."""

    def __init__(self) -> None:
        space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        states = np.random.default_rng(1).standard_normal((_FRAMES, 4)).astype(np.float32)
        super().__init__(space, list(states))


class Robot(_Endless):
    """A Dict: two cameras of 224x224x3 uint8, 32 float32 of state, and an instruction."""

    def __init__(self) -> None:
        frame = gym.spaces.Box(0, 255, (224, 224, 3), np.uint8)
        space = gym.spaces.Dict(
            {
                "front": frame,
                "wrist": frame,
                "state": gym.spaces.Box(-np.inf, np.inf, (32,), np.float32),
                "instruction": gym.spaces.Text(64),
            }
        )
        frames = _frames(224, 224)
        states = np.random.default_rng(1).standard_normal((_FRAMES, 32)).astype(np.float32)
        observations: list[dict[str, Any]] = [
            {
                "front": frames[index],
                "wrist": frames[index - 1],
                "state": states[index],
                "instruction": _INSTRUCTION,
            }
            for index in range(_FRAMES)
        ]
        # The order of a Dict's keys is the space's.
        super().__init__(space, [{key: one[key] for key in space} for one in observations])


class Telemetry(_Endless):
    """A small observation with a large info: some 60 numbers, texts, lists and arrays, nested."""

    _JOINTS = tuple(f"joint_{index}" for index in range(7))
    _TERMS = ("reach", "grasp", "lift", "place", "effort", "collision")

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        observations = rng.standard_normal((_FRAMES, 4)).astype(np.float32)
        super().__init__(gym.spaces.Box(-np.inf, np.inf, (4,), np.float32), list(observations))
        self._forces = rng.standard_normal((16, 3))
        self._ranges = rng.standard_normal(64).astype(np.float32)

    def _info(self) -> Info:
        now = self._step * 0.02
        return {
            "time": now,
            "step": self._step,
            "success": False,
            "stage": "approach",
            "instruction": _INSTRUCTION,
            "joints": {
                name: {"position": now, "velocity": 0.5, "torque": 1.5, "limited": False}
                for name in self._JOINTS
            },
            "rewards": dict.fromkeys(self._TERMS, 0.25),
            "contacts": {
                "count": 3,
                "bodies": ["gripper", "cube", "table"],
                "forces": self._forces,
            },
            "ranges": self._ranges,
        }


class Slow(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose step takes some time more, asleep.

    Args:
        env: The environment.
        seconds: How much more.
    """

    def __init__(self, env: gym.Env[Any, Any], seconds: float) -> None:
        super().__init__(env)
        self._seconds = seconds

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Sleeps, and steps."""
        time.sleep(self._seconds)
        return self.env.step(action)


class Busy(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose step takes some time more, computing.

    Args:
        env: The environment.
        seconds: How much more of the processor's time.
    """

    def __init__(self, env: gym.Env[Any, Any], seconds: float) -> None:
        super().__init__(env)
        self._seconds = seconds

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Computes, and steps."""
        end = time.thread_time() + self._seconds
        while time.thread_time() < end:
            pass
        return self.env.step(action)


def _frames(height: int, width: int) -> list[npt.NDArray[np.uint8]]:
    shape = (_FRAMES, height, width, 3)
    return list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
