"""Environments of workers: these import them, which they cannot do with a module of tests."""

from __future__ import annotations

import os
from typing import Any

import gymnasium

from support.frail_env import FrailEnv
from support.sample_spaces import SAMPLE_SPACES, UNSAMPLEABLE
from support.vector_envs import SubEnv

# Whose batches Gymnasium cannot draw, whose empty containers SyncVectorEnv cannot step, and what
# stands too deep with one level more.
_NOT_TOGETHER = {
    *("box_integer_bounded_below", "multi_discrete_extremes", "text_no_characters"),
    *("dict_empty", "dict_empty_keeping_order", "dict_nested", "tuple_empty", "tuple_nested"),
    "nested_deeply",
    *UNSAMPLEABLE,
}

ALL = "all of them"
"""Names a Dict of all sample spaces that Gymnasium can step in batches."""


class SpaceEnv(gymnasium.Env[Any, Any]):
    """Observes samples of a space, and then its actions.

    Args:
        name: A name of a sample space, or `ALL`.
    """

    def __init__(self, name: str) -> None:
        together = SAMPLE_SPACES.keys() - _NOT_TOGETHER
        space = (
            gymnasium.spaces.Dict({each: SAMPLE_SPACES[each] for each in sorted(together)})
            if name == ALL
            else SAMPLE_SPACES[name]
        )
        self.observation_space = space
        self.action_space = space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return action, 1.0, False, False, {"sum": float(self.np_random.random())}


class Verbose(SubEnv):
    """Says a lot in its infos."""

    def step(self, action: Any) -> Any:
        *rest, _ = super().step(action)
        return *rest, {"log": "x" * 1_000_000}


class Forking(gymnasium.Env[Any, Any]):
    """Forks in every step, without caring for the child."""

    observation_space = gymnasium.spaces.Discrete(9)
    action_space = gymnasium.spaces.Discrete(9)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return int(action), 1.0, False, False, {}


class Wrong(FrailEnv):
    """Observes what its space does not hold, from its second step on."""

    def __init__(self, observation: Any) -> None:
        super().__init__()
        self._observation = observation

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation, 1.0, False, False, {}


class Other(FrailEnv):
    """Has another observation space."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = gymnasium.spaces.Discrete(7)


def fail_to_make() -> Any:
    """Makes no environment."""
    raise LookupError("no scene")


class Odd(FrailEnv):
    """Has an attribute, and an info, that cannot leave its process."""

    def __init__(self) -> None:
        super().__init__()
        self.thing = object()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 1, 1.0, False, False, {"thing": self.thing}
