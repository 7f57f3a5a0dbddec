"""Rotations in seven forms, on whole arrays: each form to a quaternion, and from a quaternion.

A quaternion stands here as `(w, x, y, z)` of float64, of length 1. The exact formulas are used also
for small angles and for half turns, where others divide by almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.adapters.boxes import Array, Compiled, box, float_box
from rlmesh.adapters.faults import StepFault, ValueFault, brief
from rlmesh_api.contract import RotationForm, RotationOperation, Space

__all__ = ["change_form", "compile_rotation"]

Floats = npt.NDArray[np.float64]

_HALF, _WHOLE = np.pi / 2, np.pi

_SHAPES: Mapping[RotationForm, tuple[int, ...]] = {
    RotationForm.QUATERNION_XYZW: (4,),
    RotationForm.QUATERNION_WXYZ: (4,),
    RotationForm.AXIS_ANGLE: (3,),
    RotationForm.EULER_XYZ: (3,),
    RotationForm.SIX_COLUMNS: (6,),
    RotationForm.SIX_ROWS: (6,),
    RotationForm.MATRIX: (3, 3),
}
# The least and the most that an element of a form is; of the others it is 1.
_ENDS: Mapping[RotationForm, tuple[list[float], list[float]]] = {
    RotationForm.QUATERNION_XYZW: ([-1, -1, -1, 0], [1, 1, 1, 1]),
    RotationForm.QUATERNION_WXYZ: ([0, -1, -1, -1], [1, 1, 1, 1]),
    RotationForm.AXIS_ANGLE: ([-_WHOLE] * 3, [_WHOLE] * 3),
    RotationForm.EULER_XYZ: ([-_WHOLE, -_HALF, -_WHOLE], [_WHOLE, _HALF, _WHOLE]),
}


def compile_rotation(operation: RotationOperation, space: Space) -> Compiled:
    """Compiles what writes rotations in another form."""
    whole = float_box(space)
    source, target = operation.source, operation.target
    form = _SHAPES[source]
    if whole.shape[-len(form) :] != form:
        raise StepFault(f"an array whose last axes are {form}, as {source.value} has", brief(space))
    shape = whole.shape[: -len(form)] + _SHAPES[target]
    least, most = _ENDS.get(target, (-1.0, 1.0))
    low, high = (
        np.broadcast_to(np.array(end, dtype=whole.dtype.value), shape) for end in (least, most)
    )
    return box(low, high), lambda array: _clipped(change_form(array, source, target), low, high)


def _clipped(array: Floats, low: Array, high: Array) -> Array:
    """The array in the dtype of its bounds; a last digit may be beyond them."""
    clipped: Array = np.clip(array.astype(low.dtype), low, high)
    return clipped


def change_form(array: Array, source: RotationForm, target: RotationForm) -> Floats:
    """Rotations in another form, computed with float64.

    Args:
        array: The rotations, `(..., *form)`.
        source: The form that they have.
        target: The form of the result.

    Raises:
        ValueFault: If one is no rotation: a quaternion of length 0, axes that span no plane.
    """
    return _WRITERS[target](_READERS[source](np.asarray(array, dtype=np.float64)))


def _unit(vectors: Floats, what: str) -> Floats:
    # By the largest element first, as squares overflow and vanish.
    largest = np.max(np.abs(vectors), axis=-1, keepdims=True)
    if not np.all(np.isfinite(largest)) or np.any(largest == 0):
        raise ValueFault(f"expected a rotation, got {what} whose length is 0 or not finite")
    scaled = vectors / largest
    unit: Floats = scaled / np.linalg.norm(scaled, axis=-1, keepdims=True)
    return unit


def _from_xyzw(array: Floats) -> Floats:
    return _unit(np.roll(array, 1, axis=-1), "a quaternion")


def _from_wxyz(array: Floats) -> Floats:
    return _unit(array, "a quaternion")


def _from_axis_angle(array: Floats) -> Floats:
    if not np.all(np.isfinite(array)):
        raise ValueFault("expected a rotation, got an axis and angle that are not finite")
    angle = np.linalg.norm(array, axis=-1, keepdims=True)
    # sin(angle / 2) / angle, which is 1/2 at 0: numpy's sinc is sin(pi x) / (pi x).
    return np.concatenate([np.cos(angle / 2), array * (np.sinc(angle / (2 * np.pi)) / 2)], axis=-1)


def _from_euler(array: Floats) -> Floats:
    if not np.all(np.isfinite(array)):
        raise ValueFault("expected a rotation, got angles that are not finite")
    (cx, cy, cz), (sx, sy, sz) = (
        np.moveaxis(part, -1, 0) for part in (np.cos(array / 2), np.sin(array / 2))
    )
    return np.stack(
        [
            cx * cy * cz + sx * sy * sz,
            sx * cy * cz - cx * sy * sz,
            cx * sy * cz + sx * cy * sz,
            cx * cy * sz - sx * sy * cz,
        ],
        axis=-1,
    )


def _from_six(array: Floats, axis: int) -> Floats:
    first = _unit(array[..., :3], "a first axis")
    second = array[..., 3:]
    along = np.sum(first * second, axis=-1, keepdims=True)
    second = _unit(second - along * first, "a second axis beside the first")
    return _from_matrix(np.stack([first, second, np.cross(first, second)], axis=axis))


def _from_matrix(array: Floats) -> Floats:
    """Of the four ways to read it, the one that divides by the largest number."""
    if not np.all(np.isfinite(array)):
        raise ValueFault("expected a rotation, got a matrix that is not finite")
    m: Any = np.moveaxis(array, (-2, -1), (0, 1))
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    four = np.stack(
        [
            np.stack([1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]], -1),
            np.stack(
                [m[2, 1] - m[1, 2], 1 + 2 * m[0, 0] - trace, m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
                -1,
            ),
            np.stack(
                [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], 1 + 2 * m[1, 1] - trace, m[1, 2] + m[2, 1]],
                -1,
            ),
            np.stack(
                [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], 1 + 2 * m[2, 2] - trace],
                -1,
            ),
        ],
        axis=-2,
    )
    best = np.argmax(np.diagonal(four, axis1=-2, axis2=-1), axis=-1)
    chosen = np.take_along_axis(four, best[..., None, None], axis=-2)[..., 0, :]
    return _unit(chosen, "a matrix")


def _upright(quaternion: Floats) -> Floats:
    """The one of the two quaternions of a rotation whose real part is not negative."""
    return np.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def _to_xyzw(quaternion: Floats) -> Floats:
    return np.roll(_upright(quaternion), -1, axis=-1)


def _to_axis_angle(quaternion: Floats) -> Floats:
    upright = _upright(quaternion)
    real, axis = upright[..., :1], upright[..., 1:]
    length = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, real)
    ratio = np.divide(angle, length, out=np.full_like(length, 2.0), where=length > 0)
    vectors: Floats = axis * ratio
    return vectors


def _to_euler(quaternion: Floats) -> Floats:
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    # Half the sum and half the difference of the outer angles; exact where they cannot be told
    # apart, as one of the two is free there.
    plus: Floats = np.arctan2(x + z, w - y)
    minus: Floats = np.arctan2(z - x, w + y)
    pitch = 2 * np.arctan2(np.hypot(w + y, x - z), np.hypot(w - y, x + z)) - _HALF
    free_minus = np.hypot(w + y, x - z) < _TINY
    free_plus = np.hypot(w - y, x + z) < _TINY
    plus = np.where(free_plus, minus, plus)
    minus = np.where(free_minus, plus, minus)
    return np.stack([_turn(plus - minus), pitch, _turn(plus + minus)], axis=-1)


_TINY = 1e-12


def _turn(angle: Floats) -> Floats:
    """The angle from -pi to pi."""
    return angle - 2 * np.pi * np.rint(angle / (2 * np.pi))


def _to_matrix(quaternion: Floats) -> Floats:
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _to_columns(quaternion: Floats) -> Floats:
    matrix = _to_matrix(quaternion)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def _to_rows(quaternion: Floats) -> Floats:
    matrix = _to_matrix(quaternion)
    return np.concatenate([matrix[..., 0, :], matrix[..., 1, :]], axis=-1)


_READERS: Mapping[RotationForm, Callable[[Floats], Floats]] = {
    RotationForm.QUATERNION_XYZW: _from_xyzw,
    RotationForm.QUATERNION_WXYZ: _from_wxyz,
    RotationForm.AXIS_ANGLE: _from_axis_angle,
    RotationForm.EULER_XYZ: _from_euler,
    RotationForm.SIX_COLUMNS: lambda array: _from_six(array, -1),
    RotationForm.SIX_ROWS: lambda array: _from_six(array, -2),
    RotationForm.MATRIX: _from_matrix,
}
_WRITERS: Mapping[RotationForm, Callable[[Floats], Floats]] = {
    RotationForm.QUATERNION_XYZW: _to_xyzw,
    RotationForm.QUATERNION_WXYZ: _upright,
    RotationForm.AXIS_ANGLE: _to_axis_angle,
    RotationForm.EULER_XYZ: _to_euler,
    RotationForm.SIX_COLUMNS: _to_columns,
    RotationForm.SIX_ROWS: _to_rows,
    RotationForm.MATRIX: _to_matrix,
}
