"""What makes the sub-environments: checked, and pickled for the workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlmesh.codec.infos.type_guards import is_collection, is_row
from rlmesh.counts import check_count
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

__all__ = ["Factory", "check_workers", "factories_of"]

Factory: TypeAlias = Callable[[], Any]


def factories_of(
    given: object,
    num_envs: int | None,
    wrappers: Sequence[Callable[[Any], Any]] | None,
    env_kwargs: dict[str, Any],
) -> list[Factory]:
    """The callables that make the sub-environments, in their order.

    Args:
        given: The id of a registered environment, its spec, a callable, or a list of callables.
        num_envs: How many sub-environments there are; None: as many as callables.
        wrappers: What each sub-environment is wrapped in, the innermost first.
        env_kwargs: What `gymnasium.make` is given, where `given` is an id or a spec.

    Raises:
        ArgumentTypeError: If an argument has the wrong type.
        InvalidArgumentError: If `num_envs` is less than 1, or not the length of the list.
        gymnasium.error.Error: If no environment of that id is registered.
    """
    check_count("num_envs", num_envs)
    wrapped = _check_wrappers(wrappers)
    if isinstance(given, str | EnvSpec):
        # The spec, not the id: the worker may not have registered the environment.
        spec = gymnasium.spec(given) if isinstance(given, str) else given
        return [_Made(spec, env_kwargs, wrapped)] * (num_envs or 1)
    if env_kwargs:
        raise ArgumentTypeError(
            f"keyword arguments for the environment ({', '.join(env_kwargs)}) go with the id of a "
            f"registered environment; a callable passes them on itself"
        )
    if is_row(given):
        for index, factory in enumerate(given):
            _check_callable(factory, f"callable {index} of the list")
        if not given:
            raise InvalidArgumentError("give one callable or more, got an empty list")
        if num_envs not in (None, len(given)):
            raise InvalidArgumentError(
                f"num_envs={num_envs} does not fit a list of {len(given)} callables; leave "
                f"num_envs out"
            )
        return [_Wrapped(factory, wrapped) if wrapped else factory for factory in given]
    factory = _check_callable(given, "what makes the sub-environments")
    return [_Wrapped(factory, wrapped) if wrapped else factory] * (num_envs or 1)


def check_workers(workers: int | None, num_envs: int) -> int:
    """The number of workers; where none is given, one for each processor that is available.

    Raises:
        ArgumentTypeError: If it is no integer.
        InvalidArgumentError: If it is less than 1, or more than there are sub-environments.
    """
    check_count("workers", workers)
    if workers is None:
        return min(num_envs, _processors())
    if workers > num_envs:
        raise InvalidArgumentError(
            f"workers={workers} is more than there are sub-environments ({num_envs}), and each "
            "worker has one or more; lower workers=, or raise num_envs="
        )
    return workers


class _Made:
    """Makes an environment by its spec."""

    def __init__(
        self, spec: EnvSpec, kwargs: dict[str, Any], wrappers: tuple[Callable[[Any], Any], ...]
    ) -> None:
        self._spec = spec
        self._kwargs = kwargs
        self._wrappers = wrappers

    def __call__(self) -> Any:
        return _wrapped_in(gymnasium.make(self._spec, **self._kwargs), self._wrappers)


class _Wrapped:
    """Makes an environment by another callable, and wraps it."""

    def __init__(self, factory: Factory, wrappers: tuple[Callable[[Any], Any], ...]) -> None:
        self._factory = factory
        self._wrappers = wrappers

    def __call__(self) -> Any:
        return _wrapped_in(self._factory(), self._wrappers)


def _wrapped_in(env: Any, wrappers: tuple[Callable[[Any], Any], ...]) -> Any:
    for wrapper in wrappers:
        env = wrapper(env)
    return env


def _check_wrappers(wrappers: object) -> tuple[Callable[[Any], Any], ...]:
    if wrappers is None:
        return ()
    if not is_collection(wrappers):
        raise ArgumentTypeError(
            f"wrappers must be a list of callables that take an environment, got {wrappers!r:.80}"
        )
    example = "gymnasium.wrappers.FlattenObservation"
    return tuple(_check_callable(each, "each of the wrappers", example) for each in wrappers)


def _check_callable(
    value: Any, name: str, example: str = "lambda: gymnasium.make('CartPole-v1')"
) -> Callable[..., Any]:
    if not callable(value) or (hasattr(value, "step") and not isinstance(value, type)):
        raise ArgumentTypeError(
            f"{name} must be a callable, as it is called in another process, got "
            f"{type(value).__name__}; pass {example}, for instance"
        )
    called: Callable[..., Any] = value
    return called


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
