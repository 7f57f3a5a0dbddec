"""`make_vec`: a vector environment of parallel sub-environments, without an address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlmesh.parallel.factories import check_workers, factories_of
from rlmesh.parallel.vector_env import OnCrash, ParallelVectorEnv

__all__ = ["make_vec"]


def make_vec(
    env: str | EnvSpec | Callable[[], Any] | Sequence[Callable[[], Any]],
    num_envs: int | None = None,
    *,
    workers: int | None = None,
    wrappers: Sequence[Callable[[Any], Any]] | None = None,
    autoreset_mode: Literal["next_step", "same_step", "disabled"]
    | gymnasium.vector.AutoresetMode = "next_step",
    copy: bool = True,
    on_crash: OnCrash = "raise",
    batch_size: int | None = None,
    **env_kwargs: Any,
) -> ParallelVectorEnv[Any, Any]:
    """Makes a vector environment whose sub-environments run in parallel worker processes.

    The workers are new interpreters, no forks, and do not import the program's main module.
    Callables cross to them by cloudpickle. They end with this process, whatever kills it.

    Example:
        >>> import rlmesh
        >>> with rlmesh.make_vec("CartPole-v1", num_envs=4, workers=2) as envs:
        ...     observations, infos = envs.reset(seed=0)

    Args:
        env: The id of a registered environment or its spec; a callable that makes one
            sub-environment each time; or a list of callables, one for each sub-environment.
        num_envs: How many sub-environments there are. None: as many as callables in the list, or 1.
        workers: How many worker processes there are. Each has a contiguous run of
            sub-environments, which it steps one after the other. None: one for each processor, at
            most one for each sub-environment.
        wrappers: What each sub-environment is wrapped in, the innermost first.
        autoreset_mode: When sub-environments reset themselves.
        copy: Whether observations are copies that the caller may keep. False saves the copy: the
            arrays are read-only views, which are valid until the next call.
        on_crash: What to do about a worker that has died. `raise` raises `EnvCrashedError`, which
            names its sub-environments; the next reset starts another worker. `replace` starts
            another worker at once: its sub-environments come back reset and truncated, named in the
            infos under `rlmesh.env.replaced`, and no other episode is touched.
        batch_size: For how many sub-environments `recv` waits. None: for all.
        **env_kwargs: What `gymnasium.make` is given, where `env` is an id or a spec.

    Returns:
        The vector environment.

    Raises:
        ArgumentTypeError: If an argument has the wrong type, or cannot be sent to another process.
        InvalidArgumentError: If there are more workers than sub-environments, `batch_size` is more
            than there are, or another argument is out of its range.
        InvalidEnvError: If a callable makes no single environment, or the spaces differ.
        UnsupportedSpaceError: If a space cannot be carried.
        RemoteEnvError: If making a sub-environment raised.
        EnvCrashedError: If a worker died while it started.
        StateError: If this system is not Linux.
    """
    factories = factories_of(env, num_envs, wrappers, env_kwargs)
    return ParallelVectorEnv(
        factories,
        check_workers(workers, len(factories)),
        autoreset_mode=autoreset_mode,
        copy=copy,
        on_crash=on_crash,
        batch_size=batch_size,
    )
