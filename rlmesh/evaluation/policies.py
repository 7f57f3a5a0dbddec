"""What an evaluation takes as a policy, and how its episodes ask it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, Protocol, cast

from rlmesh.chunking.chunks import Chunks
from rlmesh.client.model import RemoteModel
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError


class Actor(Protocol):
    """What acts in the episodes of one worker, one after the other."""

    def reset(self, seed: int) -> None:
        """Begins an episode."""
        ...

    def act(self, observation: Any) -> Any:
        """The action for an observation."""
        ...


class _Function:
    """A policy that keeps nothing from one step to the next; several threads may share it."""

    def __init__(self, predict: Callable[[Any], Any]) -> None:
        self.act = predict

    def reset(self, seed: int) -> None:
        """Nothing is kept."""


class _Object:
    """A policy that begins each episode by `reset`, with the seed where it takes one."""

    def __init__(self, reset: Callable[..., Any], act: Callable[[Any], Any]) -> None:
        self._reset = reset
        self.act = act
        self._seeded = _takes_seed(reset)

    def reset(self, seed: int) -> None:
        """Begins an episode."""
        if self._seeded:
            self._reset(seed=seed)
        else:
            self._reset()


class PolicySource:
    """Opens what acts, once for each worker.

    Args:
        policy: A callable of an observation; an object with `predict`, and `reset` where it keeps
            state; a `RemoteModel`, `Chunks`, or the address of a model.
        workers: How many workers there are.

    Attributes:
        name: What the policy is called in a result.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If it keeps state and there are several workers: their episodes would
            share it.
    """

    def __init__(self, policy: Any, workers: int) -> None:
        self._address = policy if isinstance(policy, str) else None
        self._shared = None if self._address is not None else _actor(policy)
        self.name: str = self._address or _name(policy)
        alone = isinstance(self._shared, _Object)
        if alone and workers > 1:
            raise InvalidArgumentError(
                f"the policy {self.name} begins each episode by reset, so it keeps the state of "
                f"one episode at a time, and workers={workers} run several; pass workers=1, or the "
                f"address of a ModelWorker, which keeps a state for each"
            )

    @contextlib.contextmanager
    def open(self) -> Generator[Actor]:
        """What acts for one worker."""
        if self._address is None:
            yield cast("Actor", self._shared)
            return
        with RemoteModel(self._address) as model:
            yield _Object(model.reset, model.predict)


def _actor(policy: Any) -> Actor:
    if isinstance(policy, Chunks):
        return _Object(policy.reset, policy.act)
    predict = getattr(policy, "predict", None)
    if callable(predict):
        reset = getattr(policy, "reset", None)
        return _Object(reset, predict) if callable(reset) else _Function(predict)
    if callable(policy):
        return _Function(policy)
    raise ArgumentTypeError(
        f"a policy is a callable, an object with predict, a rlmesh.RemoteModel, rlmesh.Chunks or "
        f"the address of a model; got {type(policy).__name__} {policy!r:.80}"
    )


def _takes_seed(reset: Callable[..., Any]) -> bool:
    import inspect

    try:
        parameters = inspect.signature(reset).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(each.name == "seed" or each.kind is each.VAR_KEYWORD for each in parameters)


def _name(policy: Any) -> str:
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    return f"{named.__module__}:{named.__qualname__}"
