"""LitServe's API, which its own processes import."""

from __future__ import annotations

import base64
import os
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.models.task import IMAGE_SHAPE, compute, seen

_Api: type[Any] = import_module("litserve").LitAPI


class TaskApi(_Api):  # type: ignore[misc] # litserve is not installed where types are checked
    """The task; arrays cross in base64."""

    def setup(self, device: Any) -> None:
        """Nothing is loaded."""

    def decode_request(self, request: Any) -> Any:
        """The observation."""
        image = np.frombuffer(base64.b64decode(request["image"]), np.uint8)
        state = np.array(request["state"], np.float32)
        observation = {"image": image.reshape(IMAGE_SHAPE), "state": state}
        seen(observation)
        return observation

    def batch(self, inputs: Any) -> Any:
        """The observations as they are."""
        return inputs

    def unbatch(self, output: Any) -> Any:
        """The chunks as they are."""
        return output

    def predict(self, inputs: Any) -> Any:
        """A chunk, or chunks where there are batches."""
        model = os.environ["BENCHMARK_MODEL"]
        single = isinstance(inputs, dict)
        return compute(model, 1)[0] if single else compute(model, len(inputs))

    def encode_response(self, output: Any) -> Any:
        """The bytes of a chunk."""
        return {"actions": base64.b64encode(output.tobytes()).decode()}


# FastAPI would read it as the type of a parameter in the address.
del TaskApi.decode_request.__annotations__["request"]
