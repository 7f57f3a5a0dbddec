"""An environment with every kind of space, and changes that can be planted in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import rlmesh

STEPS = 5
EPISODES = 3

Returned = list[Any]
"""What a step returned: observation, reward, terminated, truncated and info."""

Change = Callable[[Returned], None]
"""Changes what a step returned, in place."""


class Manifold(gymnasium.Env[dict[str, Any], Any]):
    """Its values follow from its seed and the actions.

    Args:
        change: Changes what the step `at` of the episode `at` returns.
        at: An episode from 0, and a step from 1.
    """

    def __init__(self, change: Change | None = None, at: tuple[int, int] = (0, 0)) -> None:
        self.observation_space = spaces.Dict(
            {
                "arm": spaces.Dict(
                    {
                        "joints": spaces.Box(-9, 9, (4,), np.float32),
                        "frame": spaces.Box(-9, 9, (2, 2), np.float64),
                    }
                ),
                "camera": spaces.Box(0, 255, (3, 3, 3), np.uint8),
                "gear": spaces.Discrete(7),
                "word": spaces.Text(8, charset="abcdefgh"),
                "switches": spaces.MultiBinary(5),
                "wheels": spaces.Tuple([spaces.MultiDiscrete([4, 5]), spaces.Discrete(3, start=2)]),
            }
        )
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self._change = change
        self._at = at
        self._episode = -1
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self._episode += 1
        self._step = 0
        return self._observation(0.0), {"options": options, "seconds": {"t": 0.5}}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self._step += 1
        push = float(action[0])
        info = {
            "energy": push,
            "count": self._step,
            "note": "as ever",
            "exact": np.float32(push),
            "deep": {"list": [1, 2.0, (3, "x")], "array": np.arange(6.0).reshape(2, 3) * push},
        }
        over = self._step == STEPS
        returned: Returned = [self._observation(push), push, over, False, info]
        if self._change is not None and (self._episode, self._step) == self._at:
            self._change(returned)
        observation, reward, terminated, truncated, info = returned
        return observation, reward, terminated, truncated, info

    def _observation(self, push: float) -> dict[str, Any]:
        random = self.np_random
        return {
            "arm": {
                "joints": random.uniform(-1, 1, 4).astype(np.float32) + np.float32(push),
                "frame": random.uniform(-1, 1, (2, 2)),
            },
            "camera": random.integers(0, 200, (3, 3, 3), np.uint8),
            "gear": random.integers(6),
            "word": "".join(random.choice(list("abcdefg"), 4)),
            "switches": random.integers(0, 2, 5, np.int8),
            "wheels": (random.integers(0, 3, 2), 2 + random.integers(2)),
        }


def record(env: gymnasium.Env[Any, Any], path: Path, seeds: tuple[int | None, ...]) -> Path:
    """Records an episode for each seed, and closes the environment."""
    recorder = rlmesh.Recorder(env, path)
    random = np.random.default_rng(7)
    for seed in seeds:
        recorder.reset(seed=seed, options={"task": "lift"})
        over = False
        while not over:
            *_, terminated, truncated, _ = recorder.step(
                random.uniform(-1, 1, 2).astype(np.float32)
            )
            over = terminated or truncated
    recorder.close()
    return path


def changes() -> Iterator[tuple[Change, tuple[str, str, tuple[int, ...]], int | None]]:
    """Fifty changes: each with the part, path and index that name it, and the ULPs, -1 for any."""
    for index in range(4):
        yield _nudge(("arm", "joints"), index), ("observation", "$.arm.joints", (index,)), 1
        yield _nudge(("arm", "joints"), index, 3), ("observation", "$.arm.joints", (index,)), 3
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        yield _nudge(("arm", "frame"), place), ("observation", "$.arm.frame", place), 1
    for pixel in ((0, 0, 0), (0, 2, 1), (1, 1, 1), (2, 0, 2), (2, 2, 2)):
        yield _add(("camera",), pixel), ("observation", "$.camera", pixel), None
    yield _put(("gear",), lambda gear: gear + 1), ("observation", "$.gear", ()), None
    yield _put(("word",), lambda word: word[:-1]), ("observation", "$.word", ()), None
    yield _put(("word",), lambda word: f"h{word[1:]}"), ("observation", "$.word", ()), None
    for index in range(5):
        yield _flip(index), ("observation", "$.switches", (index,)), None
    for index in range(2):
        yield _add(("wheels", 0), index), ("observation", "$.wheels[0]", (index,)), None
    yield _wheel, ("observation", "$.wheels[1]", ()), None
    for count in (1, 2, 5, 1000):
        yield _reward(count), ("reward", "$", ()), count
    yield _set(1, lambda reward: -reward), ("reward", "$", ()), -1
    yield _set(2, lambda over: not over), ("terminated", "$", ()), None
    yield _set(3, lambda over: not over), ("truncated", "$", ()), None
    for key, new in (
        ("count", lambda count: count + 1),
        ("count", float),
        ("note", lambda note: f"{note} "),
        ("exact", float),
    ):
        yield _info(key, new), ("info", f"$.{key}", ()), None
    yield _info("energy", lambda x: float(np.nextafter(x, 9))), ("info", "$.energy", ()), 1
    yield (
        _info("exact", lambda x: np.nextafter(x, np.float32(9))),
        ("info", "$.exact", ()),
        1,
    )
    yield lambda each: each[4].pop("note"), ("info", "$.note", ()), None
    yield lambda each: each[4].update(more=1), ("info", "$.more", ()), None
    yield _deep_list, ("info", "$.deep.list[2][1]", ()), None
    for place in ((0, 1), (1, 0), (1, 2)):
        yield _deep_array(place), ("info", "$.deep.array", place), 1
    yield (
        lambda each: each[4]["deep"].update(array=each[4]["deep"]["array"].astype(np.float32)),
        ("info", "$.deep.array", ()),
        None,
    )
    yield lambda each: each[4]["deep"]["list"].append(4), ("info", "$.deep.list", ()), None
    yield (
        lambda each: each[4].update(deep=copy.deepcopy(each[4]["deep"]) | {"list": (1, 2.0)}),
        ("info", "$.deep.list", ()),
        None,
    )


def _at(returned: Returned, path: tuple[Any, ...]) -> Any:
    found = returned[0]
    for key in path:
        found = found[key]
    return found


def _nudge(path: tuple[Any, ...], index: Any, count: int = 1) -> Change:
    def change(returned: Returned) -> None:
        array = _at(returned, path)
        for _ in range(count):
            array[index] = np.nextafter(array[index], array.dtype.type(9))

    return change


def _add(path: tuple[Any, ...], index: Any) -> Change:
    def change(returned: Returned) -> None:
        _at(returned, path)[index] += 1

    return change


def _put(path: tuple[Any, ...], new: Callable[[Any], Any]) -> Change:
    def change(returned: Returned) -> None:
        parent = _at(returned, path[:-1])
        parent[path[-1]] = new(parent[path[-1]])

    return change


def _flip(index: int) -> Change:
    def change(returned: Returned) -> None:
        returned[0]["switches"][index] ^= 1

    return change


def _wheel(returned: Returned) -> None:
    first, second = returned[0]["wheels"]
    returned[0]["wheels"] = (first, 4 if second != 4 else 3)


def _reward(count: int) -> Change:
    def change(returned: Returned) -> None:
        for _ in range(count):
            returned[1] = float(np.nextafter(returned[1], 9.0))

    return change


def _set(place: int, new: Callable[[Any], Any]) -> Change:
    def change(returned: Returned) -> None:
        returned[place] = new(returned[place])

    return change


def _info(key: str, new: Callable[[Any], Any]) -> Change:
    def change(returned: Returned) -> None:
        returned[4][key] = new(returned[4][key])

    return change


def _deep_list(returned: Returned) -> None:
    returned[4]["deep"]["list"][2] = (3, "y")


def _deep_array(index: tuple[int, int]) -> Change:
    def change(returned: Returned) -> None:
        array = returned[4]["deep"]["array"]
        array[index] = np.nextafter(array[index], 9.0)

    return change
