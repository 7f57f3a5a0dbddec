"""`Chunks`: one action at a time of a model that gives several at once."""

from __future__ import annotations

import logging
import numbers
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, NamedTuple

from typing_extensions import Self

from rlmesh.chunking.asking import (
    Asking,
    AtOnce,
    Posting,
    Threading,
    arguments_taken,
)
from rlmesh.chunking.blending import Blend, read_blend
from rlmesh.chunking.counts import ChunkStats
from rlmesh.chunking.forms import Form, form_of
from rlmesh.chunking.pace import Pace
from rlmesh.codec.slab.violations import Violation
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidModelError,
    StateError,
)
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh_api.contract import Space

__all__ = ["Chunks"]

_log = logging.getLogger("rlmesh.chunking")


class _Plan(NamedTuple):
    """A chunk that came: its first action is for the step `start`."""

    start: int
    actions: list[Any]


class Chunks:
    """Drives a model that gives `horizon` actions at once as one that gives one.

    A chunk is asked for with the observation of one step, and its first action is for that step.
    `execute` actions of it are used; meanwhile the next is asked for, `prefetch` actions before it
    is needed. When that one takes over, its first actions are for steps that are past, and are
    dropped. Which action is for which step does not depend on how fast the model is: where a chunk
    is late, `act` waits. With `prefetch="auto"` it depends on the measured times.

    A model on this machine computes on one thread beside the caller when `prefetch` is not 0; a
    served one computes where it is. One thread at a time may call the methods.

    Example:
        >>> import numpy as np, rlmesh
        >>> class Model:
        ...     horizon = 8
        ...     def predict_chunk(self, observation):
        ...         return observation + np.arange(8.0)[:, None]
        >>> with rlmesh.Chunks(Model(), execute=4, prefetch=2) as policy:
        ...     policy.reset()
        ...     [float(policy.act(np.zeros(1))[0]) for step in range(6)]
        [0.0, 1.0, 2.0, 3.0, 2.0, 3.0]

    Args:
        model: An object with `predict_chunk(observation)`, which returns the actions stacked along
            a new first axis, and `horizon`; a `RemoteModel` is one. Where it has `reset`, it is
            called at a reset. Where `predict_chunk` has a parameter `prefix`, it gets the actions
            of the last chunk from this step on, stacked, or None; where it has `delay`, how many of
            them will be executed before the new chunk is used. A served model gets them likewise.
        execute: How many actions of a chunk are used, from 1. None: all that `prefetch` leaves, or
            half of the horizon with "auto".
        prefetch: How many actions before it is needed the next chunk is asked for. 0: when it is
            needed. "auto": as many as its latency takes, up to `horizon - execute`.
        blend: Which action is taken where chunks overlap: "latest"; "average", the mean of all that
            are there; or a function that is given them, the oldest first, and returns one.

    Attributes:
        model: The model.
        horizon: How many actions a chunk has.
        execute: How many of them are used.

    Raises:
        InvalidModelError: If the model has no `predict_chunk`, or no horizon.
        UnsupportedSpaceError: If RLMesh does not carry the model's action space.
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If `execute` and `prefetch` are more than the horizon, or such actions
            have no average.
    """

    def __init__(
        self,
        model: Any,
        execute: int | None = None,
        prefetch: int | Literal["auto"] = 0,
        blend: Literal["latest", "average"] | Blend = "latest",
    ) -> None:
        self.model: Any = model
        if not callable(getattr(model, "predict_chunk", None)):
            raise InvalidModelError(
                f"model must have a method predict_chunk, got {type(model).__name__} without; a "
                f"model with another method has one when rlmesh.ModelWorker serves it"
            )
        self.horizon: int = _horizon(model)
        self.execute: int
        self.execute, self._prefetch = _counts(self.horizon, execute, prefetch)
        space = _action_space(model)
        self._blend = read_blend(blend, space)
        self._form: Form = form_of(space)
        most = self.horizon - self.execute
        self._pace = Pace(most)
        self._asking: Asking
        if self._prefetch == 0 or most == 0:
            self._asking = AtOnce(model.predict_chunk)
        elif all(callable(getattr(model, name, None)) for name in ("post", "take")):
            self._asking = Posting(model)
        else:
            self._asking = Threading(model.predict_chunk)
        posts = isinstance(self._asking, Posting)
        self._offered = _offered(model, model.post if posts else model.predict_chunk)
        self._closed = False
        self._returned: float | None = None
        self._plans: list[_Plan] = []
        self._step = self._until = 0
        # The step of the observation with which the chunk on its way was asked for.
        self._asked_at: int | None = None
        self._asked = self._executed = self._dropped = 0
        self._waited = self._inference = 0.0

    @property
    def prefetch(self) -> int:
        """How many actions ahead the next chunk is asked for now."""
        return self._prefetch if isinstance(self._prefetch, int) else self._pace.ahead()

    def reset(self, seed: int | None = None) -> None:
        """Begins an episode: drops all actions, and the chunk on its way, and resets the model.

        A chunk that is being computed is awaited first.

        Args:
            seed: What the model's `reset` is given, where it takes a seed.

        Raises:
            StateError: If it is closed.
            BaseException: What the model raises.
        """
        self._check_open()
        self._drop_all()
        self._step = self._until = 0
        self._returned = None
        reset = getattr(self.model, "reset", None)
        if callable(reset):
            arguments = {"seed": seed} if arguments_taken(reset, "seed") else {}
            self._asking.reset(lambda: reset(**arguments))

    def act(self, observation: Any) -> Any:
        """The action for an observation.

        Where actions of a chunk are left, the model is not asked, unless it is time to ask for the
        next chunk.

        Args:
            observation: The observation of this step.

        Raises:
            InvalidActionError: If a chunk has not `horizon` actions of the action space, or NaN in
                one; the message names the leaf. The next call asks again.
            StateError: If it is closed.
            BaseException: What the model raises. The next call asks again.
        """
        self._check_open()
        if self._returned is not None:
            self._pace.note_step(perf_counter() - self._returned)
        step = self._step
        if step == self._until:
            if self._asked_at is None:
                self._ask(observation)
            self._adopt()
        ahead = self.prefetch
        if ahead and self._asked_at is None and self._until - step <= ahead:
            self._ask(observation)
        action = self._planned(step)
        self._step += 1
        self._executed += 1
        self._returned = perf_counter()
        return action

    def stats(self) -> ChunkStats:
        """What was asked for, executed and dropped so far, and for how long calls waited."""
        return ChunkStats(
            asked=self._asked,
            executed=self._executed,
            dropped=self._dropped,
            queued=self._left() + (0 if self._asked_at is None else self.horizon),
            waited_seconds=self._waited,
            inference_seconds=self._inference,
        )

    def close(self) -> None:
        """Drops what is on its way and ends the thread; the model stays open. May be repeated."""
        if not self._closed:
            self._closed = True
            self._drop_all()
            self._asking.close()

    def __enter__(self) -> Self:
        """This object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def __repr__(self) -> str:
        """The model's class, and the numbers."""
        return (
            f"Chunks({type(self.model).__name__}, horizon={self.horizon}, execute={self.execute}, "
            f"prefetch={self._prefetch!r})"
        )

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("this Chunks is closed; make another")

    def _ask(self, observation: Any) -> None:
        step = self._step
        offers: dict[str, Any] = {}
        if "prefix" in self._offered:
            left = self._plans[-1].actions[step - self._plans[-1].start :] if self._plans else []
            offers["prefix"] = self._form.stack(left) if left else None
        if "delay" in self._offered:
            offers["delay"] = self._until - step
        self._asking.ask(observation, offers)
        self._asked_at = step
        self._asked += 1

    def _adopt(self) -> None:
        """Waits for the chunk on its way, which takes over at this step."""
        start = self._step if self._asked_at is None else self._asked_at
        try:
            reply = self._asking.take()
            actions = self._read(reply.chunk)
        except BaseException:
            # A thread goes on where only the waiting was interrupted.
            if self._asking.ready():
                self._asked_at = None
                self._dropped += self.horizon
            raise
        self._asked_at = None
        known = self._pace.latency
        seconds = reply.seconds if reply.exact or known is None else min(known, reply.seconds)
        self._pace.note_latency(seconds)
        self._waited += reply.waited
        self._inference += seconds
        # What the last chunk has for later steps, and this one for steps that are past.
        self._dropped += self._left() + self._step - start
        keeps = self._blend is not None
        self._plans = [
            plan for plan in self._plans if keeps and plan.start + self.horizon > self._step
        ]
        self._plans.append(_Plan(start, actions))
        self._until = min(self._step + self.execute, start + self.horizon)

    def _read(self, chunk: Any) -> list[Any]:
        try:
            return self._form.unstack(chunk, self.horizon)
        except Violation as error:
            raise InvalidActionError(
                f"the chunk of {type(self.model).__name__} is refused: {error}"
            ) from error

    def _planned(self, step: int) -> Any:
        latest = self._plans[-1]
        if self._blend is None or len(self._plans) == 1:
            return latest.actions[step - latest.start]
        found = [
            plan.actions[step - plan.start]
            for plan in self._plans
            if step - plan.start < self.horizon
        ]
        return found[0] if len(found) == 1 else self._blend(found)

    def _left(self) -> int:
        """How many actions the last chunk has from this step on."""
        return self._plans[-1].start + self.horizon - self._step if self._plans else 0

    def _drop_all(self) -> None:
        if self._asked_at is not None:
            try:
                self._asking.take()
            except Exception as error:  # noqa: BLE001 - of an answer that nobody wants any more
                _log.debug("a chunk that was dropped had failed: %s", error)
            self._asked_at = None
            self._dropped += self.horizon
        self._dropped += self._left()
        self._plans = []


