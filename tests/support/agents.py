"""Environments of many agents for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space

NAMES = ("zoe", "amy", "bob")


class Herd:
    """A small environment of PettingZoo's parallel form, without PettingZoo.

    Every step ends the episode of the agent that acts first, and turns the order of the others
    around. A reward is the sum of all actions so far; an info lists the agents in the order of
    their actions.
    """

    metadata: dict[str, Any] = {"name": "herd_v0", "render_modes": ["ansi"]}  # noqa: RUF012 - as there
    render_mode = "ansi"

    def __init__(self, possible_agents: Any = NAMES) -> None:
        self.possible_agents = list(possible_agents)
        self.agents: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.closed = False
        self._spaces: dict[str, tuple[Space[Any], Space[Any]]] = {
            name: (
                Dict({"place": Box(1 + index, 5 + index, (2,), np.float32)}),
                # None of them holds 0, which an agent without an action would give.
                Discrete(3, start=index + 1),
            )
            for index, name in enumerate(self.possible_agents)
        }

    def observation_space(self, agent: str) -> Space[Any]:
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> Space[Any]:
        return self._spaces[agent][1]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.sum = 0
        return self._observed(self.agents), {
            name: {"seed": seed, "options": options} for name in self.agents
        }

    def step(self, actions: dict[str, Any]) -> Any:
        self.seen.append(dict(actions))
        acting = self.agents
        over, *left = acting
        self.agents = left[::-1]
        self.sum += sum(map(int, actions.values()))
        return (
            self._observed(acting),
            dict.fromkeys(acting, float(self.sum)),
            {name: name == over for name in acting},
            dict.fromkeys(acting, False),
            {name: {"order": list(actions)} for name in acting},
        )

    def _observed(self, agents: list[str]) -> dict[str, Any]:
        return {
            name: {
                "place": (
                    self.observation_space(name)["place"].low + 4 * self.random.random(2)  # type: ignore[index] # it is a Dict
                ).astype(np.float32)
            }
            for name in agents
        }

    def state(self) -> Any:
        return np.array([len(self.agents), self.sum])

    def render(self) -> str:
        return f"{len(self.agents)} agents"

    def close(self) -> None:
        self.closed = True
