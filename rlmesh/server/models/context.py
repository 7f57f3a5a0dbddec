"""What a model is given besides an observation."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

_SEED_BITS = 128


class ModelContext:
    """The session's own part of a prediction: its state, its generator, its place in the episode.

    A method of a model gets it where it has a parameter `context`; a method for batches gets a list
    of them in `contexts` or `context`, one for each observation. No other session sees it.

    Args:
        seed: The seed of the episode; None: any.
        options: The options of the episode.
        place: The place in a batch, which has its own random numbers.

    Attributes:
        state: The model's to use: a recurrent state, a cache. None at the beginning of an episode.
        seed: The seed that the client gave to `reset`; None where it gave none.
        options: The options that the client gave to `reset`; None where it gave none.
        index: How many predictions the episode has had before this one.
        prefix: The actions of the last chunk from this step on, stacked, which the client has not
            executed; None where it offers none. Only the client of a model that takes a parameter
            `prefix` offers them.
        delay: How many of them it will execute before the new chunk is used; likewise.
    """

    __slots__ = (
        "_entropy",
        "_place",
        "_rng",
        "delay",
        "index",
        "options",
        "prefix",
        "seed",
        "state",
    )

    def __init__(
        self, seed: int | None = None, options: dict[str, Any] | None = None, place: int = 0
    ) -> None:
        self.state: Any = None
        self.seed: int | None = seed
        self.options: dict[str, Any] | None = options
        self.index: int = 0
        self.prefix: Any = None
        self.delay: int = 0
        self._place = place
        self._entropy = secrets.randbits(_SEED_BITS) if seed is None else seed
        self._rng: np.random.Generator | None = None

    @property
    def rng(self) -> np.random.Generator:
        """A generator of random numbers, which depends on the seed and the index alone."""
        rng = self._rng
        if rng is None:
            key = (self._place, self.index)
            sequence = np.random.SeedSequence(self._entropy, spawn_key=key)
            rng = self._rng = np.random.Generator(np.random.PCG64(sequence))
        return rng

    def __repr__(self) -> str:
        """The seed and the index."""
        return f"<ModelContext of seed {self.seed}, index {self.index}>"


class SessionContext(ModelContext):
    """A context, for the worker that keeps it."""

    __slots__ = ()

    def again(self) -> None:
        """Has a prediction that is tried again draw the same numbers."""
        self._rng = None

    def advance(self) -> None:
        """Notes that a prediction is done."""
        self.index: int = self.index + 1
        self._rng = None

    def offer(self, prefix: Any, delay: int) -> None:
        """Notes what the next prediction may plan on from; None and 0: nothing."""
        self.prefix: Any = prefix
        self.delay: int = delay
