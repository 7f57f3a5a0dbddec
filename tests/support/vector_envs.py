"""Sub-environments that end at different times, with infos that hold whatever infos hold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

Envs = VectorEnv[Any, Any, Any]

KINDS: dict[str, Callable[[], gymnasium.Space[Any]]] = {
    "box": lambda: spaces.Box(-1, 1, (2, 3), np.float32),
    "discrete": lambda: spaces.Discrete(5, start=-1),
    "multi_discrete": lambda: spaces.MultiDiscrete([3, 4], start=[0, -2]),
    "multi_binary": lambda: spaces.MultiBinary((2, 2)),
    "text": lambda: spaces.Text(8, min_length=0, charset="abcäß𝄞 "),
    "tuple": lambda: spaces.Tuple(
        (spaces.Text(4), spaces.Tuple((spaces.Discrete(3), spaces.Text(2))), spaces.MultiBinary(3))
    ),
    "dict": lambda: spaces.Dict(
        [
            ("z", spaces.Box(-5, 5, (2,), np.float64)),
            ("words", spaces.Tuple((spaces.Text(3), spaces.Text(5)))),
            ("a", spaces.Dict({"n": spaces.Discrete(3), "bits": spaces.MultiBinary(4)})),
        ]
    ),
}


class SubEnv(gymnasium.Env[Any, Any]):
    """Observes samples of a space, for a few steps, more or fewer of them by its seed.

    Its infos hold a value of every type, some of them not at every step; a reset's differ from a
    step's.

    Args:
        kind: A name in `KINDS`: of the observations, and of the actions too.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 7}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, kind: str = "dict") -> None:
        self.observation_space = KINDS[kind]()
        self.action_space = KINDS[kind]()
        self.render_mode = "ansi"
        self.level = 1
        self.table = np.arange(4.0).reshape(2, 2)
        self._hidden = "a private name"
        self._left = 0
        self._short = False
        self._count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self._left = int(self.np_random.integers(2, 9))
        self._short = bool(self.np_random.integers(2))
        self._count = 0
        return self.observation_space.sample(), self._reset_info(options or {})

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._count += 1
        self._left -= 1
        done = self._left <= 0
        reward = float(self.np_random.normal())
        observation = self.observation_space.sample()
        return (
            observation,
            reward,
            done and not self._short,
            done and self._short,
            self._step_info(),
        )

    def render(self) -> Any:
        return f"level {self.level}, step {self._count}"

    def scale(self, factor: float, *, plus: float = 0.0) -> Any:
        """A method for `call`."""
        return self.table * factor + plus

    def fail(self) -> None:
        """A method for `call` that raises."""
        raise KeyError("no such thing")

    def _reset_info(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "options": sorted(options),
            "speed": np.float32(self.np_random.normal()),
            "nested": {"depth": {"word": "reset", "left": self._left}},
            "objects": np.array([None, "text", self._left], dtype=object),
        }

    def _step_info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "count": self._count,
            "flag": self._count % 2 == 0,
            "numpy_flag": np.bool_(self._short),
            "real": float(self.np_random.normal()),
            "small": np.int16(self._count),
            "word": f"step {self._count} ä",
            "numpy_word": np.str_("word"),
            "raw": b"\0\xff",
            "nothing": None,
            "list": [2**70 + self._count, {"deep": (1, None)}],
            "tuple": (self._count, "b"),
            "row": self.np_random.normal(size=3).astype(np.float32),
            "matrix": self.np_random.integers(9, size=(2, 2)),
            "marks": self.np_random.integers(2, size=2).astype(bool),
            "words": np.array(["a", "bc"]),
            "objects": np.array([None, "text", self._count], dtype=object),
            "nested": {"depth": {"word": "step"}, "count": self._count},
        }
        if self._count % 3 == 0:
            info["rare"] = self._count
            info["nested"]["rare"] = np.float64(self._count)
        return info


class ShapedSubEnv:
    """`SubEnv` as an object that is no `gymnasium.Env`, with RLMesh's own spaces."""

    def __init__(self, kind: str = "dict") -> None:
        from rlmesh.spaces import from_gymnasium_space

        self._env = SubEnv(kind)
        self.observation_space = from_gymnasium_space(self._env.observation_space)
        self.action_space = from_gymnasium_space(self._env.action_space)
        self.metadata = dict(SubEnv.metadata)
        self.render_mode = "ansi"
        self.level = 1
        self.closed = False

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        return self._env.step(action)

    def render(self) -> Any:
        return self._env.render()

    def scale(self, factor: float, *, plus: float = 0.0) -> Any:
        """A method for `call`."""
        return self._env.scale(factor, plus=plus)

    def close(self) -> None:
        self.closed = True


# Wrapped, a vector environment is one whose autoreset mode nobody can switch.
NoSwitch = VectorWrapper


def sync_sub_envs(
    kind: str = "dict", num_envs: int = 3, mode: AutoresetMode = AutoresetMode.NEXT_STEP
) -> Envs:
    """Sub-environments of `SubEnv` in this process."""
    return SyncVectorEnv([lambda: SubEnv(kind)] * num_envs, autoreset_mode=mode)


def async_sub_envs(
    kind: str = "dict", num_envs: int = 3, mode: AutoresetMode = AutoresetMode.NEXT_STEP
) -> Envs:
    """Sub-environments of `SubEnv` in processes of their own."""
    return AsyncVectorEnv(
        [lambda: SubEnv(kind)] * num_envs,
        # Gymnasium reads texts from shared memory at construction, and never again.
        shared_memory=kind not in {"text", "tuple", "dict"},
        autoreset_mode=mode,
    )


def told(envs: Any, steps: int, *, seed: Any = 5) -> Iterator[tuple[str, Any]]:
    """What a vector environment tells a training loop, call by call.

    The loop resets the sub-environments that ended where nobody else does.

    Args:
        envs: The environment, local or remote.
        steps: How many steps.
        seed: The seed of the first reset.
    """
    envs.action_space.seed(3)
    yield "reset", envs.reset(seed=seed)
    for step in range(steps):
        result = envs.step(envs.action_space.sample())
        yield f"step {step}", result
        done = result[2] | result[3]
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and done.any():
            yield f"reset after step {step}", envs.reset(options={"reset_mask": done, "x": 1})


def record(envs: Envs, steps: int, *, seed: Any = 5) -> list[tuple[str, Any]]:
    """What `told` tells of an environment, which is closed then."""
    with contextlib.closing(envs):
        return list(told(envs, steps, seed=seed))
