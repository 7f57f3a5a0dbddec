"""What the tests serve on old interpreters; needs no Gym."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import numpy as np
from rlmesh_legacy_server import spaces
from rlmesh_legacy_server.messages import DTYPE, GetContractResponse, SessionResponse, StepResult
from rlmesh_legacy_server.slabs import Layout
from rlmesh_legacy_server.spaces import numbers_of
from rlmesh_legacy_server.unpacking import unpack


def every_space() -> spaces.Dict:
    """A space of all seven kinds."""
    return spaces.Dict(
        [
            ("box", spaces.Box(-1.0, np.array([1.0, np.inf]))),
            ("image", spaces.Box(0, 255, (2, 3), np.uint8)),
            ("choice", spaces.Discrete(4, start=-2)),
            ("bits", spaces.MultiBinary((2, 2))),
            ("grid", spaces.MultiDiscrete([3, 4], np.int32, [0, -1])),
            ("word", spaces.Text(5, min_length=0)),
            ("pair", spaces.Tuple([spaces.Discrete(2), spaces.Text(3, charset="ab")])),
        ]
    )


def one_value() -> Any:
    """A value of that space."""
    return {
        "box": np.array([0.5, 7.0], np.float32),
        "image": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "choice": -2,
        "bits": np.eye(2, dtype=np.int8),
        "grid": np.array([2, -1], np.int32),
        "word": "h\u00e9",
        "pair": (1, "ab"),
    }


class Echo:
    """Observes the last action; does what the reset options say."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 - as Gym has it
    render_mode = "ansi"
    level = 3

    def __init__(self) -> None:
        self.observation_space = self.action_space = every_space()
        self._options: dict[str, Any] = {}
        self._steps = 0

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        """Resets."""
        self._options, self._steps = options or {}, 0
        return one_value(), {"seed": seed, "options": options}

    def step(self, action: Any) -> Any:
        """Steps."""
        self._steps += 1
        if "raise" in self._options:
            raise KeyError("missing")
        observation = dict(action)
        observation.update(self._options.get("observe", {}))
        if "hang" in self._options:
            threading.Event().wait()
        info = {"action": action}
        if "odd" in self._options:
            info.update(odd=self, fields=np.zeros(2, "<i4,<f8"))
        ended = self._steps == self._options.get("episode", 5)
        return observation, np.float32(0.5), ended, False, info

    def render(self) -> str:
        """Renders."""
        return f"step {self._steps}"

    def scale(self, by: int, plus: int = 0) -> int:
        """A method for clients."""
        return self.level * by + plus

    def close(self) -> None:
        """Closes."""


class OldStyle:
    """An environment as of Gym 0.21: seeded apart, with four results and a mode for each frame."""

    metadata = {"render.modes": ["human", "rgb_array"]}  # noqa: RUF012 - as above

    def __init__(self) -> None:
        self.observation_space, self.action_space = spaces.Discrete(100), spaces.Discrete(2)
        self._start = self._steps = 0

    def seed(self, seed: Any = None) -> list[Any]:
        """Seeds."""
        self._start = seed
        return [seed]

    def reset(self) -> int:
        """Resets."""
        self._steps = 0
        return self._start

    def step(self, action: Any) -> Any:
        """Steps."""
        self._steps += 1
        done = self._steps == 3
        info = {"TimeLimit.truncated": True} if done else {}
        return self._start + self._steps, 1, done, info

    def render(self, mode: str = "human") -> Any:
        """Renders."""
        return np.full((2, 2, 3), self._steps, np.uint8) if mode == "rgb_array" else None

    def close(self) -> None:
        """Closes."""


class OldVector:
    """Two sub-environments as of Gym's old vector environments, with a list of infos."""

    num_envs = 2

    def __init__(self) -> None:
        self.single_observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.single_action_space = spaces.Discrete(3)

    def reset(self, seed: Any = None) -> Any:
        """Resets."""
        return np.zeros((2, 1), np.float32)

    def step(self, actions: Any) -> Any:
        """Steps."""
        observations = np.array(actions, np.float32).reshape(2, 1)
        infos: list[Any] = [{"n": 1}, {"terminal_observation": np.full(1, 5, np.float32)}]
        return observations, np.array([0.0, 1.0]), np.array([False, True]), infos

    def close(self) -> None:
        """Closes."""


