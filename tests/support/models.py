"""Models for tests, and workers that end with their `with` block."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

import rlmesh
from rlmesh.client.probing import fetch_status

OBSERVATIONS = spaces.Dict(
    {"image": spaces.Box(0, 255, (4, 4, 3), np.uint8), "state": spaces.Box(-1, 1, (3,), np.float32)}
)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
HORIZON = 4

Array = npt.NDArray[Any]


def observation(seed: int = 0) -> dict[str, Any]:
    """A member of `OBSERVATIONS`, another one for each seed."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (4, 4, 3), np.uint8),
        "state": rng.uniform(-1, 1, 3).astype(np.float32),
    }


class Model:
    """A model of `OBSERVATIONS` and `ACTIONS`; a subclass has the methods.

    Attributes:
        sizes: How many observations each call had.
        threads: The threads that called it.
    """

    observation_space: Any = OBSERVATIONS
    action_space: Any = ACTIONS

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def called(self, size: int) -> None:
        self.sizes.append(size)
        self.threads.add(threading.get_ident())


def act(state: Array) -> Array:
    """What the models here do: the last axis of `state`, without its last element."""
    taken: Array = (state * np.float32(0.5))[..., :2].astype(np.float32)
    return taken


class OfOne(Model):
    """Has `predict`."""

    def predict(self, observation: Any) -> Array:
        self.called(1)
        return act(observation["state"])


class OfMany(Model):
    """Has `predict_batch`."""

    def predict_batch(self, observations: Any) -> Array:
        self.called(len(observations["state"]))
        return act(observations["state"])


def chunk_of(actions: Array) -> Array:
    """A chunk that begins with an action; the others are smaller and smaller."""
    scale = np.float32(0.5) ** np.arange(HORIZON, dtype=np.float32)
    whole: Array = actions[..., None, :] * scale[:, None]
    return whole


class OfChunk(Model):
    """Has `predict_chunk`."""

    horizon = HORIZON

    def predict_chunk(self, observation: Any) -> Array:
        self.called(1)
        return chunk_of(act(observation["state"]))


class OfChunks(Model):
    """Has `predict_chunk_batch`."""

    horizon = HORIZON

    def predict_chunk_batch(self, observations: Any) -> Array:
        self.called(len(observations["state"]))
        return chunk_of(act(observations["state"]))


class Planning(OfChunk):
    """Plans on: a chunk begins with so many actions of the last one as will be executed meanwhile.

    Attributes:
        offers: The prefix and the delay of each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[tuple[Any, int]] = []

    def predict_chunk(self, observation: Any, prefix: Any = None, delay: int = -1) -> Array:
        self.offers.append((prefix, delay))
        chunk = super().predict_chunk(observation)
        if prefix is not None:
            chunk[:delay] = prefix[:delay]
        return chunk


class Recurrent(Model):
    """Adds up all that its episode has seen, and some noise."""

    def __init__(self) -> None:
        super().__init__()
        self.resets = 0

    def reset(self, context: rlmesh.ModelContext) -> None:
        self.resets += 1
        context.state = np.zeros(3, np.float32)

    def predict(self, observation: Any, context: rlmesh.ModelContext) -> Array:
        self.called(1)
        context.state = 0.5 * context.state + 0.25 * observation["state"]
        noise = context.rng.uniform(-0.25, 0.25, 2)
        return (act(context.state) + noise).astype(np.float32)


class RecurrentBatches(Model):
    """The same in batches, of any sessions."""

    def reset(self, context: rlmesh.ModelContext) -> None:
        context.state = np.zeros(3, np.float32)

    def predict_batch(self, observations: Any, contexts: list[rlmesh.ModelContext]) -> Array:
        self.called(len(contexts))
        for context, state in zip(contexts, observations["state"], strict=True):
            context.state = 0.5 * context.state + 0.25 * state
        noise = np.stack([context.rng.uniform(-0.25, 0.25, 2) for context in contexts])
        return (act(np.stack([context.state for context in contexts])) + noise).astype(np.float32)


class Gated(OfMany):
    """Waits in each call until the test lets it go on.

    Attributes:
        entered: Counts the calls that were begun.
        go_on: Lets one call go on for each release.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def predict_batch(self, observations: Any) -> Array:
        self.entered.release()
        self.go_on.acquire()
        return super().predict_batch(observations)


def await_queue(worker: rlmesh.ModelWorker, length: int) -> None:
    """Waits until so many requests wait for the only model of a worker."""
    while sum(model.queue_length for model in fetch_status(worker.address, 20.0).models) < length:
        threading.Event().wait(0.005)


@contextlib.contextmanager
def working(
    model: Any, address: str | None = None, **settings: Any
) -> Generator[rlmesh.ModelWorker]:
    """Serves a model from threads of this process."""
    worker = rlmesh.ModelWorker(model, address, **settings)
    try:
        worker.start()
        yield worker
    finally:
        worker.shutdown()


@contextlib.contextmanager
def remote_model(model: Any, **settings: Any) -> Generator[rlmesh.RemoteModel]:
    """A client of a model that is served from this process, on every transport."""
    with working(model, direct=0) as worker:
        with rlmesh.RemoteModel(worker.address, **settings) as client:
            yield client
