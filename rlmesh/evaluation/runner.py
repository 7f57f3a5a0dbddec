"""Runs episodes on several threads, each with its own environment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlmesh.errors import RlmeshError
from rlmesh.evaluation.episode import Ending, Episode
from rlmesh.evaluation.policies import Actor, PolicySource
from rlmesh.foreign_text import one_line

Judge = Callable[[Mapping[str, Any], bool | None], bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to run.

    Attributes:
        tasks: What makes an environment of each task, by its name.
        policy: What acts.
        episodes: The task and the seed of each episode, in their order.
        workers: How many episodes run at once.
        max_steps: After how many steps an episode is ended; None: by the environment alone.
        judge: Says after each step whether the task is solved so far: it is given the step's info,
            and what it said of the step before.
    """

    tasks: Mapping[str, Callable[[], Any]]
    policy: PolicySource
    episodes: Sequence[tuple[str, int]]
    workers: int
    max_steps: int | None
    judge: Judge


def run(work: Work, done: Collection[tuple[str, int]], report: Callable[[Episode], None]) -> None:
    """Runs each episode that is not done yet once, and reports each as it ends.

    A worker that is free takes the next episode in their order: none waits for the slowest.

    Args:
        work: What to run.
        done: What was run before.
        report: Called on the caller's thread.

    Raises:
        BaseException: What making an environment or the policy raised, or `report`. Episodes that
            have ended by then are reported.
    """
    _Run(work, done, report).run()


class _Run:
    """One call of `run`. `_changed` guards all that changes."""

    def __init__(
        self, work: Work, done: Collection[tuple[str, int]], report: Callable[[Episode], None]
    ) -> None:
        self._work = work
        self._report = report
        self._changed = threading.Condition()
        self._waiting = deque(each for each in work.episodes if each not in done)
        self._ended: deque[Episode] = deque()
        self._failure: BaseException | None = None
        self._busy = 0

    def run(self) -> None:
        count = min(self._work.workers, len(self._waiting))
        threads = [
            threading.Thread(target=self._work_on, name="rlmesh-evaluation", daemon=True)
            for _ in range(count)
        ]
        self._busy = count
        try:
            for thread in threads:
                thread.start()
            for episode in self._episodes():
                self._report(episode)
        finally:
            with self._changed:
                self._waiting.clear()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure

    def _episodes(self) -> Iterator[Episode]:
        while True:
            with self._changed:
                while self._busy and not self._ended:
                    self._changed.wait()
                if not self._ended:
                    return
                episode = self._ended.popleft()
            yield episode

    def _work_on(self) -> None:
        try:
            with _Worker(self._work) as worker, self._work.policy.open() as actor:
                while (episode := self._next()) is not None:
                    ended = worker.run(actor, *episode)
                    with self._changed:
                        self._ended.append(ended)
                        self._changed.notify()
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            with self._changed:
                self._failure = self._failure or error
                self._waiting.clear()
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify()

    def _next(self) -> tuple[str, int] | None:
        with self._changed:
            return self._waiting.popleft() if self._waiting else None


class _Worker(contextlib.ExitStack):
    """The environments of one thread: one for each task that it has met, made when it is needed."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._envs: dict[str, Any] = {}

    def run(self, actor: Actor, task: str, seed: int) -> Episode:
        """Runs one episode to its end, or to the error that ends it."""
        env = self._envs.get(task)
        if env is None:
            env = self._envs[task] = self._work.tasks[task]()
            self.callback(self._close, task)
        began = time.monotonic()
        total, length, success = 0.0, 0, None
        ending: Ending = "error"
        error = None
        try:
            observation, _ = env.reset(seed=seed)
            actor.reset(seed)
            while ending == "error":
                action = actor.act(observation)
                observation, reward, terminated, truncated, info = env.step(action)
                total += float(reward)
                length += 1
                success = self._work.judge(info, success)
                if terminated or truncated:
                    ending = "terminated" if terminated else "truncated"
                elif length == self._work.max_steps:
                    ending = "max_steps"
        except Exception as raised:  # noqa: BLE001 - an outcome of its own, reported apart
            error = f"{type(raised).__name__}: {one_line(raised)}"
            ending, success = "error", None
            if isinstance(raised, RlmeshError):
                # The connection may be the fault: the next episode makes another.
                self._close(task)
        return Episode(
            task=task,
            seed=seed,
            total_reward=total,
            length=length,
            success=success,
            ending=ending,
            error=error,
            seconds=time.monotonic() - began,
        )

    def _close(self, task: str) -> None:
        env = self._envs.pop(task, None)
        if env is not None:
            env.close()
