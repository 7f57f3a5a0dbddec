"""Every form of a rotation becomes every other, exactly, also at small angles and half turns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from rlmesh.adapters.faults import ValueFault
from rlmesh.adapters.rotations import change_form
from rlmesh_api.contract import RotationForm

FORMS = list(RotationForm)
_ANGLES = [0.0, 1e-300, 1e-9, 1e-4, 0.3, np.pi / 2, 3.0, np.pi - 1e-9, np.pi]


def matrices() -> np.ndarray[Any, Any]:
    """Random rotations, turns by every odd angle about odd axes, and those of the gimbal's lock."""
    rng = np.random.default_rng(0)
    axes = [*np.eye(3), *-np.eye(3), *rng.normal(size=(6, 3)), np.ones(3), np.array([1, -1, 1e-9])]
    units = [axis / np.linalg.norm(axis) for axis in axes]
    turns = [turn(axis, angle) for axis, angle in itertools.product(units, _ANGLES)]
    locked = [
        turn(units[2], a) @ turn(units[1], pitch) @ turn(units[0], b)
        for pitch in (np.pi / 2, -np.pi / 2)
        for a, b in itertools.product((-2.0, 0.0, 1.0), repeat=2)
    ]
    return np.stack(turns + locked)


def turn(axis: Any, angle: float) -> np.ndarray[Any, Any]:
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix: np.ndarray[Any, Any]
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


@pytest.mark.parametrize(("one", "other"), list(itertools.product(FORMS, repeat=2)))
def test_each_form_becomes_each_other_and_back(one: RotationForm, other: RotationForm) -> None:
    expected = matrices()
    first = change_form(expected, RotationForm.MATRIX, one)
    second = change_form(first, one, other)
    again = change_form(change_form(second, other, one), one, RotationForm.MATRIX)
    assert np.abs(change_form(second, other, RotationForm.MATRIX) - expected).max() < 1e-8
    assert np.abs(again - expected).max() < 1e-8


def test_the_forms_are_those_that_their_names_say() -> None:
    quarter = np.sqrt(0.5)
    about_z = {
        RotationForm.QUATERNION_XYZW: [0, 0, quarter, quarter],
        RotationForm.QUATERNION_WXYZ: [quarter, 0, 0, quarter],
        RotationForm.AXIS_ANGLE: [0, 0, np.pi / 2],
        RotationForm.EULER_XYZ: [0, 0, np.pi / 2],
        RotationForm.SIX_COLUMNS: [0, 1, 0, -1, 0, 0],
        RotationForm.SIX_ROWS: [0, -1, 0, 1, 0, 0],
        RotationForm.MATRIX: [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    }
    for one, other in itertools.product(FORMS, repeat=2):
        given = np.array(about_z[one], dtype=float)
        assert change_form(given, one, other) == pytest.approx(np.array(about_z[other]), abs=1e-12)


def test_euler_angles_are_turns_about_fixed_axes_x_then_y_then_z() -> None:
    roll, pitch, yaw = 0.3, -1.1, 2.5
    x, y, z = np.eye(3)
    expected = turn(z, yaw) @ turn(y, pitch) @ turn(x, roll)
    given = np.array([roll, pitch, yaw])
    matrix = change_form(given, RotationForm.EULER_XYZ, RotationForm.MATRIX)
    assert matrix == pytest.approx(expected, abs=1e-14)
    back = change_form(matrix, RotationForm.MATRIX, RotationForm.EULER_XYZ)
    assert back == pytest.approx(given, abs=1e-12)


def test_small_angles_keep_their_digits() -> None:
    tiny = np.array([1e-12, -2e-200, 0.0])
    quaternion = change_form(tiny, RotationForm.AXIS_ANGLE, RotationForm.QUATERNION_WXYZ)
    back = change_form(quaternion, RotationForm.QUATERNION_WXYZ, RotationForm.AXIS_ANGLE)
    assert back == pytest.approx(tiny, rel=1e-12, abs=0)


def test_axes_before_stay() -> None:
    given = np.random.default_rng(1).normal(size=(2, 5, 4))
    assert change_form(given, RotationForm.QUATERNION_XYZW, RotationForm.MATRIX).shape == (
        2,
        5,
        3,
        3,
    )


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (RotationForm.QUATERNION_XYZW, np.zeros(4)),
        (RotationForm.QUATERNION_WXYZ, np.array([np.nan, 0, 0, 1])),
        (RotationForm.AXIS_ANGLE, np.array([np.inf, 0, 0])),
        (RotationForm.EULER_XYZ, np.array([0, np.nan, 0])),
        (RotationForm.SIX_COLUMNS, np.array([1.0, 0, 0, 2.0, 0, 0])),
        (RotationForm.SIX_ROWS, np.zeros(6)),
        (RotationForm.MATRIX, np.full((3, 3), np.nan)),
    ],
)
def test_what_is_no_rotation_is_refused(form: RotationForm, value: Any) -> None:
    with pytest.raises(ValueFault, match="expected a rotation"):
        change_form(value, form, RotationForm.MATRIX)
