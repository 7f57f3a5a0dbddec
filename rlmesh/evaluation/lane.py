"""One episode in progress."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from rlmesh.evaluation.episode import Ending, Episode
from rlmesh.evaluation.latency import Latency
from rlmesh.evaluation.policies import Actor
from rlmesh.evaluation.worlds import Step
from rlmesh.foreign_text import one_line

Judge = Callable[[Mapping[str, Any], "bool | None"], "bool | None"]
"""Says whether the task is solved so far, from a step's info and what it said before."""


class Lane:
    """An episode in one sub-environment, and what acts in it. One thread calls all methods.

    Args:
        task: The name of the task.
        seed: The seed of the episode.
        actor: What acts.
        latency: For how long the world goes on while the policy computes.
        step_seconds: How long a step lasts in the world.
        max_steps: After how many steps the episode is ended; None: by the environment alone.
        judge: Says whether the task is solved.

    Attributes:
        seed: The same.
        ending: How the episode ended; None: it goes on.
    """

    def __init__(
        self,
        task: str,
        seed: int,
        actor: Actor,
        *,
        latency: Latency,
        step_seconds: float,
        max_steps: int | None,
        judge: Judge,
    ) -> None:
        self._task = task
        self.seed: int = seed
        self.ending: Ending | None = None
        self._actor = actor
        self._latency = latency
        self._step_seconds = step_seconds
        self._max_steps = max_steps
        self._judge = judge
        self._began = perf_counter()
        self._observation: Any = None
        # What was executed last, in a tuple; what will be, after so many steps that hold the last.
        self._last: tuple[Any] | None = None
        self._next: tuple[Any] | None = None
        self._late = 0
        self._total = 0.0
        self._length = 0
        self._held = 0
        self._success: bool | None = None
        self._error: str | None = None
        self._env_seconds = 0.0
        self._policy_seconds = 0.0

    def begin(self, observation: Any, env_seconds: float) -> None:
        """Begins the episode with the first observation, after the reset of the environment."""
        self._env_seconds += env_seconds
        self._observation = observation
        began = perf_counter()
        self._actor.reset(self.seed)
        self._policy_seconds += perf_counter() - began

    def ask(self) -> None:
        """Asks the policy for an action, where none is planned."""
        if self._next is None:
            self._actor.post(self._observation)

    def action(self) -> Any:
        """The action of the next step, after `ask`."""
        if self._next is None:
            action, seconds = self._actor.take()
            self._policy_seconds += seconds
            if self._latency.moves:
                # The policy may write the next action into the same array.
                action = copy.deepcopy(action)
                if self._last is not None:
                    self._late = self._latency.late_steps(seconds, self._step_seconds)
            self._next = (action,)
        if self._late and self._last is not None:
            self._late -= 1
            self._held += 1
            return self._last[0]
        self._last, self._next = self._next, None
        return self._last[0]

    def stepped(self, step: Step, env_seconds: float) -> None:
        """Takes what the step gave."""
        self._env_seconds += env_seconds
        self._observation = step.observation
        self._total += step.reward
        self._length += 1
        self._success = self._judge(step.info, self._success)
        if step.terminated or step.truncated:
            self.ending = "terminated" if step.terminated else "truncated"
        elif self._length == self._max_steps:
            self.ending = "max_steps"

    def fail(self, error: Exception) -> None:
        """Ends the episode by an error."""
        self._error = f"{type(error).__name__}: {one_line(str(error))}"
        self._success = None
        self.ending = "error"

    def episode(self) -> Episode:
        """What the episode was, after its end."""
        return Episode(
            task=self._task,
            seed=self.seed,
            total_reward=self._total,
            length=self._length,
            success=self._success,
            ending=self.ending or "error",
            error=self._error,
            held=self._held,
            seconds=perf_counter() - self._began,
            env_seconds=self._env_seconds,
            policy_seconds=self._policy_seconds,
        )
