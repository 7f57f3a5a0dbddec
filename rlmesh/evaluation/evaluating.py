"""`rlmesh.evaluate`."""

from __future__ import annotations

import contextlib
import operator
import os
import platform
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rlmesh._version import __version__
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.evaluation.driving import Found, Rules
from rlmesh.evaluation.episode import Episode, Identity
from rlmesh.evaluation.filming import check_films
from rlmesh.evaluation.journal import Journal
from rlmesh.evaluation.kept import check_recording
from rlmesh.evaluation.latency import Latency
from rlmesh.evaluation.policies import PolicySource
from rlmesh.evaluation.results import Evaluation
from rlmesh.evaluation.runner import run
from rlmesh.evaluation.sources import tasks_of
from rlmesh.evaluation.success import judge_of


def evaluate(
    policy: Any,
    envs: Any,
    *,
    seeds: Iterable[int] | None = None,
    episodes: int | None = None,
    workers: int | None = None,
    success: Literal["end", "any"] | Callable[[Mapping[str, Any]], bool | None] = "end",
    max_steps: int | None = None,
    latency: Literal["frozen", "measured"] | float = "frozen",
    record: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_episode: Callable[[Episode], None] | None = None,
) -> Evaluation:
    """Runs each seed once in each task, and says how the policy did.

    The result depends neither on how many episodes run at once, nor on which ends first. An
    episode that an error ends is an outcome of its own.

    Args:
        policy: A callable of an observation; an object with `predict`, and `reset` where it keeps
            state; a `RemoteModel`, `Chunks`, the address of a model, or a `functools.partial` of
            `RemoteModel` with the address and how to connect. With the address each episode that
            runs has its own session of the model. The observation is always that of a single
            environment. Where episodes run at once, a callable is called on several threads.
        envs: The id of a registered environment, an environment, a callable that makes one, or the
            address of a served one, each single or vector; a source of addresses, `file:PATH` or
            `dns:NAME:PORT`; a list of these, which share the seeds; or a mapping of task names to
            any of these. A vector environment has autoreset disabled.
        seeds: The seeds; each task is run with each of them.
        episodes: How many seeds there are, instead of `seeds`: 0, 1, 2 and so on.
        workers: How many environments are driven at once, each on its own thread. A server needs
            `sessions=` for all that drive it. None: one for each environment that `envs` names,
            and 1 where the policy acts in one episode at a time.
        success: Whether a task is solved, as `info["is_success"]` or `info["success"]` says: `end`
            by the last step, `any` by any step. Or a callable of the last step's info. Where
            nothing says so, it is unknown, and never guessed from the reward.
        max_steps: After how many steps an episode is ended. None: by the environment alone.
        latency: `frozen`: the world waits for the policy. Otherwise it goes on, and the last action
            is held for as many whole steps as fit into the time that the policy takes, `measured`
            or given in seconds. A step lasts `1 / metadata["render_fps"]` seconds. The first action
            of an episode is waited for, as there is none to hold.
        record: A folder, made where there is none, that takes what happens in each environment, as
            `rlmesh.Recorder` keeps it. None: nothing is kept.
        resume: A file that takes each episode as it ends. Where it has some already, of the same
            evaluation, only the others are run. None: nothing is kept.
        on_episode: Called on this thread with each episode as it ends.

    Returns:
        The episodes, in the order of the tasks and seeds.

    Raises:
        InvalidArgumentError: If there are neither `seeds` nor `episodes` or both, a seed is there
            twice, a number is out of its range, the file of `resume` is that of another
            evaluation, the contract of an environment or of the policy has changed, a vector
            environment resets itself, the policy acts in one episode at a time and there are
            several, or `latency` needs `render_fps` and there is none.
        ArgumentTypeError: If the policy or an environment is none of what is allowed.
        StateError: If another evaluation is writing the file of `resume`, or `record` needs the
            package `mcap` and it is not installed.
        OSError: If that file or a recording cannot be written.
        RlmeshError: If connecting fails, or fails again after a connection broke.
        Exception: What making an environment raised, or `success`, or `on_episode`.
    """
    plan = Plan(
        policy,
        envs,
        seeds=seeds,
        episodes=episodes,
        workers=workers,
        success=success,
        max_steps=max_steps,
        latency=latency,
        record=record,
        resume=resume,
    )
    plan.run(on_episode or _ignore)
    return plan.result()


