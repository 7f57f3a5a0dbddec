"""A client of a model that speaks as an environment does: steps stand between."""

from __future__ import annotations

from typing import Any, Protocol

from rlmesh.adapters.adapted_values import AdaptedValues, check_prefix
from rlmesh.adapters.adapter import Adapter
from rlmesh.client.model_client import ModelClient


class Predicts(Protocol):
    """What `RemoteModel` asks: a client, as itself or behind an adapter."""

    def reset(self, seed: Any, options: Any) -> None:
        """Begins an episode."""

    def predict(self, observation: Any) -> Any:
        """The action for an observation."""
        ...

    def predict_chunk(self, observation: Any, prefix: Any, delay: int) -> Any:
        """The chunk for an observation."""
        ...

    def predict_batch(self, observations: Any, *, chunk: bool) -> Any:
        """The actions, or the chunks, for a batch, stacked."""
        ...

    def post_prediction(
        self, observation: Any, *, chunk: bool, prefix: Any = None, delay: int = 0
    ) -> None:
        """Sends an observation; `take_prediction` returns the answer. No other call between."""

    def take_prediction(self) -> Any:
        """Awaits the answer to what was posted, and returns it."""
        ...


class AdaptedModelClient:
    """A client behind an adapter: it takes the environment's observations, and gives its actions.

    Args:
        client: The client of the model.
        whole: What stands between the environment and the model.
        adapter: The part of it that is applied here.
    """

    def __init__(self, client: ModelClient, whole: Adapter, adapter: Adapter) -> None:
        self._client = client
        self._whole = whole
        self._adapter = adapter
        self._values = AdaptedValues(adapter)
        # Whether what was posted asks for a chunk.
        self._posted_chunk = False

    def reset(self, seed: Any, options: Any) -> None:
        """Begins an episode."""
        self._client.reset(seed, options)
        self._values.begin()

    def predict(self, observation: Any) -> Any:
        """The action for an observation."""
        values = self._values
        answer = self._client.predict(values.observation(observation))
        action = self._adapter.action(answer)
        values.keep()
        return action

    def predict_chunk(self, observation: Any, prefix: Any, delay: int) -> Any:
        """The chunk for an observation."""
        self.post_prediction(observation, chunk=True, prefix=prefix, delay=delay)
        return self.take_prediction()

    def predict_batch(self, observations: Any, *, chunk: bool) -> Any:
        """The actions, or the chunks, for a batch, stacked."""
        values = self._values
        answer = self._client.predict_batch(values.observations(observations), chunk=chunk)
        actions = values.chunks(answer) if chunk else values.chunk(answer)
        values.keep()
        return actions

    def post_prediction(
        self, observation: Any, *, chunk: bool, prefix: Any = None, delay: int = 0
    ) -> None:
        """Sends an observation; `take_prediction` returns the answer. No other call between."""
        check_prefix(self._whole, prefix)
        adapted = self._values.observation(observation)
        self._client.post_prediction(adapted, chunk=chunk, prefix=prefix, delay=delay)
        self._posted_chunk = chunk

    def take_prediction(self) -> Any:
        """Awaits the answer to what was posted, and returns it."""
        answer = self._client.take_prediction()
        values = self._values
        action = values.chunk(answer) if self._posted_chunk else self._adapter.action(answer)
        values.keep()
        return action
