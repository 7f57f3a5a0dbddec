"""An `EnvClient` that makes spans; imported where spans are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rlmesh.client.call_client import CallClient
from rlmesh.client.call_spans import CallSpans
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient, Transition, step_call
from rlmesh.client.episode_spans import EpisodeSpans
from rlmesh.client.served_partial_steps import ServedPartialSteps
from rlmesh.client.transitions import Transitions
from rlmesh.codec.slab.violations import Deviation
from rlmesh.errors import RlmeshError
from rlmesh.tracing import steps_are_traced
from rlmesh_api.v1 import session_pb2


class TracedEnvClient(EnvClient):
    """An `EnvClient` whose resets and episodes have spans, and its steps where they are asked for.

    Arguments and errors are those of `EnvClient`.
    """

    def __init__(self, address: str, options: EnvConnectOptions) -> None:
        self._traces_steps = steps_are_traced()
        super().__init__(address, options)
        spans = self._call_client.spans
        if spans is None:
            raise ValueError("a traced client needs the spans of its session")
        self._spans: CallSpans = spans
        self._episodes = EpisodeSpans(spans, self._call_client.num_envs, self.mode)

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; returns observation and info."""
        self._episodes.reset(seed, options)
        with self._episodes.failing(), self._spans.ending_call():
            return super().reset(seed, options)

    def post_reset(self, seed: Any, options: Any) -> None:
        """As of `EnvClient`."""
        self._episodes.reset(seed, options)
        with self._episodes.failing(), self._spans.failing_call():
            super().post_reset(seed, options)

    def take_reset(self) -> tuple[Any, dict[str, Any]]:
        """Awaits the reset; returns observation and info."""
        with self._episodes.failing(), self._spans.ending_call():
            return super().take_reset()

    def step(self, action: Any) -> Transition:
        """Steps the environment."""
        with self._episodes.failing():
            if self._traces_steps:
                slab, noticed = self.encode(action)
                request = session_pb2.SessionRequest(step=step_call(slab, noticed))
                self._spans.begin_call("step", self._episodes.scope)
                with self._spans.ending_call():
                    transition = self._transition(self._call_client.exchange_step(request))
            else:
                transition = super().step(action)
        self._episodes.stepped(*transition[1:4])
        return transition

    def post_step(self, slab: bytes, noticed: list[Deviation]) -> None:
        """As of `EnvClient`."""
        with self._episodes.failing(), self._spans.failing_call():
            if self._traces_steps:
                self._spans.begin_call("step", self._episodes.scope)
                request = session_pb2.SessionRequest(step=step_call(slab, noticed))
                self._call_client.post(request, known=True)
            else:
                super().post_step(slab, noticed)

    def take_step(self) -> Transition:
        """Awaits the step and returns its result."""
        with self._episodes.failing(), self._spans.ending_call():
            transition = super().take_step()
        self._episodes.stepped(*transition[1:4])
        return transition

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """Steps the environment for one action after the other."""
        if self._traces_steps:
            self._spans.begin_call("step_many", self._episodes.scope)
        try:
            with self._spans.ending_call():
                made = super().step_many(actions)
        except RlmeshError as error:
            self._count(error.transitions)
            with self._episodes.failing():
                raise
        self._count(made)
        return made

    def partial(self, batch_size: int) -> ServedPartialSteps:
        """What steps some of the sub-environments."""
        return _TracedPartialSteps(
            self._call_client, batch_size, self._unpack_info, self._spans, self._episodes
        )

    def _count(self, made: Transitions | None) -> None:
        if made is not None:
            for step in zip(made.rewards, made.terminations, made.truncations, strict=True):
                self._episodes.stepped(*step)

    def _reset_request(
        self, seed: Any, options: Any, stacklevel: int
    ) -> session_pb2.SessionRequest:
        # Two frames more on the way from the caller: this one, and that of the reset above.
        request = super()._reset_request(seed, options, stacklevel + 2)
        self._spans.begin_call("reset", self._episodes.scope)
        return request


class _TracedPartialSteps(ServedPartialSteps):
    """Counts the steps of some sub-environments to their episodes."""

    def __init__(
        self,
        call_client: CallClient,
        batch_size: int,
        unpack_info: Callable[[bytes], dict[str, Any]],
        spans: CallSpans,
        episodes: EpisodeSpans,
    ) -> None:
        super().__init__(call_client, batch_size, unpack_info)
        self._traces_steps = steps_are_traced()
        self._spans = spans
        self._episodes = episodes

    def recv(self, timeout: float | None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Waits for the first that are done; their numbers stand in the info."""
        with self._episodes.failing(), self._spans.ending_call():
            transition = super().recv(timeout)
        self._episodes.stepped(*transition[1:4], transition[4]["env_id"])
        return transition

    def _post(self) -> None:
        if self._traces_steps:
            self._spans.begin_call("step_some")
        with self._episodes.failing(), self._spans.failing_call():
            super()._post()
