"""Makes the steps that change the elements of arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy.typing as npt

from rlmesh.adapters.making import Flow, Numbers, Place, make, number, reals, whole, word
from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces.arrays import read_dtype
from rlmesh_api.contract import (
    AdapterStep,
    CastOperation,
    ClipOperation,
    GripperOperation,
    NormalizeOperation,
    NormalizeQuantilesOperation,
    ReshapeOperation,
    RotationForm,
    RotationOperation,
    ScaleOperation,
    TakeOperation,
)

__all__ = [
    "cast",
    "clip",
    "gripper",
    "normalize",
    "normalize_quantiles",
    "reshape",
    "rotation",
    "scale",
    "take",
]


def take(indices: Iterable[int], *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Keeps some places of the last axis of an array, in this order.

    Args:
        indices: The places, from 0; one may come repeatedly.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(TakeOperation(indices=tuple(whole("an index", index) for index in indices)), at, on)


def reshape(shape: Iterable[int], *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Gives an array another shape with as many elements, which keep their order.

    Args:
        shape: The shape.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(ReshapeOperation(shape=tuple(whole("an axis", axis) for axis in shape)), at, on)


def cast(dtype: npt.DTypeLike, *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Gives an array another dtype, which holds all that its bounds allow.

    A float becomes the nearest integer, of two the even one. A Discrete, a MultiDiscrete and a
    MultiBinary become a Box.

    Args:
        dtype: The dtype.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(CastOperation(dtype=read_dtype("cast", dtype)), at, on)


def scale(
    factor: Numbers = 1.0, offset: Numbers = 0.0, *, at: Place = "", on: Flow = "observation"
) -> AdapterStep:
    """Replaces each element x of an array of floats by `x * factor + offset`.

    Args:
        factor: One number, or one for each place of the last axis; not 0.
        offset: Likewise; also 0.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        ScaleOperation(factor=reals("factor", factor), offset=reals("offset", offset)), at, on
    )


def normalize(
    mean: Numbers,
    deviation: Numbers,
    *,
    epsilon: float = 0.0,
    inverse: bool = False,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Replaces each element x of an array of floats by `(x - mean) / (deviation + epsilon)`.

    Args:
        mean: One number, or one for each place of the last axis.
        deviation: The standard deviation, likewise.
        epsilon: What is added to the deviation, so that it is above 0.
        inverse: Whether the reverse is done, as for the actions of a model.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        NormalizeOperation(
            mean=reals("mean", mean),
            deviation=reals("deviation", deviation),
            epsilon=number("epsilon", epsilon),
            inverse=inverse,
        ),
        at,
        on,
    )


def normalize_quantiles(
    low: Numbers,
    high: Numbers,
    *,
    epsilon: float = 0.0,
    inverse: bool = False,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Replaces each x of an array of floats by `(x - low) / (high - low + epsilon) * 2 - 1`.

    Args:
        low: The lower quantile: one number, or one for each place of the last axis.
        high: The upper quantile, likewise.
        epsilon: What is added to their difference, so that it is above 0.
        inverse: Whether the reverse is done, as for the actions of a model.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        NormalizeQuantilesOperation(
            low=reals("low", low),
            high=reals("high", high),
            epsilon=number("epsilon", epsilon),
            inverse=inverse,
        ),
        at,
        on,
    )


def rotation(source: str, target: str, *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Writes the rotations in an array of floats in another form.

    The forms are `quaternion_xyzw`, `quaternion_wxyz`, `axis_angle`, `euler_xyz` (about the fixed
    axes x, y, z in that order), `six_columns`, `six_rows` and `matrix`; angles are in radians.

    Args:
        source: The form that they have.
        target: The form that they are to have.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        RotationOperation(
            source=word("source", RotationForm, source), target=word("target", RotationForm, target)
        ),
        at,
        on,
    )


def gripper(
    *,
    open: tuple[float, float],  # noqa: A002 - the opposite of closed
    closed: tuple[float, float],
    indices: Iterable[int] = (),
    threshold: float | None = None,
    at: Place = "",
    on: Flow = "observation",
) -> AdapterStep:
    """Changes the sign and the range of a gripper.

    Args:
        open: The number that opens it, and the number that is to open it.
        closed: The number that closes it, and the number that is to close it.
        indices: Which places of the last axis are the gripper; none stands for all.
        threshold: From which part of the way from open, 0, to closed, 1, it counts as closed, so
            that it is either open or closed. None: what is between stays between.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(
        GripperOperation(
            indices=tuple(whole("an index", index) for index in indices),
            open=_pair("open", open)[0],
            closed=_pair("closed", closed)[0],
            target_open=_pair("open", open)[1],
            target_closed=_pair("closed", closed)[1],
            threshold=None if threshold is None else number("threshold", threshold),
        ),
        at,
        on,
    )


def clip(low: Numbers, high: Numbers, *, at: Place = "", on: Flow = "observation") -> AdapterStep:
    """Replaces what is below or above the bounds of an array by the bound.

    Args:
        low: One number, or one for each place of the last axis; -inf for none.
        high: Likewise; inf for none.
        at: The place of the value; empty for the whole.
        on: Which values, "observation" or "action".

    Raises:
        ArgumentTypeError: If an argument is of another type.
        InvalidArgumentError: If a word or a number is not allowed.
    """
    return make(ClipOperation(low=reals("low", low), high=reals("high", high)), at, on)


def _pair(what: str, given: Numbers) -> tuple[float, float]:
    pair = reals(what, given)
    if len(pair) != 2:
        raise InvalidArgumentError(
            f"{what} must be a pair, what it is and what it is to be, got {given}"
        )
    return pair[0], pair[1]
