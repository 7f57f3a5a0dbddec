"""Reads an environment and writes its contract."""

from __future__ import annotations

import inspect
from typing import Any, TypeGuard

from rlmesh.codec.infos.packing import plain
from rlmesh.codec.infos.type_guards import is_collection, is_mapping
from rlmesh.contract.carrying import why_too_large
from rlmesh.errors import InvalidEnvError, UnsupportedSpaceError
from rlmesh.spaces import Space
from rlmesh.spaces.batching import batch_as_declared
from rlmesh.spaces.conversions import CONVERSIONS
from rlmesh.spaces.from_gymnasium import convert_space
from rlmesh.spaces.paths import ROOT
from rlmesh_api.contract import AutoresetMode, EnvContract, EnvSpec

__all__ = ["UNKNOWN_ID", "autoreset_mode_from", "is_vector", "legacy_render_mode", "read_contract"]

UNKNOWN_ID = "UnknownEnv-v1"

_METHODS = ("reset", "step", "close")
_VECTOR_MARKS = ("num_envs", "single_observation_space", "single_action_space")


def read_contract(env: object, *, delivers_nan: bool = False) -> EnvContract:
    """Writes the contract of an environment, without calling any of its methods.

    Args:
        env: A `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or an object of that shape.
        delivers_nan: Whether its server delivers NaN.

    Raises:
        InvalidEnvError: If it has not the shape of an environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    _check_shape(env)
    vector = is_vector(env)
    spec = _spec(env)
    metadata = _metadata(env)
    mode = _autoreset_mode(metadata.pop("autoreset_mode", None)) if vector else None
    prefix = "single_" if vector else ""
    converted: dict[str, str] = {}
    observation_space = _space(env, f"{prefix}observation_space", converted)
    action_space = _space(env, f"{prefix}action_space", converted)
    if converted:
        metadata[CONVERSIONS] = converted
    num_envs = _num_envs(env) if vector else 1
    render_mode = getattr(env, "render_mode", None) or legacy_render_mode(env)
    contract = EnvContract(
        id=spec.id if spec else UNKNOWN_ID,
        vector=vector,
        observation_space=observation_space,
        action_space=action_space,
        num_envs=num_envs,
        autoreset_mode=mode,
        render_mode=None if render_mode is None else str(render_mode),
        metadata=plain(metadata),
        spec=spec,
        batched_observation_space=_batched(env, "observation_space", observation_space, num_envs)
        if vector
        else None,
        batched_action_space=_batched(env, "action_space", action_space, num_envs)
        if vector
        else None,
        delivers_nan=delivers_nan,
    )
    reason = why_too_large(contract)
    if reason is not None:
        raise UnsupportedSpaceError(reason)
    return contract


def is_vector(env: object) -> bool:
    """Whether the object has the shape of a vector environment."""
    return all(hasattr(env, mark) for mark in _VECTOR_MARKS)


def legacy_render_mode(env: object) -> str | None:
    """The mode to call an old environment's `render(mode=)` with; None for any other environment.

    Before Gym 0.26 a caller named the mode at each call, and `metadata` listed the modes under
    `render.modes`. A client draws nothing on the server's screen, so `human` is never asked for.
    """
    if getattr(env, "render_mode", None) is not None:
        return None
    try:
        parameters = inspect.signature(getattr(env, "render", None)).parameters  # type: ignore[arg-type] # None is refused by a TypeError
    except (TypeError, ValueError):
        return None
    if "mode" not in parameters:
        return None
    metadata: Any = getattr(env, "metadata", None)
    listed: Any = {}
    if is_mapping(metadata):
        listed = metadata.get("render.modes") or metadata.get("render_modes")
    modes = listed if is_collection(listed) and listed else ("rgb_array",)
    return next((mode for mode in ("rgb_array", "ansi") if mode in modes), None)


def autoreset_mode_from(mode: object) -> AutoresetMode | None:
    """Reads an autoreset mode as Gymnasium and RLMesh spell it; None if it is none.

    Args:
        mode: A member of Gymnasium's enum, `next_step`, or `NextStep`, for instance.
    """
    # Gymnasium's enum is read by its name, so that it need not be imported.
    word = str(getattr(mode, "name", mode)).replace("_", "").lower()
    return next((known for known in AutoresetMode if word == known.value.replace("_", "")), None)


def _check_shape(env: object) -> None:
    if inspect.isclass(env):
        raise InvalidEnvError(
            f"env must be an environment, got the class {env.__name__}; make an instance of it"
        )
    other = _other_library(env)
    if other is not None:
        raise InvalidEnvError(other)
    spaces = _VECTOR_MARKS if is_vector(env) else ("observation_space", "action_space")
    missing = [name for name in spaces if not hasattr(env, name)]
    missing += [f"{name}()" for name in _METHODS if not callable(getattr(env, name, None))]
    if missing:
        raise InvalidEnvError(
            f"env must be a gymnasium.Env, a gymnasium.vector.VectorEnv or an object of that "
            f"shape, got {type(env).__name__} without {', '.join(missing)}"
        )


def _other_library(env: object) -> str | None:
    """What to do with an environment of another library's form; None if it has Gymnasium's."""
    name = type(env).__name__
    if hasattr(env, "num_envs") and hasattr(env, "step_async") and not is_vector(env):
        return (
            f"env must have Gymnasium's form, got {name}, which has that of a VecEnv of "
            f"Stable-Baselines3: its reset() and step() return other results. EnvServer serves a "
            f"whole VecEnv as it is; otherwise serve the environments that it was made of, "
            f"as a list, EnvServer([make(), make()])"
        )
    if callable(getattr(env, "observation_space", None)):
        return (
            f"env must be an environment of one agent, got {name}, which has the form of a "
            f"PettingZoo environment: its spaces are methods that take an agent. Serve a wrapper "
            f"whose observation_space and action_space are gymnasium.spaces.Dict of the agents, "
            f"or one server for each agent"
        )
    return None


def _space(env: object, name: str, converted: dict[str, str]) -> Space:
    """One of an environment's spaces; notes which parts of it were converted."""
    space = getattr(env, name)
    if space is None:
        raise InvalidEnvError(f"env.{name} of {type(env).__name__} is None; set it to a space")
    read, noted = convert_space(space)
    converted |= {f"{name}{place.removeprefix(ROOT)}": kind for place, kind in noted.items()}
    return read


