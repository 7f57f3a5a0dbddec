"""Executes steps of some sub-environments of a vector environment that steps them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rlmesh.codec.checks.policy import Policy
from rlmesh.contract import EnvContract
from rlmesh.server.envs.codecs import Codecs
from rlmesh.server.envs.episodes import EpisodeCounter, VectorEpisodeCounter
from rlmesh.server.envs.infos import InfoPacker
from rlmesh.server.envs.unreadable import unreadable
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.timings import Timings
from rlmesh_api.v1 import session_pb2


class PartialStepExecutor:
    """Steps some sub-environments for one session.

    Args:
        env: The environment.
        contract: Its contract.
        policy: What to do about values outside of their bounds.
        timings: Where the time in the environment is added up.
        env_raised: Makes the failure that an exception of the environment is.
        episodes: Counts the episodes; None: nothing does.
        recorded: Whether what happens is recorded, which holds steps of all sub-environments alone.
    """

    def __init__(
        self,
        env: Any,
        contract: EnvContract,
        policy: Policy,
        timings: Timings,
        env_raised: Callable[[str, BaseException], CallFailedError],
        episodes: EpisodeCounter | VectorEpisodeCounter | None = None,
        *,
        recorded: bool = False,
    ) -> None:
        self._env = env
        # Bounds that differ between sub-environments would need those of the named ones.
        self._contract = replace(
            contract, batched_observation_space=None, batched_action_space=None
        )
        self._able = (
            hasattr(env, "send")
            and hasattr(env, "recv")
            and self._contract.batched_observation_space == contract.batched_observation_space
            and self._contract.batched_action_space == contract.batched_action_space
        )
        self._recorded = recorded
        self._policy = policy
        self._timings = timings
        self._env_raised = env_raised
        self._episodes = episodes
        self._codecs: dict[int, Codecs] = {}

    def step(self, call: session_pb2.StepSomeCall) -> session_pb2.StepSomeResult:
        """Begins steps, and waits until enough are done.

        Raises:
            CallFailedError: If the environment cannot do that, or the arguments, the environment or
                what it returned is at fault.
        """
        if self._recorded:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                "what happens in this endpoint's environment is recorded, and a recording holds "
                "steps of all sub-environments together, so send() and recv() are not available; "
                "use step(), or serve it without record=",
            )
        if not self._able:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"this endpoint's environment ({type(self._env).__name__}) steps all of its "
                f"sub-environments together, so send() and recv() are not available; serve them "
                f"with EnvServer(factory, num_envs=, workers=), or use step()",
            )
        if not 1 <= call.batch_size <= self._contract.num_envs:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"batch_size must be 1 to {self._contract.num_envs}, got {call.batch_size}",
            )
        decoded = [self._decoded(each) for each in call.actions]
        try:
            with self._timings.of("step_some"):
                for action, env_ids in decoded:
                    self._env.send(action, env_ids)
                self._env.batch_size = call.batch_size
                observation, rewards, terminations, truncations, info = self._env.recv()
        except BaseException as error:
            raise self._env_raised("the environment's step()", error) from error
        try:
            numbers = info.pop("env_id")
            if isinstance(self._episodes, VectorEpisodeCounter):
                self._episodes.count_some(numbers, rewards, terminations | truncations)
            slab, deviations = self._codecs_for(len(numbers)).encode(observation)
            return session_pb2.StepSomeResult(
                env_ids=numbers.tolist(),
                step=session_pb2.StepResult(
                    observation=slab,
                    rewards=rewards,
                    terminations=terminations,
                    truncations=truncations,
                    info=InfoPacker(self._policy, len(numbers)).pack(info, deviations)
                    if info or deviations
                    else b"",
                ),
            )
        except BaseException as error:
            raise unreadable("step", error) from error

    def _decoded(self, given: session_pb2.PartialAction) -> tuple[Any, Any]:
        env_ids = np.array(given.env_ids, np.int64)
        num_envs = self._contract.num_envs
        if not 1 <= len(env_ids) <= num_envs or int(env_ids.max()) >= num_envs:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"env_ids must be 1 to {num_envs} numbers below {num_envs}",
            )
        action, _ = self._codecs_for(len(env_ids)).decode_action(given.action, ())
        return action, env_ids

    def _codecs_for(self, count: int) -> Codecs:
        codecs = self._codecs.get(count)
        if codecs is None:
            codecs = self._codecs[count] = Codecs(self._contract, count, self._policy)
        return codecs
