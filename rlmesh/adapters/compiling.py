"""Steps compiled for a space: one after the other, each where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlmesh.adapters.arrays import (
    compile_cast,
    compile_clip,
    compile_gripper,
    compile_normalize,
    compile_normalize_quantiles,
    compile_reshape,
    compile_scale,
    compile_take,
)
from rlmesh.adapters.boxes import Change, Compiled, limit
from rlmesh.adapters.faults import StepFault, brief
from rlmesh.adapters.histories import Recall, compile_frame_stack, compile_recall
from rlmesh.adapters.images import (
    compile_channel_order,
    compile_color,
    compile_crop,
    compile_pad,
    compile_resize,
)
from rlmesh.adapters.rotations import compile_rotation
from rlmesh.adapters.structure import (
    compile_concatenate,
    compile_extract,
    compile_rename,
    compile_select,
    compile_split,
    compile_stack,
    compile_wrap,
)
from rlmesh.adapters.texts import compile_text
from rlmesh.adapters.wire_bytes import bytes_of
from rlmesh.contract.differences import ContractDifference
from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces.containers import Dict, Tuple
from rlmesh.spaces.paths import child_place
from rlmesh_api.contract import (
    AdapterFlow,
    AdapterStep,
    DictSpace,
    FrameStackOperation,
    Space,
    TupleSpace,
)

__all__ = ["OPERATIONS", "CompiledStep", "StepError", "compile_steps", "place_of"]

OPERATIONS: Mapping[str, Callable[[Any, Space], Compiled]] = {
    "cast": compile_cast,
    "channel_order": compile_channel_order,
    "clip": compile_clip,
    "color": compile_color,
    "concatenate": compile_concatenate,
    "crop": compile_crop,
    "extract": compile_extract,
    "frame_stack": compile_frame_stack,
    "gripper": compile_gripper,
    "normalize": compile_normalize,
    "normalize_quantiles": compile_normalize_quantiles,
    "pad": compile_pad,
    "rename": compile_rename,
    "reshape": compile_reshape,
    "resize": compile_resize,
    "rotation": compile_rotation,
    "scale": compile_scale,
    "select": compile_select,
    "split": compile_split,
    "stack": compile_stack,
    "take": compile_take,
    "text": compile_text,
    "wrap": compile_wrap,
}
"""What compiles the operation of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStep:
    """A step, compiled for the space of the values that it is given.

    Attributes:
        number: Its place among all steps, from 1.
        step: The step.
        place: Where it stands, as messages name it.
        space: The space of the whole values that it gives.
        change: What changes a whole value; of a step with `recall`, the first of an episode.
        recall: What changes one with those before it in the episode; None for most steps.
    """

    number: int
    step: AdapterStep
    place: str
    space: Space
    change: Change
    recall: Recall | None = None


class StepError(Exception):
    """A step that cannot be compiled; the steps of its flow after it are not compiled either."""

    def __init__(self, difference: ContractDifference) -> None:
        super().__init__(difference.place)
        self.difference = difference


def compile_steps(
    steps: Sequence[tuple[int, AdapterStep]], space: Space, root: str
) -> list[CompiledStep]:
    """Compiles steps for the values of a space.

    Args:
        steps: The steps of one flow with their numbers, in order.
        space: The space of the values that the first is given.
        root: The place of the whole value, for messages.

    Raises:
        StepError: If one cannot be applied.
    """
    compiled: list[CompiledStep] = []
    most = limit()
    for number, step in steps:
        place = place_of(step, space, root)
        try:
            recall = _recall(step)
            space, change = _at(step.at, step.operation, space)
            if most is not None and (size := bytes_of(space)) > most:
                raise StepFault(f"values of at most {most} bytes", size)
        except (StepFault, InvalidArgumentError) as error:
            # A space that a step would make may have no room, or too many names.
            fault = error if isinstance(error, StepFault) else StepFault("a space", error)
            for key in fault.place:
                place = child_place(place, key)
            raise StepError(
                ContractDifference(
                    place=place,
                    aspect=f"step {number}, {step.operation.kind}",
                    old=fault.expected,
                    new=fault.got,
                    breaking=True,
                )
            ) from error
        compiled.append(
            CompiledStep(
                number=number, step=step, place=place, space=space, change=change, recall=recall
            )
        )
    return compiled


def _recall(step: AdapterStep) -> Recall | None:
    if not isinstance(step.operation, FrameStackOperation):
        return None
    if step.on is not AdapterFlow.OBSERVATION:
        raise StepFault("observations, of which an episode has a history", "actions")
    return compile_recall(step.operation, step.at)


def place_of(step: AdapterStep, space: Space, root: str) -> str:
    """Where a step stands in the values of a space, as far as there is such a place."""
    place = root
    inside: Space | None = space
    for key in step.at:
        is_index = isinstance(inside, TupleSpace) and key.isdecimal()
        place = child_place(place, int(key) if is_index else key)
        inside = _children(inside).get(key) if inside is not None else None
    return place


def _children(space: Space) -> dict[str, Space]:
    if isinstance(space, DictSpace):
        return {entry.key: entry.space for entry in space.entries}
    if isinstance(space, TupleSpace):
        return {str(index): child for index, child in enumerate(space.spaces)}
    return {}


def _at(at: tuple[str, ...], operation: Any, space: Space) -> Compiled:
    """Compiles an operation for the value at a place, and its way down there."""
    if not at:
        return OPERATIONS[operation.kind](operation, space)
    key, children = at[0], _children(space)
    if key not in children:
        raise StepFault(f"a space with the place {key!r}", _described(space))
    child, change = _at(at[1:], operation, children[key])
    if isinstance(space, TupleSpace):
        index = int(key)
        parts = [*space.spaces]
        parts[index] = child
        return Tuple(parts), lambda value: (
            *value[:index],
            change(value[index]),
            *value[index + 1 :],
        )
    pairs = [(name, child if name == key else each) for name, each in children.items()]
    return Dict(pairs), lambda value: {**value, key: change(value[key])}


def _described(space: Space) -> str:
    children = list(_children(space))
    return f"the places {children}" if children else brief(space)
