"""Environments for tests: every space in observations and actions, and things that go wrong."""

from __future__ import annotations

import copy
import os
import signal
import string
import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from support.plain_envs import PlainCounter, PlainVector

SPACES: dict[str, Callable[[], gymnasium.Space[Any]]] = {
    "box": lambda: spaces.Box(
        np.array([-1.0, -np.inf, 0.5], np.float32), np.array([1.0, 3.0, np.inf], np.float32)
    ),
    "image": lambda: spaces.Box(0, 255, (6, 5, 3), np.uint8),
    "scalar": lambda: spaces.Box(-5, 5, (), np.float32),
    "integers": lambda: spaces.Box(-(2**63), 2**63 - 1, (2, 2), np.int64),
    "empty": lambda: spaces.Box(-1, 1, (2, 0, 3), np.float64),
    "discrete": lambda: spaces.Discrete(4, start=-2),
    "multi_binary": lambda: spaces.Dict(
        {"flat": spaces.MultiBinary(7), "shaped": spaces.MultiBinary((2, 3))}
    ),
    "multi_discrete": lambda: spaces.Dict(
        {
            "line": spaces.MultiDiscrete([3, 1, 5], start=[-1, 4, 0]),
            "plane": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
        }
    ),
    "text": lambda: spaces.Dict(
        {
            "default": spaces.Text(12),
            "custom": spaces.Text(max_length=9, min_length=0, charset="äß€𝄞 \n" + string.digits),
        }
    ),
    "tuple": lambda: spaces.Tuple(
        (spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float64), spaces.Tuple([spaces.Text(2)]))
    ),
    # Pairs, for Gymnasium sorts the keys of a plain dict.
    "dict": lambda: spaces.Dict(
        [
            ("z", spaces.Box(-1, 1, (3,), np.float32)),
            ("a", spaces.Discrete(9)),
            ("inner", spaces.Dict({"only": spaces.Box(0, 9, (1,), np.int64)})),
        ]
    ),
}
SPACES["nested"] = lambda: spaces.Dict(
    {
        "everything": spaces.Tuple([make() for name, make in SPACES.items() if name != "nested"]),
        "last": spaces.Text(5),
    }
)


class EchoEnv(gymnasium.Env[Any, Any]):
    """Observes samples of a space, and reports in its infos exactly what it was given.

    An episode terminates after 17 steps, every third is truncated after 11.

    Args:
        kind: A name in `SPACES`: of the observations, and of the actions too.
        render_mode: Anything; `render` gives a text.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 12}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, kind: str, render_mode: str | None = None) -> None:
        self.observation_space = SPACES[kind]()
        self.action_space = SPACES[kind]()
        self.render_mode = render_mode
        self._episode = 0
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
            self._episode = 0
        self._episode += 1
        self._steps = 0
        return self.observation_space.sample(), {"seed": seed, "options": copy.deepcopy(options)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        short = self._episode % 3 == 0
        info = {
            "action": copy.deepcopy(action),
            "noise": self.np_random.normal(size=2),
            "steps": self._steps,
        }
        return (
            self.observation_space.sample(),
            float(self.np_random.normal()),
            not short and self._steps == 17,
            short and self._steps == 11,
            info,
        )

    def render(self) -> Any:
        return f"episode {self._episode}, step {self._steps}"


class InfoEnv(gymnasium.Env[Any, Any]):
    """Gives the infos that it was made with, one after the other, the first at the reset."""

    def __init__(self, infos: list[dict[str, Any]]) -> None:
        self.observation_space = spaces.Discrete(1)
        self.action_space = spaces.Discrete(1)
        self._infos = infos
        self._next = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._next = 1
        return 0, copy.deepcopy(self._infos[0])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        info = copy.deepcopy(self._infos[self._next])
        self._next += 1
        return 0, 0.0, self._next == len(self._infos), False, info


class FrameEnv(gymnasium.Env[Any, Any]):
    """Renders what it was made with."""

    metadata = {"render_modes": ["any"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, frame: Any) -> None:
        self.observation_space = spaces.Discrete(1)
        self.action_space = spaces.Discrete(1)
        self.render_mode = "any"
        self._frame = frame

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {}

    def render(self) -> Any:
        return self._frame


class ScriptedEnv(gymnasium.Env[Any, Any]):
    """Moves a point, and does at `reset`, `step`, `render` and `close` what the test says.

    Attributes:
        script: What to do at a call, by the call's name; it may raise, wait, or return something
            else than the call would. None of it happens at calls that are not named.
        calls: The calls so far: name and the id of the thread they came on.
        actions: The actions so far, as they were given.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-100, 100, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.render_mode = "ansi"
        self.script: dict[str, Callable[[], Any]] = {}
        self.calls: list[tuple[str, int]] = []
        self.actions: list[Any] = []
        self.position = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = np.zeros(2, np.float32)
        result: tuple[Any, dict[str, Any]] = self._perform("reset", (self.position, {}))
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        self.position += action
        usual: Any = (self.position, 1.0, False, False, {})
        result: tuple[Any, float, bool, bool, dict[str, Any]] = self._perform("step", usual)
        return result

    def render(self) -> Any:
        return self._perform("render", "a picture")

    def close(self) -> None:
        self._perform("close", None)

    def names(self) -> list[str]:
        """The names of the calls so far."""
        return [name for name, _ in self.calls]

    def threads(self) -> set[int]:
        """The ids of the threads that called so far."""
        return {thread for _, thread in self.calls}

    def _perform(self, name: str, usual: Any) -> Any:
        self.calls.append((name, threading.get_ident()))
        act = self.script.get(name)
        other = act() if act is not None else None
        return usual if other is None else other


