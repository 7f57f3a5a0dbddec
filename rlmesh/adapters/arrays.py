"""Steps that change the elements of arrays: dtype, scale, range, shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rlmesh.adapters.boxes import (
    Array,
    Compiled,
    bounds,
    box,
    check_room,
    finite,
    float_box,
    from_ends,
    numbers,
    plain_box,
)
from rlmesh.adapters.faults import StepFault, ValueFault, brief
from rlmesh.spaces.arrays import expand
from rlmesh_api.contract import (
    BoxSpace,
    CastOperation,
    ClipOperation,
    DiscreteSpace,
    GripperOperation,
    MultiBinarySpace,
    MultiDiscreteSpace,
    NormalizeOperation,
    NormalizeQuantilesOperation,
    ReshapeOperation,
    ScaleOperation,
    Space,
    TakeOperation,
)

__all__ = [
    "compile_cast",
    "compile_clip",
    "compile_gripper",
    "compile_normalize",
    "compile_normalize_quantiles",
    "compile_reshape",
    "compile_scale",
    "compile_take",
]


def compile_take(operation: TakeOperation, space: Space) -> Compiled:
    """Compiles what keeps some places of the last axis."""
    whole = plain_box(space)
    indices = _indices(operation.indices, whole)
    if not indices:
        raise StepFault("one place or more as `indices`", "none")
    check_room((*whole.shape[:-1], len(indices)), whole)
    low, high = bounds(whole)
    return box(low[..., indices], high[..., indices]), lambda array: array[..., indices]


def compile_reshape(operation: ReshapeOperation, space: Space) -> Compiled:
    """Compiles what gives an array another shape."""
    whole = plain_box(space)
    shape, axes = operation.shape, len(whole.shape)
    if math.prod(shape) != math.prod(whole.shape):
        raise StepFault(
            f"a shape of {math.prod(whole.shape)} elements, as {whole.shape} has, as `shape`", shape
        )
    low, high = bounds(whole)
    return (
        box(low.reshape(shape), high.reshape(shape)),
        lambda array: array.reshape(array.shape[: array.ndim - axes] + shape),
    )


def compile_cast(operation: CastOperation, space: Space) -> Compiled:
    """Compiles what gives an array another dtype."""
    low, high = _numeric_bounds(space)
    target = np.dtype(operation.dtype.value)
    _check_castable(space, low, high, target)
    return box(_cast(low, target), _cast(high, target)), _compile_cast(low.dtype, target)


def compile_scale(operation: ScaleOperation, space: Space) -> Compiled:
    """Compiles what multiplies and adds."""
    whole = float_box(space)
    factor = _not_zero("factor", finite("factor", operation.factor, whole))
    offset = finite("offset", operation.offset, whole)
    return _monotone(whole, lambda array: array * factor + offset)


def compile_normalize(operation: NormalizeOperation, space: Space) -> Compiled:
    """Compiles what normalises by mean and deviation, or does the reverse."""
    whole = float_box(space)
    mean = finite("mean", operation.mean, whole)
    widths = tuple(each + operation.epsilon for each in operation.deviation)
    deviation = _above_zero("deviation", finite("deviation", widths, whole))
    if operation.inverse:
        return _monotone(whole, lambda array: array * deviation + mean)
    return _monotone(whole, lambda array: (array - mean) / deviation)


def compile_normalize_quantiles(operation: NormalizeQuantilesOperation, space: Space) -> Compiled:
    """Compiles what normalises by quantiles, or does the reverse."""
    whole = float_box(space)
    if len(operation.low) != len(operation.high):
        raise StepFault("as many `low` as `high`", (len(operation.low), len(operation.high)))
    low = finite("low", operation.low, whole)
    ends = zip(operation.low, operation.high, strict=True)
    widths = tuple(above - below + operation.epsilon for below, above in ends)
    width = _above_zero("high", finite("high", widths, whole))
    two, one = np.asarray([2, 1], dtype=whole.dtype.value)
    if operation.inverse:
        return _monotone(whole, lambda array: (array + one) / two * width + low)
    return _monotone(whole, lambda array: (array - low) / width * two - one)


def compile_gripper(operation: GripperOperation, space: Space) -> Compiled:
    """Compiles what changes the sign and the range of a gripper."""
    whole = float_box(space)
    indices = _indices(operation.indices, whole)
    ends = (operation.open, operation.closed, operation.target_open, operation.target_closed)
    before, after, target_before, target_after = (
        finite(name, [end], whole)
        for name, end in zip(("open", "closed", "target_open", "target_closed"), ends, strict=True)
    )
    way = _not_zero("closed", after - before)
    target_way = _not_zero("target_closed", target_after - target_before)
    threshold = operation.threshold
    if threshold is not None and not 0 < threshold <= 1:
        raise StepFault("a part of the way above 0 and up to 1 as `threshold`", threshold)

    def of_all(array: Array) -> Array:
        part = (array - before) / way
        if threshold is None:
            return np.asarray(part * target_way + target_before)
        return np.where(part >= threshold, target_after, target_before).astype(array.dtype)

    def of_some(array: Array) -> Array:
        changed = np.array(array)
        changed[..., indices] = of_all(array[..., indices])
        return changed

    return _monotone(whole, of_some if indices else of_all)


def compile_clip(operation: ClipOperation, space: Space) -> Compiled:
    """Compiles what replaces what is out of bounds by the bound."""
    whole = plain_box(space)
    low, high = _clip_ends("low", operation.low, whole), _clip_ends("high", operation.high, whole)
    if np.any(low > high):
        raise StepFault("no `low` above its `high`", (operation.low, operation.high))
    return _monotone(whole, lambda array: np.asarray(np.clip(array, low, high)))


def _monotone(space: BoxSpace, change: Callable[[Array], Array]) -> Compiled:
    return from_ends(space, change), lambda array: np.asarray(change(array))


def _clip_ends(what: str, given: tuple[float, ...], space: BoxSpace) -> Array:
    dtype = np.dtype(space.dtype.value)
    if any(math.isnan(each) for each in given):
        raise StepFault(f"numbers as `{what}`", "NaN")
    if dtype.kind == "f":
        return numbers(what, given, space)
    if dtype.kind == "b":
        raise StepFault("a Box of numbers", brief(space))
    limits = np.iinfo(dtype)
    ends: list[int] = []
    for each in given:
        if not math.isinf(each) and not each.is_integer():
            raise StepFault(f"integers as `{what}`, as the array has", each)
        whole = limits.min if each == -math.inf else limits.max if math.isinf(each) else int(each)
        ends.append(min(max(whole, limits.min), limits.max))
    numbers(what, [0.0] * len(ends), space)  # refuses another count
    array = np.array(ends, dtype=dtype)
    return array[0] if len(ends) == 1 else array


def _numeric_bounds(space: Space) -> tuple[Array, Array]:
    match space:
        case BoxSpace():
            return bounds(space)
        case DiscreteSpace():
            ends = (space.start, space.start + space.n - 1)
            low, high = (np.array(end, dtype=space.dtype.value) for end in ends)
            return low, high
        case MultiDiscreteSpace():
            start = expand(space.start, space.shape, space.dtype.value)
            counts = expand(space.nvec, space.shape, object)
            return start, (start.astype(object) + counts - 1).astype(space.dtype.value)
        case MultiBinarySpace():
            return np.zeros(space.shape, np.int8), np.ones(space.shape, np.int8)
        case _:
            raise StepFault("a Box, a Discrete, a MultiDiscrete or a MultiBinary", brief(space))


def _check_castable(space: Space, low: Array, high: Array, target: np.dtype[Any]) -> None:
    """Checks that the target holds what is between the bounds."""
    if not low.size:
        return
    advice = f"bounds that {target} holds; put a clip before this step"
    if target.kind == "f":
        with np.errstate(over="ignore"):
            for end in (low, high):
                if np.any(np.isinf(end.astype(target)) & np.isfinite(end)):
                    raise StepFault(advice, brief(space))
        return
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise StepFault(advice, brief(space))
    least, most = _limits(target)
    if int(np.rint(low.min())) < least or int(np.rint(high.max())) > most:
        raise StepFault(advice, brief(space))


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _cast(array: Array, target: np.dtype[Any]) -> Array:
    if array.dtype.kind == "f" and target.kind != "f":
        array = np.rint(array)
    return array.astype(target)


def _compile_cast(source: np.dtype[Any], target: np.dtype[Any]) -> Callable[[Any], Array]:
    """What casts; a value out of bounds, which a server may deliver, never wraps around."""
    if target.kind == "f" or np.can_cast(source, target):
        return lambda array: np.asarray(array).astype(target)
    least, most = _limits(target)

    def narrow(given: Any) -> Array:
        array = np.asarray(given)
        if array.dtype.kind != "f":
            held = [int(array.min()), int(array.max())] if array.size else []
            if any(not least <= end <= most for end in held):
                raise ValueFault(f"expected numbers from {least} to {most}, got {held}")
            return array.astype(target)
        rounded = np.rint(array)
        # A float beside the largest integer of 64 bits is not below it, and NaN is nowhere.
        if not np.all((rounded >= float(least)) & (rounded < float(most) + 1)):
            raise ValueFault(f"expected numbers from {least} to {most}, got {array!r:.200}")
        narrowed: Array = rounded.astype(target)
        return narrowed

    return narrow


def _indices(given: tuple[int, ...], space: BoxSpace) -> list[int]:
    places = space.shape[-1] if space.shape else 0
    for index in given:
        if index >= places:
            raise StepFault(f"places below {places}, as the last axis has, as `indices`", index)
    return list(given)


def _not_zero(what: str, array: Array) -> Array:
    if np.any(array == 0) or not np.all(np.isfinite(array)):
        raise StepFault(f"`{what}` that makes a difference: not 0, and finite", array.tolist())
    return array


def _above_zero(what: str, array: Array) -> Array:
    if np.any(array <= 0):
        raise StepFault(f"`{what}` that gives a width above 0; or set `epsilon`", array.tolist())
    return array
