"""Calls an environment as it understands it, Gym's old ones included, and reads what it returns."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Mapping

import numpy as np

from rlmesh_legacy_server.contracts import legacy_render_mode
from rlmesh_legacy_server.messages import CallFailedError
from rlmesh_legacy_server.texts import described

_RESET = "reset() must return (observation, info)"
_STEP = "step() must return (observation, reward, terminated, truncated, info)"
# As Gym's and old Gymnasium's vector environments call what Gymnasium now calls the second.
_RENAMED = {
    "final_observation": "final_obs",
    "_final_observation": "_final_obs",
    "terminal_observation": "final_obs",
}


class BadResultError(Exception):
    """The environment returned something that Gymnasium does not allow."""


def compile_reset(env: Any) -> Callable[[Any, Any], Any]:
    """A function `(seed, options)` that resets the environment with what its `reset` takes.

    An environment of Gym before 0.26 is seeded through its `seed` method.
    """
    takes = _takes(env)

    def reset(seed: Any, options: Any) -> Any:
        arguments: dict[str, Any] = {"return_info": True} if "return_info" in takes else {}
        if "seed" in takes:
            arguments["seed"] = seed
        elif seed is not None:
            if not callable(getattr(env, "seed", None)):
                raise _refused(f"{type(env).__name__}.reset() takes no seed; reset without one")
            env.seed(seed)
        if "options" in takes:
            arguments["options"] = options
        elif options is not None:
            raise _refused(f"{type(env).__name__}.reset() takes no options; reset without them")
        return env.reset(**arguments)

    return reset


def _takes(env: Any) -> set[str]:
    """Which arguments `reset` takes: where a wrapper passes on any, what the wrapped one takes."""
    while True:
        try:
            parameters = inspect.signature(env.reset).parameters
        except (TypeError, ValueError):
            return {"seed", "options"}
        # Gym 0.22 to 0.25 returned an info only where it was asked for.
        named = {"seed", "options", "return_info"} & set(parameters)
        anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        inner = getattr(env, "env", None)
        if named or not anything:
            return named
        if not callable(getattr(inner, "reset", None)):
            return {"seed", "options"}
        env = inner


def compile_render(env: Any) -> Callable[[], Any]:
    """A function that renders the environment; one of Gym before 0.26 is given the mode."""
    mode = legacy_render_mode(env)
    if mode is not None:
        return lambda: env.render(mode=mode)
    return lambda: env.render()  # noqa: PLW0108 - an environment without it fails at the call


def _refused(reason: str) -> CallFailedError:
    return CallFailedError("INVALID_ARGUMENT", f"{reason}. The environment was not called")


def split_reset(
    returned: Any, num_envs: int | None, *, tuple_space: bool
) -> tuple[Any, Mapping[str, Any]]:
    """Observation and info of a reset: Gymnasium's pair, or an observation alone as before 0.26.

    Raises:
        BadResultError: If it is a tuple but no such pair, and an observation is no tuple.
    """
    pair = isinstance(returned, (list, tuple)) and len(returned) == 2
    if pair and (not tuple_space or isinstance(returned[0], (list, tuple))):
        info = _info(returned[1], num_envs)
        if info is not None:
            return returned[0], info
    if isinstance(returned, tuple) and not tuple_space:
        raise BadResultError(f"{_RESET}, got {_outline(returned)}")
    return returned, {}


def split_step(returned: Any, num_envs: int | None) -> tuple[Any, Any, Any, Any, Mapping[str, Any]]:
    """Observation, rewards, terminations, truncations (lists of `num_envs`, or of one) and info.

    Four results as before Gym 0.26 have one `done`, which is truncated where the info says
    `TimeLimit.truncated`.

    Raises:
        BadResultError: If it is none of these.
    """
    if not isinstance(returned, (list, tuple)) or len(returned) not in (4, 5):
        raise BadResultError(f"{_STEP}, got {_outline(returned)}")
    info = _info(returned[-1], num_envs)
    if info is None:
        raise BadResultError(f"{_STEP} with a dict as info, got {type(returned[-1]).__name__}")
    rewards = _rewards(returned[1], num_envs)
    ended = _flags(returned[2], num_envs, "terminated" if len(returned) == 5 else "done")
    if len(returned) == 5:
        return returned[0], rewards, ended, _flags(returned[3], num_envs, "truncated"), info
    cut = np.broadcast_to(np.asarray(info.get("TimeLimit.truncated", False), bool), num_envs or 1)
    cuts = [bool(c) and e for c, e in zip(cut, ended)]
    return returned[0], rewards, [e and not c for e, c in zip(ended, cuts)], cuts, info


def _info(info: Any, num_envs: int | None) -> Mapping[str, Any] | None:
    """An info as a dict; None if it is none. Gym before 0.24 had a list of a vector's infos."""
    if info is None:
        return {}
    if num_envs is None or isinstance(info, Mapping):
        if num_envs is not None and not _RENAMED.keys().isdisjoint(info):
            return _renamed(info)
        return info if isinstance(info, Mapping) else None
    if not isinstance(info, (list, tuple)) or len(info) != num_envs:
        return None
    infos: dict[str, Any] = {}
    for index, each in enumerate(info):
        add_info(infos, _renamed(each), index, num_envs)
    return infos


def _renamed(info: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key) or key: value for key, value in info.items()}


def add_info(target: dict[str, Any], info: Mapping[str, Any], index: int, num_envs: int) -> None:
    """Adds the info of a sub-environment to infos, as Gymnasium's vector environments do."""
    for key, value in info.items():
        if isinstance(value, Mapping) and key != "final_obs":
            add_info(target.setdefault(key, {}), value, index, num_envs)
        else:
            if key not in target:
                target[key] = _room_for(key, value, num_envs)
            target[key][index] = value
        target.setdefault(f"_{key}", np.zeros(num_envs, np.bool_))[index] = True


def _room_for(key: str, value: Any, num_envs: int) -> Any:
    if key != "final_obs":
        if type(value) in (int, float, bool) or isinstance(value, np.number):
            return np.zeros(num_envs, np.asarray(value).dtype)
        if isinstance(value, np.ndarray):
            return np.zeros((num_envs, *value.shape), value.dtype)
    return np.full(num_envs, None, object)


def _rewards(value: Any, num_envs: int | None) -> list[float]:
    values = [value] if num_envs is None else _row(value, num_envs, "the rewards")
    try:
        if all(np.ndim(each) == 0 and not isinstance(each, (str, bytes)) for each in values):
            return [float(each) for each in values]
    except (TypeError, ValueError, OverflowError):
        pass  # the same mistake, which NumPy or float() found
    raise BadResultError(f"the reward must be a real number, got {described(value)}")


def _flags(value: Any, num_envs: int | None, name: str) -> list[bool]:
    flags = []
    for each in [value] if num_envs is None else _row(value, num_envs, name):
        array = np.asarray(each)
        if array.ndim or array.dtype.kind not in "biuf" or array not in (0, 1):
            raise BadResultError(f"{name} must be a bool, got {described(each)}")
        flags.append(bool(each))
    return flags


def _row(value: Any, num_envs: int, name: str) -> Any:
    if np.shape(value) != (num_envs,):
        raise BadResultError(f"{name} must have the shape ({num_envs},), got {np.shape(value)}")
    return np.asarray(value).tolist()


def _outline(returned: Any) -> str:
    if isinstance(returned, (list, tuple)):
        names = ", ".join(type(part).__name__ for part in returned)
        return f"a {type(returned).__name__} of {len(returned)}: ({names})"
    return type(returned).__name__
