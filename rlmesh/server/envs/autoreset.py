"""Gives a session another autoreset mode than the vector environment runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_array
from rlmesh.codec.vector.infos import add_sub_env, mark_sub_env, unmasked
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.envs.gym_compat import compile_reset, takes_options
from rlmesh.envs.results import BadResultError, flags_of, split_reset, split_step
from rlmesh.server.failures import failed
from rlmesh_api.contract import DictSpace, Space, TupleSpace
from rlmesh_api.v1 import session_pb2

# What resets itself as its `autoreset_mode` says, which can be set.
_SWITCHED = {("SyncVectorEnv", "gymnasium"), ("ParallelVectorEnv", "rlmesh")}

Flags = npt.NDArray[np.bool_]


class AutoresetRefusedError(Exception):
    """The environment cannot run the mode that a client asks for."""


def requested_mode(call: session_pb2.OpenCall) -> AutoresetMode | None:
    """The autoreset mode that a client asks for; None: the environment's own.

    Raises:
        CallFailedError: If there is no such mode.
    """
    if not call.HasField("autoreset_mode"):
        return None
    try:
        return AutoresetMode.from_proto(call.autoreset_mode)
    except ValueError as error:
        raise failed(session_pb2.ERROR_CODE_INVALID_ARGUMENT, str(error)) from error


def check_mode(call: session_pb2.OpenCall, contract: EnvContract) -> None:
    """Refuses a client that asks for an autoreset mode that does not exist, or should and does not.

    Raises:
        CallFailedError: If it does.
    """
    mode = requested_mode(call)
    if call.as_vector and mode is None and not contract.vector:
        raise failed(
            session_pb2.ERROR_CODE_INVALID_ARGUMENT,
            "as_vector at the endpoint of a single environment needs an autoreset_mode",
        )


def in_mode(env: Any, contract: EnvContract, mode: AutoresetMode | None) -> Any:
    """The environment in the requested mode: itself, or wrapped.

    Gymnasium's SyncVectorEnv has a switch, and so has `ParallelVectorEnv`. Any other environment
    with autoreset disabled is reset sub-environment by sub-environment, as its user would do. An
    environment that resets itself cannot be stopped: the step that resets one sub-environment steps
    the others.

    Args:
        env: The environment.
        contract: Its contract.
        mode: The requested mode; None: its own.

    Raises:
        AutoresetRefusedError: If the environment cannot run the mode.
    """
    own = contract.autoreset_mode
    wanted = mode or own
    if wanted is not None and _has_switch(env):
        gymnasiums = env.autoreset_mode.__class__[wanted.name]
        env.autoreset_mode = env.metadata["autoreset_mode"] = gymnasiums
        return env
    if wanted is None or wanted is own:
        return env
    if own is AutoresetMode.DISABLED and wanted is AutoresetMode.SAME_STEP and takes_options(env):
        return SameStep(env, contract)
    raise AutoresetRefusedError(
        f"autoreset={wanted.value!r} is not available at this endpoint, whose environment "
        f"({type(env).__name__}) {f'runs {own.value!r}' if own else 'declares no mode'}; "
        f"connect without autoreset=, or serve an environment in that mode"
    )


def _has_switch(env: object) -> bool:
    # By its name, so that Gymnasium need not be imported. A subclass may do something else.
    kind = type(env)
    return (kind.__name__, kind.__module__.partition(".")[0]) in _SWITCHED


class SameStep:
    """A vector environment with autoreset disabled, reset at the step that ends an episode.

    The results are those of Gymnasium's SyncVectorEnv in its same-step mode, with one difference: a
    sub-environment's `final_obs` has the form that its space declares.

    Args:
        env: The environment; its `reset` takes the option `reset_mask`.
        contract: Its contract.
    """

    def __init__(self, env: Any, contract: EnvContract) -> None:
        self._env = env
        self._reset = compile_reset(env)
        self._space = contract.observation_space
        self._num_envs = contract.num_envs

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Resets as the environment does."""
        return self._reset(seed, options)

    def step(self, actions: Any) -> Any:
        """Steps, and resets the sub-environments whose episode ended.

        Raises:
            BadResultError: If the reset returned no valid result.
        """
        returned = self._env.step(actions)
        try:
            observations, rewards, *flags, infos = split_step(returned, self._num_envs)
            terminations, truncations = (
                flags_of(part, self._num_envs, "the flags").copy() for part in flags
            )
        except BadResultError:
            return returned  # refused where the results of every step are read
        done = terminations | truncations
        if not done.any():
            return returned
        # Copies, as of the flags: the environment may reuse its arrays in the reset.
        rewards = np.array(rewards)
        ended = {
            env_index: _sub_env_of(self._space, observations, env_index)
            for env_index in done.nonzero()[0].tolist()
        }
        # The mask is a copy: the environment may keep or change it.
        restarted = self._reset(None, {"reset_mask": done.copy()})
        first, reset_infos = split_reset(restarted, tuple_space=False)
        infos = _merged(infos, reset_infos, ended, self._num_envs)
        return first, rewards, terminations, truncations, infos

    def render(self) -> Any:
        """Renders as the environment does."""
        return self._env.render()


def _sub_env_of(space: Space, values: Any, env_index: int) -> Any:
    """One sub-environment's part of the observations, as a separate value."""
    if isinstance(space, DictSpace):
        return {
            entry.key: _sub_env_of(entry.space, values[entry.key], env_index)
            for entry in space.entries
        }
    if isinstance(space, TupleSpace):
        return tuple(
            _sub_env_of(child, part, env_index)
            for child, part in zip(space.spaces, values, strict=True)
        )
    part = values[env_index]
    return part.copy() if is_array(part) else part


def _merged(
    infos: Mapping[str, Any], resets: Mapping[str, Any], ended: dict[int, Any], num_envs: int
) -> dict[str, Any]:
    """The infos of a step in which sub-environments ended and were reset, in Gymnasium's order.

    Args:
        infos: The infos of the step.
        resets: The infos of the reset.
        ended: The last observation of each sub-environment that ended.
        num_envs: The number of sub-environments.
    """
    # A key without a mask belongs to no single sub-environment, so it stands in the infos of the
    # step and in those of its end.
    whole = unmasked(infos)
    merged = {**whole, **unmasked(resets)}
    for env_index in range(num_envs):
        if env_index not in ended:
            add_sub_env(merged, infos, env_index, num_envs, env_index)
            continue
        observations = merged.setdefault("final_obs", np.full(num_envs, None, dtype=object))
        observations[env_index] = ended[env_index]
        mark_sub_env(merged, "final_obs", env_index, num_envs)
        add_sub_env(
            merged.setdefault("final_info", dict(whole)), infos, env_index, num_envs, env_index
        )
        mark_sub_env(merged, "final_info", env_index, num_envs)
        add_sub_env(merged, resets, env_index, num_envs, env_index)
    return merged