class DifferentBounds(OldVector):
    """Its sub-environments differ in their bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, np.array([[9.0], [8.0]]), (2, 1))


class Replay:
    """Returns what a golden conversation returned, and reports what it was given itself.

    Args:
        path: The golden file.
        name: The conversation's name.
    """

    def __init__(self, path: str, name: str) -> None:
        with open(path, encoding="utf-8") as file:
            golden = json.load(file)["conversations"][name]
        contract = GetContractResponse.FromString(base64.b64decode(golden["contract"])).contract
        observation, action = map(space_of, (contract.observation_space, contract.action_space))
        if contract.vector:
            self.num_envs = contract.num_envs
            self.single_observation_space, self.single_action_space = observation, action
        else:
            self.observation_space, self.action_space = observation, action
        self.render_mode = contract.render_mode or None
        num_envs = contract.num_envs if contract.vector else None
        self._layout = Layout(contract.observation_space, num_envs, "off", nan=True)
        self._single = num_envs is None
        self._answers: list[Any] = []
        for call in golden["calls"]:
            answer = SessionResponse.FromString(base64.b64decode(call["response"]))
            many = answer.WhichOneof("answer") == "step_many"
            self._answers += list(answer.step_many.steps) if many else [answer]
        self._at = 0

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        """Returns the golden reset."""
        self._at = 2
        result = self._answers[1].reset
        info = unpack(result.info) if result.info else {}
        for key, value in (("seed", seed), ("options", options)):
            if key in info and self._single:
                info[key] = value
        return self._layout.decode(result.observation)[0], info

    def step(self, action: Any) -> Any:
        """Returns the next golden step, with the action as it came."""
        answer = self._answers[self._at]
        self._at += 1
        result = answer if isinstance(answer, StepResult) else answer.step
        info = unpack(result.info) if result.info else {}
        if "action" in info and self._single:
            info["action"] = action
        numbers: Any = (result.rewards, result.terminations, result.truncations)
        numbers = [part[0] if self._single else np.array(part) for part in numbers]
        return (self._layout.decode(result.observation)[0], *numbers, info)

    def render(self) -> Any:
        """Returns the golden frame."""
        frames = [a.render.frame for a in self._answers if isinstance(a, SessionResponse)]
        return unpack(next(frame for frame in frames if frame))

    def close(self) -> None:
        """Closes."""


def space_of(message: Any) -> Any:
    """The space of a message."""
    kind = message.WhichOneof("kind")
    body = getattr(message, kind)
    if kind == "tuple":
        return spaces.Tuple([space_of(child) for child in body.spaces])
    if kind == "dict":
        made = spaces.Dict([(entry.key, space_of(entry.space)) for entry in body.entries])
        made.sort_keys = not body.keep_order  # type: ignore[attr-defined]
        return made
    if kind == "text":
        charset = body.charset if body.HasField("charset") else None
        return spaces.Text(body.max_length, min_length=body.min_length, charset=charset)
    if kind == "multi_binary":
        return spaces.MultiBinary(body.shape[0] if body.flat else tuple(body.shape))
    dtype = np.dtype({number: name for name, number in DTYPE.items()}[body.dtype].lower())
    if kind == "discrete":
        return spaces.Discrete(body.n, numbers_of([body.start])[0], dtype)
    shape = tuple(body.shape)
    if kind == "multi_discrete":
        start = _filled(numbers_of(body.start), shape, dtype)
        return spaces.MultiDiscrete(_filled(list(body.nvec), shape, dtype), dtype, start)
    box = spaces.Box(0, 0, shape, dtype)
    box.low, box.high = (_filled(numbers_of(part), shape, dtype) for part in (body.low, body.high))
    box.bounded_below, box.bounded_above = box.low != -np.inf, box.high != np.inf
    if body.bounded_below:
        box.bounded_below = _filled(list(body.bounded_below), shape, np.bool_)
    if body.bounded_above:
        box.bounded_above = _filled(list(body.bounded_above), shape, np.bool_)
    return box


def _filled(items: list[Any], shape: Any, dtype: Any) -> Any:
    if len(items) == 1:
        return np.full(shape, items[0], dtype)
    return np.array(items, dtype).reshape(shape)
