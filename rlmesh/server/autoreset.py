"""Gives a session another autoreset mode than the vector environment runs by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.contract import AutoresetMode, EnvContract

Flags = npt.NDArray[np.bool_]


class AutoresetRefusedError(Exception):
    """The mode that a client asks for cannot be had from this environment."""


def in_mode(env: Any, contract: EnvContract, mode: AutoresetMode | None) -> Any:
    """The environment, or what makes of it one with the mode that is asked for.

    Gymnasium's SyncVectorEnv has a switch. Any other environment with autoreset disabled is reset
    lane by lane, as its user would. What resets itself cannot be stopped from doing so.

    Raises:
        AutoresetRefusedError: If the mode cannot be had.
    """
    own = contract.autoreset_mode
    wanted = mode or own
    if _has_switch(env):
        if wanted is not None:
            env.autoreset_mode = type(env.autoreset_mode)[wanted.name]
        return env
    if wanted is own:
        return env
    if own is AutoresetMode.DISABLED and wanted is AutoresetMode.SAME_STEP:
        return SameStep(env, contract.num_envs)
    raise AutoresetRefusedError(
        f"autoreset={wanted.value if wanted else None!r} cannot be had from this endpoint, whose "
        f"environment runs {own.value if own else 'no mode that it tells'!r}; connect without "
        f"autoreset=, or serve an environment in that mode"
    )


def _has_switch(env: Any) -> bool:
    kind = type(env)
    return kind.__name__ == "SyncVectorEnv" and kind.__module__.startswith("gymnasium.")


class SameStep:
    """A vector environment with autoreset disabled, reset at the step that ends an episode."""

    def __init__(self, env: Any, num_envs: int) -> None:
        self._env = env
        self._num_envs = num_envs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Resets as the environment does."""
        return self._env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        """Steps, and resets the lanes whose episode ended, as Gymnasium's same-step mode does."""
        observations, rewards, terminations, truncations, infos = self._env.step(actions)
        done = np.asarray(terminations, bool) | np.asarray(truncations, bool)
        if not done.any():
            return observations, rewards, terminations, truncations, infos
        # Copies: the environment may reuse its buffers for the reset.
        rewards, terminations, truncations = (
            np.array(part) for part in (rewards, terminations, truncations)
        )
        final = np.full(self._num_envs, None, dtype=object)
        for lane in np.flatnonzero(done):
            final[lane] = _lane_of(observations, int(lane))
        first, reset_infos = self._env.reset(options={"reset_mask": done})
        merged = _only(infos, ~done, self._num_envs)
        merged["final_obs"], merged["_final_obs"] = final, done.copy()
        merged["final_info"], merged["_final_info"] = (
            _only(infos, done, self._num_envs),
            done.copy(),
        )
        return first, rewards, terminations, truncations, _merge(merged, reset_infos)


def _lane_of(value: Any, lane: int) -> Any:
    """One lane's part of a batched observation, as a value of its own."""
    if isinstance(value, dict):
        return {key: _lane_of(part, lane) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        part = value[lane]
        return part.copy() if isinstance(part, np.ndarray) else part
    if isinstance(value, tuple):
        # Lanes of texts stand in a tuple by themselves; a tuple space holds batched parts.
        if all(isinstance(part, str) for part in value):
            return value[lane]
        return tuple(_lane_of(part, lane) for part in value)
    return value


def _only(infos: dict[str, Any], lanes: Flags, num_envs: int) -> dict[str, Any]:
    """The infos of some lanes; keys that none of them has are left out."""
    kept: dict[str, Any] = {}
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if mask is None:
            continue
        mask = np.asarray(mask, bool) & lanes
        if not mask.any():
            continue
        kept[f"_{key}"] = mask
        if isinstance(value, dict):
            kept[key] = _only(value, lanes, num_envs)
        else:
            value = np.array(value)
            value[~mask] = None if value.dtype == object else np.zeros((), value.dtype)
            kept[key] = value
    return kept


def _merge(infos: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Two infos whose lanes do not overlap, as one."""
    merged = dict(infos)
    for key, value in more.items():
        mask = more.get(f"_{key}")
        if mask is None or key not in merged:
            merged.setdefault(key, value)
            continue
        if isinstance(value, dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = np.where(
                np.reshape(mask, (-1, *(1,) * (np.ndim(value) - 1))), value, merged[key]
            )
        merged[f"_{key}"] = merged[f"_{key}"] | mask
    return merged
