"""What an adapter has seen of an episode: the frames that `frame_stack` puts together."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rlmesh.adapters.boxes import Array, Compiled, bounds, box, check_room, plain_box
from rlmesh.adapters.faults import StepFault
from rlmesh.codec.infos.type_guards import is_row
from rlmesh_api.contract import FramePadding, FrameStackOperation, Space

__all__ = ["Frames", "Histories", "History", "Recall", "compile_frame_stack", "compile_recall"]

Frames = Mapping[int, tuple[Array, ...]]
"""The last frames that each step has seen, by the step's number; the oldest first."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Stacks the frame at a place of a value with those before it.

    Attributes:
        at: The place.
        frames: How many are stacked.
        stack: Stacks so many or fewer; what is missing is padded.
    """

    at: tuple[str, ...]
    frames: int
    stack: Callable[[Sequence[Array]], Array]

    def __call__(self, value: Any, past: tuple[Array, ...]) -> tuple[Any, tuple[Array, ...]]:
        """The value with the stack in the frame's place, and the frames to remember.

        Args:
            value: The value, which stays as it is.
            past: The frames before it, the oldest first.
        """
        # A copy: the environment may use the array's memory again.
        seen = (*past, np.array(_found(value, self.at)))[-self.frames :]
        return _replaced(value, self.at, self.stack(seen)), seen


def compile_frame_stack(operation: FrameStackOperation, space: Space) -> Compiled:
    """Compiles what stacks the first frame of an episode; `compile_recall` for the others."""
    frame = plain_box(space)
    count = operation.frames
    if not count:
        raise StepFault("one frame or more as `frames`", count)
    check_room((count, *frame.shape), frame)
    axis, most = operation.axis, -len(frame.shape) - 1
    if axis is not None and not most <= axis <= -1:
        raise StepFault(f"an axis from {most} to -1 as `axis`", axis)
    stack = _stacking(operation)
    low, high = bounds(frame)
    ends = [low] * count, [high] * count
    if operation.padding is FramePadding.ZERO:
        zero = np.zeros_like(low)
        ends = (
            [*[np.minimum(low, zero)] * (count - 1), low],
            [*[np.maximum(high, zero)] * (count - 1), high],
        )
    return box(stack(ends[0]), stack(ends[1])), lambda array: stack([array])


def compile_recall(operation: FrameStackOperation, at: tuple[str, ...]) -> Recall:
    """Compiles what stacks the frames of an episode, for a step that compiles."""
    return Recall(at, operation.frames, _stacking(operation))


class History:
    """What an adapter has seen of one episode; `Adapter.history` makes it.

    One thread at a time may use it.

    Args:
        owner: The adapter.
        frames: What it has seen. None: nothing.
    """

    __slots__ = ("__weakref__", "_frames", "_owner")

    def __init__(self, owner: object, frames: Frames | None = None) -> None:
        self._owner = owner
        self._frames: Frames = {} if frames is None else frames

    def clear(self) -> None:
        """Begins another episode."""
        self._frames = {}

    def copy(self) -> History:
        """Another one that has seen the same."""
        return History(self._owner, self._frames)

    def is_of(self, owner: object) -> bool:
        """Whether an adapter made it.

        Args:
            owner: The adapter.
        """
        return self._owner is owner

    @property
    def frames(self) -> Frames:
        """What was seen; never changed, only replaced."""
        return self._frames

    def remember(self, frames: Frames) -> None:
        """Replaces what was seen.

        Args:
            frames: The last frames that each step has seen.
        """
        self._frames = frames

    def __repr__(self) -> str:
        """How many frames it holds."""
        return f"<History of {sum(map(len, self._frames.values()))} frames>"


class _Kept(NamedTuple):
    """What a session has seen before its last prediction, that one's index, and all it has seen."""

    before: History
    at: int
    after: History


class Histories:
    """The histories of the places of a batch, or of the sessions of a served model.

    A call is given copies, which replace them once it has succeeded. So an observation whose call
    failed is not in them when it comes again.

    Args:
        make: Makes an empty one.
    """

    def __init__(self, make: Callable[[], History]) -> None:
        self._make = make
        self._of_places: list[History] = []
        self._of_contexts: weakref.WeakKeyDictionary[Any, _Kept] = weakref.WeakKeyDictionary()
        self._trial: list[History] = []
        self._contexts: Sequence[Any] | None = None

    def attempt(self, count: int, contexts: Sequence[Any] | None) -> list[History]:
        """The copies for a call.

        Args:
            count: How many observations it has.
            contexts: The context of each, whose histories end with them; None: those of the places.
        """
        if contexts is None:
            missing = count - len(self._of_places)
            self._of_places += [self._make() for _ in range(missing)]
            known = self._of_places[:count]
        else:
            known = [self._known(context) for context in contexts]
        self._contexts = contexts
        self._trial = [each.copy() for each in known]
        return self._trial

    def keep(self) -> None:
        """The call of the last attempt has succeeded."""
        if self._contexts is None:
            self._of_places[: len(self._trial)] = self._trial
        else:
            for context, after in zip(self._contexts, self._trial, strict=True):
                kept = _Kept(self._known(context), context.index, after)
                self._of_contexts[context] = kept
        self._trial, self._contexts = [], None

    def clear(self) -> None:
        """An episode begins in every place."""
        self._of_places, self._trial, self._contexts = [], [], None

    def _known(self, context: Any) -> History:
        kept = self._of_contexts.get(context)
        if kept is None:
            return self._make()
        # The same index again: the worker asks once more, for others in the batch had failed.
        return kept.before if kept.at == context.index else kept.after


def _stacking(operation: FrameStackOperation) -> Callable[[Sequence[Array]], Array]:
    count, zero = operation.frames, operation.padding is FramePadding.ZERO
    axis = 0 if operation.axis is None else operation.axis

    def stack(seen: Sequence[Array]) -> Array:
        first = seen[0]
        pad = np.zeros_like(first) if zero else first
        return np.stack([*[pad] * (count - len(seen)), *seen], axis)

    return stack


def _found(value: Any, at: tuple[str, ...]) -> Any:
    for key in at:
        value = value[int(key)] if is_row(value) else value[key]
    return value


def _replaced(value: Any, at: tuple[str, ...], by: Array) -> Any:
    if not at:
        return by
    key, rest = at[0], at[1:]
    if is_row(value):
        index = int(key)
        return (*value[:index], _replaced(value[index], rest, by), *value[index + 1 :])
    return {**value, key: _replaced(value[key], rest, by)}