def _offered(model: Any, method: Any) -> frozenset[str]:
    """What is offered: what the method takes and, of a served model, what its contract says."""
    taken = arguments_taken(method, "prefix", "delay")
    if getattr(getattr(model, "adapter", None), "adapts_actions", False):
        # No step turns actions of the environment back into those of the model.
        taken -= {"prefix"}
    # Of an adapted model, what is behind the adapter is served.
    for owner in (model, getattr(model, "model", None)):
        contract = getattr(owner, "model_contract", None)
        if contract is not None:
            return frozenset(name for name in taken if getattr(contract, f"takes_{name}"))
    return taken


def _horizon(model: Any) -> int:
    horizon: Any = getattr(model, "horizon", None)
    if horizon is None:
        horizon = getattr(getattr(model, "model_contract", None), "horizon", None)
    if isinstance(horizon, bool) or not isinstance(horizon, numbers.Integral) or horizon < 1:
        raise InvalidModelError(
            f"model must have a horizon, the number of actions of a chunk from 1, got "
            f"{horizon!r:.80} as that of {type(model).__name__}"
        )
    return int(horizon)


def _action_space(model: Any) -> Space | None:
    for owner in (model, getattr(model, "model_contract", None)):
        space = getattr(owner, "action_space", None)
        if space is not None:
            return from_gymnasium_space(space)
    return None


def _counts(
    horizon: int, execute: int | None, prefetch: int | Literal["auto"]
) -> tuple[int, int | Literal["auto"]]:
    """How many actions are executed, and how many ahead is asked."""
    if execute is not None:
        _check("execute", execute, 1)
    if prefetch == "auto":
        count = max(1, horizon // 2) if execute is None else execute
        ahead = 0
    else:
        _check("prefetch", prefetch, 0)
        count = horizon - prefetch if execute is None else execute
        ahead = prefetch
    if count < 1 or count + ahead > horizon:
        raise InvalidArgumentError(
            f"execute and prefetch must be at most {horizon} together, the horizon of the model, "
            f"with 1 or more to execute, got execute={execute} and prefetch={prefetch}"
        )
    return count, prefetch


def _check(what: str, given: object, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int):
        other = ' or "auto"' if what == "prefetch" else ""
        raise ArgumentTypeError(f"{what} must be an integer{other}, got {given!r:.80}")
    if given < least:
        raise InvalidArgumentError(f"{what} must be {least} or more, got {given}")
