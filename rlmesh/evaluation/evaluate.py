"""`rlmesh.evaluate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import gymnasium

from rlmesh.client.env import RemoteEnv
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.evaluation.episode import Episode
from rlmesh.evaluation.journal import Journal
from rlmesh.evaluation.policies import PolicySource
from rlmesh.evaluation.results import Evaluation
from rlmesh.evaluation.runner import Judge, Work, run

_KEYS = ("is_success", "success")


def evaluate(
    policy: Any,
    envs: Any,
    *,
    seeds: Iterable[int] | None = None,
    episodes: int | None = None,
    workers: int = 1,
    success: Literal["end", "any"] | Callable[[Mapping[str, Any]], bool | None] = "end",
    max_steps: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    on_episode: Callable[[Episode], None] | None = None,
) -> Evaluation:
    """Runs each seed once in each task, and says how the policy did.

    The result does not depend on `workers`, nor on which episode ends first.

    Args:
        policy: A callable of an observation; an object with `predict`, and `reset` where it keeps
            state; a `RemoteModel`, `Chunks`, or the address of a model.
        envs: The id of a registered environment, a callable that makes one, the address of a served
            one, or a mapping of task names to any of these. A served one needs `sessions=` of at
            least `workers`.
        seeds: The seeds; each task is run with each of them.
        episodes: How many there are, instead of `seeds`: 0, 1, 2 and so on.
        workers: How many episodes run at once, each on its own thread.
        success: Whether a task is solved, as `info["is_success"]` or `info["success"]` says: `end`
            by the last step, `any` by any step. Or a callable that is given the last step's info.
        max_steps: After how many steps an episode is ended. Default: by the environment alone.
        resume: A file that takes each episode as it ends. Where it has some already, of the same
            evaluation, only the others are run. Default: nothing is kept.
        on_episode: Called on this thread with each episode as it ends.

    Returns:
        The episodes, in the order of the tasks and seeds.

    Raises:
        InvalidArgumentError: If there are neither `seeds` nor `episodes` or both, a seed is there
            twice, a number is out of its range, or the file of `resume` is that of another
            evaluation.
        ArgumentTypeError: If the policy or an environment is none of what is allowed.
        Exception: What making an environment or connecting raised.
    """
    chosen = _seeds(seeds, episodes)
    if workers < 1:
        raise InvalidArgumentError(f"workers must be 1 or more, got {workers}")
    if max_steps is not None and max_steps < 1:
        raise InvalidArgumentError(f"max_steps must be 1 or more, or None, got {max_steps}")
    source = PolicySource(policy, workers)
    tasks = _tasks(envs)
    plan = [(task, seed) for task in tasks for seed in chosen]
    work = Work(
        tasks=tasks,
        policy=source,
        episodes=plan,
        workers=workers,
        max_steps=max_steps,
        judge=_judge(success),
    )
    found: dict[tuple[str, int], Episode] = {}

    def keep(episode: Episode) -> None:
        found[episode.task, episode.seed] = episode
        if on_episode is not None:
            on_episode(episode)

    if resume is None:
        run(work, (), keep)
    else:
        described = {
            "policy": source.name,
            "tasks": list(tasks),
            "seeds": chosen,
            "max_steps": max_steps,
            "success": success if isinstance(success, str) else "callable",
        }
        with Journal(resume, described) as journal:
            found.update({(each.task, each.seed): each for each in journal.episodes})

            def write(episode: Episode) -> None:
                journal.add(episode)
                keep(episode)

            run(work, found.keys(), write)
    return Evaluation(policy=source.name, episodes=tuple(found[each] for each in plan))


def _seeds(seeds: Iterable[int] | None, episodes: int | None) -> list[int]:
    if (seeds is None) == (episodes is None):
        raise InvalidArgumentError(
            "give seeds= or episodes=, and not both: episodes=100 runs the seeds from 0 to 99"
        )
    chosen = list(range(episodes or 0)) if seeds is None else [int(seed) for seed in seeds]
    if not chosen:
        raise InvalidArgumentError("there is no episode to run; give at least one seed")
    if len(set(chosen)) < len(chosen):
        twice = sorted(seed for seed in set(chosen) if chosen.count(seed) > 1)
        raise InvalidArgumentError(
            f"each seed is run once, and {', '.join(map(str, twice[:5]))} is there more than once"
        )
    return chosen


def _tasks(envs: Any) -> dict[str, Callable[[], Any]]:
    if isinstance(envs, Mapping):
        if not envs:
            raise InvalidArgumentError("envs is an empty mapping; give at least one task")
        return {str(name): _maker(env) for name, env in envs.items()}
    return {"": _maker(envs)}


def _maker(env: Any) -> Callable[[], Any]:
    if isinstance(env, str):
        if env.startswith(("tcp://", "unix://")):
            return partial(RemoteEnv, env)
        return partial(gymnasium.make, env)
    if callable(env):
        return env
    raise ArgumentTypeError(
        f"an environment is an id, an address or a callable that makes one; got "
        f"{type(env).__name__} {env!r:.80}; a single environment cannot run several episodes at "
        f"once, so pass what makes it"
    )


def _judge(success: str | Callable[[Mapping[str, Any]], bool | None]) -> Judge:
    if callable(success):
        return lambda info, _: success(info)
    if success == "end":
        return lambda info, _: _said(info)
    if success == "any":
        return _any_so_far
    raise InvalidArgumentError(f"success must be 'end', 'any' or a callable, got {success!r:.80}")


def _any_so_far(info: Mapping[str, Any], before: bool | None) -> bool | None:
    said = _said(info)
    return before if said is None else bool(before) or said


def _said(info: Mapping[str, Any]) -> bool | None:
    for key in _KEYS:
        if key in info:
            return bool(info[key])
    return None