def _batched(env: object, name: str, single: Space, num_envs: int) -> Space | None:
    declared = getattr(env, name, None)
    return None if declared is None else batch_as_declared(declared, single, num_envs, name)


def _num_envs(env: object) -> int:
    declared: Any = getattr(env, "num_envs", None)
    try:
        num_envs = int(declared)
    except (TypeError, ValueError, OverflowError):
        num_envs = 0
    if num_envs < 1 or num_envs != declared:
        raise InvalidEnvError(
            f"env.num_envs of {type(env).__name__} must be a positive integer, got {declared!r}"
        )
    return num_envs


def _metadata(env: object) -> dict[str, Any]:
    metadata = getattr(env, "metadata", None)
    if metadata is None:
        return {}
    if not is_mapping(metadata):
        raise InvalidEnvError(
            f"env.metadata of {type(env).__name__} must be a dict, got {type(metadata).__name__}"
        )
    return dict(metadata)


def _autoreset_mode(mode: Any) -> AutoresetMode | None:
    known = autoreset_mode_from(mode)
    if known is not None or mode is None:
        return known
    raise InvalidEnvError(
        f'env.metadata["autoreset_mode"] must be one of {", ".join(AutoresetMode)}, got {mode!r}'
    )


def _spec(env: object) -> EnvSpec | None:
    spec: Any = getattr(env, "spec", None)
    name = getattr(spec, "id", None)
    if not isinstance(name, str):
        return None
    threshold = getattr(spec, "reward_threshold", None)
    kwargs = getattr(spec, "kwargs", None)
    steps = getattr(spec, "max_episode_steps", None)
    return EnvSpec(
        id=name,
        reward_threshold=float(threshold) if _is_real(threshold) else None,
        nondeterministic=bool(getattr(spec, "nondeterministic", False)),
        # -1 is Gymnasium's way to ask `make` for no limit.
        max_episode_steps=int(steps) if _is_real(steps) and steps > 0 else None,
        order_enforce=bool(getattr(spec, "order_enforce", True)),
        disable_env_checker=bool(getattr(spec, "disable_env_checker", False)),
        kwargs=plain(dict(kwargs)) if is_mapping(kwargs) else {},
    )


def _is_real(value: object) -> TypeGuard[float]:
    return hasattr(value, "__float__") and not isinstance(value, (str, bytes))