class Plan:
    """What `evaluate` runs. One thread at a time may call the methods.

    Args:
        policy: As `evaluate` has it, as all that is not said here.
        envs: Likewise.
        video: A folder for a video of each episode, of what the environment renders; None: nothing
            is filmed. A video of the same task and seed is replaced.
        env_options: How to connect to environments, as keyword arguments of `RemoteEnv`.
        policy_options: How to connect to a model, as those of `RemoteModel`.

    Attributes:
        count: How many episodes there are.

    Raises:
        InvalidArgumentError: What `evaluate` raises before anything runs.
        ArgumentTypeError: Likewise.
    """

    def __init__(
        self,
        policy: Any,
        envs: Any,
        *,
        seeds: Iterable[int] | None,
        episodes: int | None,
        workers: int | None,
        success: Literal["end", "any"] | Callable[[Mapping[str, Any]], bool | None],
        max_steps: int | None,
        latency: Literal["frozen", "measured"] | float,
        record: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | None,
        video: Path | None = None,
        env_options: Mapping[str, Any] | None = None,
        policy_options: Mapping[str, Any] | None = None,
    ) -> None:
        chosen = _seeds(seeds, episodes)
        self._tasks = tasks_of(envs, env_options or {})
        self._workers = None if workers is None else _positive("workers", workers)
        self._rules = Rules(
            policy=PolicySource(policy, policy_options or {}),
            latency=Latency(latency),
            max_steps=None if max_steps is None else _positive("max_steps", max_steps),
            judge=judge_of(success),
            record=None if record is None else check_recording(record),
            video=None if video is None else check_films(video, self._tasks),
        )
        self._rules.policy.check(self._workers or 1)
        self._order = [(task, seed) for task in self._tasks for seed in chosen]
        self._resume = resume
        self._described = {
            "policy": self._rules.policy.name,
            "tasks": list(self._tasks),
            "seeds": chosen,
            "max_steps": self._rules.max_steps,
            "success": success if isinstance(success, str) else "callable",
            "latency": self._rules.latency.given,
        }
        self._found: dict[tuple[str, int], Episode] = {}
        self._contracts: dict[tuple[str, str], Identity] = {}
        self.count: int = len(self._order)

    def run(self, on_episode: Callable[[Episode], None]) -> None:
        """Runs what has not been run yet; raises what `evaluate` raises.

        Args:
            on_episode: Called with each episode as it ends.
        """
        with self._journal() as journal:
            if journal is not None:
                for contract in journal.contracts:
                    self._keep(contract)
                for episode in journal.episodes:
                    self._keep(episode)

            def note(found: Found) -> None:
                if self._keep(found) and journal is not None:
                    journal.add(found)
                if isinstance(found, Episode):
                    on_episode(found)

            waiting = {
                name: [
                    seed
                    for task, seed in self._order
                    if task == name and (task, seed) not in self._found
                ]
                for name in self._tasks
            }
            run(self._tasks, waiting, self._rules, self._workers or self._default_workers(), note)

    def result(self) -> Evaluation:
        """What has ended so far."""
        return Evaluation(
            policy=self._rules.policy.name,
            latency=self._rules.latency.given,
            episodes=tuple(self._found[each] for each in self._order if each in self._found),
            contracts=tuple(self._contracts[each] for each in sorted(self._contracts)),
            versions=_versions(),
        )

    def _default_workers(self) -> int:
        if self._rules.policy.alone:
            return 1
        return sum(each.default_workers for each in self._tasks.values())

    @contextlib.contextmanager
    def _journal(self) -> Generator[Journal | None]:
        if self._resume is None:
            yield None
            return
        with Journal(self._resume, self._described) as journal:
            yield journal

    def _keep(self, found: Found) -> bool:
        """Takes an episode or a contract; whether it is new."""
        if isinstance(found, Episode):
            self._found[found.task, found.seed] = found
            return True
        before = self._contracts.setdefault((found.of, found.task), found)
        if before.fingerprint != found.fingerprint:
            where = f" of the task {found.task!r}" if found.task else ""
            raise InvalidArgumentError(
                f"the {found.of}{where} is {found.id} with the contract {found.fingerprint}, and "
                f"other episodes were run with {before.id}, {before.fingerprint}; all episodes of "
                f"a task need the same contract"
            )
        return before is found


def _ignore(episode: Episode) -> None:
    """Does nothing with an episode."""


def _versions() -> dict[str, str]:
    return {
        "rlmesh": __version__,
        "gymnasium": metadata.version("gymnasium"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _seeds(seeds: Iterable[int] | None, episodes: int | None) -> list[int]:
    if (seeds is None) == (episodes is None):
        raise InvalidArgumentError(
            "give seeds= or episodes=, and not both: episodes=100 runs the seeds from 0 to 99"
        )
    if seeds is None:
        return list(range(_positive("episodes", episodes)))
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ArgumentTypeError(f"seeds is a list of integers, got {seeds!r:.80}")
    chosen = [_integer("a seed", seed) for seed in seeds]
    if not chosen:
        raise InvalidArgumentError("there is no episode to run; give at least one seed")
    if min(chosen) < 0:
        raise InvalidArgumentError(f"a seed must be 0 or more, got {min(chosen)}")
    if len(set(chosen)) < len(chosen):
        twice = sorted(seed for seed, count in Counter(chosen).items() if count > 1)
        raise InvalidArgumentError(
            f"each seed is run once, and {', '.join(map(str, twice[:5]))} is there more than once"
        )
    return chosen


def _positive(name: str, given: object) -> int:
    value = _integer(name, given)
    if value < 1:
        raise InvalidArgumentError(f"{name} must be 1 or more, got {value}")
    return value


def _integer(name: str, given: Any) -> int:
    try:
        return operator.index(given)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be an integer, got {given!r:.80}") from None
