"""Reads an environment and writes its contract, without calling any of its methods."""

from __future__ import annotations

import enum
import inspect
from typing import Any, Mapping

import numpy as np

from rlmesh_legacy_server.messages import MODE, EnvContract, sendable
from rlmesh_legacy_server.slabs import Layout
from rlmesh_legacy_server.spaces import UnsupportedSpaceError, space_message
from rlmesh_legacy_server.texts import guarded, text_of

VECTOR_MARKS = ("num_envs", "single_observation_space", "single_action_space")
_MOST_BYTES = 1 << 30
_DEEPEST = 64


class InvalidEnvError(TypeError):
    """An object that has not the shape of an environment."""


def read_contract(env: Any, *, delivers_nan: bool = False) -> Any:
    """The contract of an environment, as a message.

    Raises:
        InvalidEnvError: If it has not the shape of an environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    vector = all(hasattr(env, mark) for mark in VECTOR_MARKS)
    names = VECTOR_MARKS if vector else ("observation_space", "action_space")
    missing = [name for name in names if getattr(env, name, None) is None]
    methods = ("reset", "step", "close")
    missing += [f"{name}()" for name in methods if not callable(getattr(env, name, None))]
    if inspect.isclass(env) or missing:
        raise InvalidEnvError(
            f"env must be an environment of Gym or Gymnasium, or an object of that shape, got "
            f"{env.__name__ if inspect.isclass(env) else type(env).__name__}"
            f"{', a class' if inspect.isclass(env) else ' without ' + ', '.join(missing)}"
        )
    contract = EnvContract(id="UnknownEnv-v1", vector=vector, delivers_nan=delivers_nan)
    contract.num_envs = int(env.num_envs) if vector else 1
    prefix = "single_" if vector else ""
    for name in ("observation_space", "action_space"):
        space = space_message(getattr(env, prefix + name), f"{name} $")
        getattr(contract, name).CopyFrom(space)
        batched = getattr(env, name, None) if vector else None
        if batched is not None:
            _check_batched(name, space, space_message(batched), contract.num_envs)
        if Layout(space, contract.num_envs, "off", nan=True).size > _MOST_BYTES:
            raise UnsupportedSpaceError(f"{name}: a value has more than {_MOST_BYTES} bytes")
    metadata = dict(getattr(env, "metadata", None) or {})
    mode = metadata.pop("autoreset_mode", None)
    if vector:
        mode = _mode_named(mode) or _mode_by_version(env)
        if mode:
            contract.autoreset_mode = mode
    render_mode = getattr(env, "render_mode", None) or legacy_render_mode(env)
    if render_mode is not None:
        contract.render_mode = str(render_mode)
    _fill_dict(contract.metadata, metadata, ())
    _fill_spec(contract, getattr(env, "spec", None))
    return contract


def legacy_render_mode(env: Any) -> str | None:
    """The mode to call an old environment's `render(mode=)` with; None for any other environment.

    A client draws nothing on the server's screen, so `human` is never asked for.
    """
    if getattr(env, "render_mode", None) is not None:
        return None
    try:
        parameters = inspect.signature(env.render).parameters
    except (AttributeError, TypeError, ValueError):
        return None
    if "mode" not in parameters:
        return None
    metadata = getattr(env, "metadata", None) or {}
    modes = metadata.get("render.modes") or metadata.get("render_modes") or ("rgb_array",)
    return next((mode for mode in ("rgb_array", "ansi") if mode in modes), None)


def _mode_named(mode: Any) -> int:
    """The number of an autoreset mode as Gymnasium spells it; 0 if it is none."""
    word = str(getattr(mode, "name", mode)).replace("_", "").lower()
    return next((n for name, n in MODE.items() if n and name.replace("_", "").lower() == word), 0)


def _mode_by_version(env: Any) -> int:
    """When a vector environment that does not say so resets its sub-environments; 0: unknown."""
    library = next(
        (c.__module__.partition(".")[0] for c in type(env).__mro__ if c.__name__ == "VectorEnv"), ""
    )
    if library not in ("gym", "gymnasium"):
        return 0
    version = __import__(library).__version__
    return MODE["SAME_STEP" if library == "gym" or version.startswith("0.") else "NEXT_STEP"]


def _check_batched(name: str, single: Any, batched: Any, num_envs: int) -> None:
    """Refuses sub-environments with different bounds, of which this server knows only one's."""
    one = Layout(single, num_envs, "off", nan=True).numeric()
    every = Layout(batched, None, "off", nan=True).numeric()
    if one.keys() == every.keys() and all(one[path].same(every[path]) for path in one):
        return
    raise UnsupportedSpaceError(
        f"{name}: it must hold {num_envs} sub-environments of single_{name}, with the same bounds; "
        f"serve sub-environments with equal bounds, or each by itself"
    )


def _fill_spec(contract: Any, spec: Any) -> None:
    name = getattr(spec, "id", None)
    if not isinstance(name, str):
        return
    contract.id = contract.spec.id = name
    threshold, steps = (
        getattr(spec, "reward_threshold", None),
        getattr(spec, "max_episode_steps", None),
    )
    if threshold is not None:
        contract.spec.reward_threshold = float(threshold)
    if steps is not None and steps > 0:
        contract.spec.max_episode_steps = int(steps)
    contract.spec.nondeterministic = bool(getattr(spec, "nondeterministic", False))
    contract.spec.order_enforce = bool(getattr(spec, "order_enforce", True))
    contract.spec.disable_env_checker = bool(getattr(spec, "disable_env_checker", False))
    # Gym before 0.26 named them with an underscore.
    kwargs = getattr(spec, "kwargs", getattr(spec, "_kwargs", None))
    _fill_dict(contract.spec.kwargs, kwargs or {}, ())


def _fill_dict(message: Any, values: Mapping[Any, Any], around: Any) -> None:
    message.SetInParent()
    names: dict[str, Any] = {}
    for key, value in values.items():
        names.setdefault(key if isinstance(key, str) else text_of(key), value)
    for name, value in names.items():
        entry = message.entries.add(key=sendable(name))
        entry.value.SetInParent()
        _fill(entry.value, value, around)


def _fill(message: Any, value: Any, around: Any) -> None:
    """Writes a plain value; what a contract cannot hold becomes its text."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    odd = isinstance(value, enum.Enum) and not isinstance(value, (int, str))
    if value is None:
        return
    if odd or id(value) in around or len(around) > _DEEPEST:
        message.text = sendable(text_of(value))
    elif isinstance(value, Mapping):
        _fill_dict(message.dict, guarded(lambda: dict(value), {}), (*around, id(value)))
    elif isinstance(value, (list, tuple)):
        target = message.list if isinstance(value, list) else message.tuple
        target.SetInParent()
        for item in value:
            _fill(target.values.add(), item, (*around, id(value)))
    else:
        _fill_leaf(message, value)


def _fill_leaf(message: Any, value: Any) -> None:
    if isinstance(value, bool):
        message.boolean = value
    elif isinstance(value, int):
        small = -(1 << 63) <= value < 1 << 63
        setattr(message, "integer" if small else "big_integer", int(value) if small else str(value))
    elif isinstance(value, float):
        message.real = value
    elif isinstance(value, bytes):
        message.data = bytes(value)
    else:
        message.text = sendable(str.__str__(value) if isinstance(value, str) else text_of(value))
