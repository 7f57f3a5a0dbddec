"""What every contender serves: a camera image and a state in, a chunk of actions out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

HORIZON, ACTIONS, STATE = 16, 7, 8
IMAGE_SHAPE = (224, 224, 3)
CLIENTS = 16
"""How many clients ask at once in the workloads of many."""

NOTHING, SLOW = "nothing", "slow"
"""A model that does nothing; one that takes 20 ms and 0.5 ms for each observation of a batch."""

_CHUNK = np.zeros((HORIZON, ACTIONS), np.float32)


def observation() -> dict[str, npt.NDArray[Any]]:
    """The observation that every call sends: uint8 `(224, 224, 3)` and float32 `(8,)`."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, IMAGE_SHAPE, np.uint8),
        "state": rng.uniform(-1, 1, STATE).astype(np.float32),
    }


def compute(model: str, count: int) -> list[npt.NDArray[np.float32]]:
    """The chunks of a model for so many observations, after the time that it takes."""
    if model == SLOW:
        time.sleep(0.020 + 0.0005 * count)
    return [_CHUNK] * count


def seen(observation: dict[str, Any]) -> None:
    """Fails unless an observation arrived whole.

    Raises:
        ValueError: If it did not.
    """
    image, state = observation["image"], observation["state"]
    if image.shape != IMAGE_SHAPE or image.dtype != np.uint8 or state.shape != (STATE,):
        raise ValueError(f"an image {image.shape} of {image.dtype} and a state {state.shape}")


def received(chunk: Any) -> None:
    """Fails unless a chunk arrived whole.

    Raises:
        ValueError: If it did not.
    """
    if np.shape(chunk) != (HORIZON, ACTIONS):
        raise ValueError(f"a chunk of shape {np.shape(chunk)}")
