"""RLMesh: a `ModelWorker` in another process, and clients of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

import rlmesh
from benchmarks.models import task
from benchmarks.models.task import compute
from benchmarks.peer import Announce, peer

Ask = Callable[[Any], Any]


class Served:
    """The task as a model.

    Args:
        model: The name of the model.
    """

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, task.IMAGE_SHAPE, np.uint8),
            "state": spaces.Box(-1, 1, (task.STATE,), np.float32),
        }
    )
    action_space = spaces.Box(-1, 1, (task.ACTIONS,), np.float32)
    horizon = task.HORIZON
    id = "task"

    def __init__(self, model: str) -> None:
        self._model = model

    def predict_chunk(self, observation: Any) -> Any:
        """One chunk."""
        return compute(self._model, 1)[0]

    def predict_chunk_batch(self, observations: Any) -> Any:
        """Chunks for stacked observations."""
        return np.stack(compute(self._model, len(observations["state"])))


def serve(announce: Announce, model: str, batch: str) -> None:
    """The other process; `batch` is the most observations at once, 0 for as many as wait."""
    worker = rlmesh.ModelWorker(Served(model), max_batch_size=int(batch) or None, direct=0)
    announce(worker.address)
    worker.serve()


@contextlib.contextmanager
def _clients(
    model: str, count: int, transport: Literal["shm", "direct", "grpc"], batch: int
) -> Generator[list[Ask]]:
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(peer(serve, model, str(batch)))
        clients = [
            stack.enter_context(
                rlmesh.RemoteModel(address, transport=transport, busy_timeout_seconds=10.0)
            )
            for _ in range(count)
        ]
        yield [client.predict_chunk for client in clients]


def shm(model: str, count: int) -> contextlib.AbstractContextManager[list[Ask]]:
    """Over shared memory, in dynamic batches."""
    return _clients(model, count, "shm", 0)


def one_by_one(model: str, count: int) -> contextlib.AbstractContextManager[list[Ask]]:
    """Over shared memory, without batches."""
    return _clients(model, count, "shm", 1)


def direct(model: str, count: int) -> contextlib.AbstractContextManager[list[Ask]]:
    """Over a TCP connection, in dynamic batches."""
    return _clients(model, count, "direct", 0)


def over_grpc(model: str, count: int) -> contextlib.AbstractContextManager[list[Ask]]:
    """Over gRPC, in dynamic batches."""
    return _clients(model, count, "grpc", 0)