class Gate:
    """A place in a call where an environment waits until the test lets it go on.

    Example:
        >>> gate = Gate()
        >>> env.script["step"] = gate.wait
        >>> # ... in the test: a step is under way
        >>> gate.reached.wait(); gate.open()
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        """Called by the environment."""
        self.reached.set()
        assert self._opened.wait(60), "the test never opened the gate"

    def open(self) -> None:
        """Called by the test: from now on nobody waits here."""
        self._opened.set()


def echo_vector(
    kind: str, num_envs: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP
) -> SyncVectorEnv[Any, Any]:
    """Sub-environments of `EchoEnv`."""
    return SyncVectorEnv([lambda: EchoEnv(kind)] * num_envs, autoreset_mode=mode)


def newest(name: str) -> str:
    """The id of the newest registered version of an environment: `Taxi` is `Taxi-v4`."""
    versions = [
        spec.version
        for spec in gymnasium.registry.values()
        if spec.name == name and spec.namespace is None and spec.version is not None
    ]
    return f"{name}-v{max(versions)}"


def make(
    what: str, num_envs: int | None = None, mode: AutoresetMode = AutoresetMode.NEXT_STEP
) -> Any:
    """Makes an environment by its name, in whichever process.

    Args:
        what: A registered id, `async:ID` for sub-environments in processes of their own,
            `echo:KIND` with a name in `SPACES`, `scripted`, `signalled` for one whose process gets
            a SIGTERM in the middle of every step, `plain` or `plain-vector`.
        num_envs: The number of sub-environments; None for a single environment.
        mode: When sub-environments reset themselves.
    """
    if what == "plain":
        return PlainCounter()
    if what == "plain-vector":
        return PlainVector()
    if what == "scripted":
        return ScriptedEnv()
    if what == "signalled":
        env = ScriptedEnv()
        env.script["step"] = lambda: os.kill(os.getpid(), signal.SIGTERM)
        return env
    name, colon, kind = what.partition(":")
    if colon and name == "echo":
        return EchoEnv(kind) if num_envs is None else echo_vector(kind, num_envs, mode)
    if num_envs is None:
        return gymnasium.make(what)
    if colon and name == "async":
        return gymnasium.make_vec(kind, num_envs, vectorization_mode="async")
    return gymnasium.make_vec(
        what, num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )
