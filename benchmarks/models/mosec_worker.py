"""mosec's worker, which its own processes import."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.models.task import IMAGE_SHAPE, SLOW, compute, seen

_IMAGE_BYTES = int(np.prod(IMAGE_SHAPE))
_Worker: type[Any] = import_module("mosec").Worker


class TaskWorker(_Worker):  # type: ignore[misc] # mosec is not installed where types are checked
    """The task."""

    def deserialize(self, data: bytes) -> Any:
        """The observation of the bytes of its arrays."""
        image = np.frombuffer(data, np.uint8, _IMAGE_BYTES).reshape(IMAGE_SHAPE)
        observation = {"image": image, "state": np.frombuffer(data, np.float32, -1, _IMAGE_BYTES)}
        seen(observation)
        return observation

    def serialize(self, data: Any) -> bytes:
        """The bytes of a chunk."""
        content: bytes = data.tobytes()
        return content

    def forward(self, data: Any) -> Any:
        """A chunk, or chunks where the worker has batches."""
        model = os.environ["BENCHMARK_MODEL"]
        return compute(model, len(data)) if model == SLOW else compute(model, 1)[0]
