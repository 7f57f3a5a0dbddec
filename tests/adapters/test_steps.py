"""What each step does to values, and that its space holds just such values."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from rlmesh import adapters as ad
from rlmesh.adapters.compiling import OPERATIONS, compile_steps
from rlmesh.spaces import from_gymnasium_space, to_gymnasium_space
from rlmesh_api.contract import AdapterOperation, AdapterStep
from support.contracts import EVERY_STEP

_F = np.float32
_INF = np.inf
_IMAGE = spaces.Box(0, 255, (6, 8, 3), np.uint8)
_FLOATS = spaces.Box(np.array([-1, 0, -3], _F), np.array([1, 5, -2], _F))
_ARM = spaces.Dict(
    {
        "pos": spaces.Box(-1, 1, (3,)),
        "rot": spaces.Box(-1, 1, (4,)),
        "grip": spaces.Box(0, 0.04, (1,)),
        "task": spaces.Text(6, charset="abC"),
    }
)
_CAMERAS = spaces.Dict({"left": _IMAGE, "right": _IMAGE})

# Each kind with spaces that it takes.
CASES: list[tuple[AdapterStep, spaces.Space[Any]]] = [
    (ad.rename({"pos": "place", "rot": "turn"}), _ARM),
    (ad.select(["task", "pos"]), _ARM),
    (ad.extract("rot"), _ARM),
    (ad.wrap("state"), _FLOATS),
    (ad.concatenate(["grip", "pos"], "state"), _ARM),
    (ad.concatenate(["right", "left"], axis=-3), _CAMERAS),
    (ad.split({"a": 1, "b": 2}), _FLOATS),
    (ad.split({"x": 1, "yz": 2}, "pos"), _ARM),
    (ad.split({"top": 4, "bottom": 2}, axis=-3), _IMAGE),
    (ad.stack(["left", "right"], axis=-4), _CAMERAS),
    (ad.stack(["left", "right"], "both", axis=-1), _CAMERAS),
    (ad.take([2, 0, 0]), _FLOATS),
    (ad.take([2, 1, 0], at="pos"), _ARM),
    (ad.reshape((3, 1)), _FLOATS),
    (ad.reshape((144,)), _IMAGE),
    (ad.cast("int16"), _FLOATS),
    (ad.cast("uint8"), spaces.Box(0, 255, (4,))),
    (ad.cast("bool"), spaces.MultiBinary((2, 2))),
    (ad.cast("float32"), spaces.Discrete(5, start=-2)),
    (ad.cast("float64"), spaces.MultiDiscrete([3, 4], start=[1, -1])),
    (ad.cast("int8"), spaces.Box(-128, 127, (3,), np.int64)),
    (ad.cast("float16"), _FLOATS),
    (ad.scale(0.5, 1.0), _FLOATS),
    (ad.scale([1, -2, 1 / 3], [0, 1, 0.1]), _FLOATS),
    (ad.scale(-1.0), spaces.Box(0, _INF, (2,))),
    (ad.normalize([0.1, 2, -2.5], [0.3, 1e-3, 7]), _FLOATS),
    (ad.normalize(0.5, 0.25, epsilon=1e-6, inverse=True), _FLOATS),
    (ad.normalize_quantiles([-1, 0, -3], [1, 5, -2], epsilon=1e-6), _FLOATS),
    (ad.normalize_quantiles([-1, 0, -3], [1, 5, -2], inverse=True), _FLOATS),
    (ad.gripper(open=(1, -1), closed=(0, 1)), spaces.Box(0, 1, (1,))),
    (ad.gripper(open=(0.04, 1), closed=(0, 0), indices=[2]), _FLOATS),
    (ad.gripper(open=(1, -1), closed=(-1, 1), indices=[0], threshold=0.5), _FLOATS),
    (ad.clip([-0.5, -_INF, -5], [0.5, _INF, -2.5]), _FLOATS),
    (ad.clip(-_INF, 100), _IMAGE),
    (ad.resize(4, 5), _IMAGE),
    (ad.resize(9, 9, method="nearest", fit="pad", fill=7), _IMAGE),
    (ad.resize(3, 9, method="area", fit="crop"), _IMAGE),
    (ad.resize(12, 12, method="bicubic"), spaces.Box(-1, 1, (6, 8, 2))),
    (ad.resize(12, 16, method="lanczos", layout="chw"), spaces.Box(0, 1, (3, 6, 8))),
    (ad.crop(4, 4), _IMAGE),
    (ad.crop(2, 3, top=1, left=5, layout="hwc"), _IMAGE),
    (ad.pad(top=1, left=2, value=255), _IMAGE),
    (ad.pad(bottom=1, right=2, value=0.5, layout="chw"), spaces.Box(0, 1, (3, 2, 2))),
    (ad.channel_order("hwc", "chw"), _IMAGE),
    (ad.channel_order("chw", "hwc"), spaces.Box(0, 1, (3, 2, 4))),
    (ad.color("rgb", "bgr"), _IMAGE),
    (ad.color("rgb", "gray"), _IMAGE),
    (ad.color("bgr", "gray", layout="chw"), spaces.Box(0, 255, (3, 4, 5), np.uint8)),
    (ad.color("gray", "rgb"), spaces.Box(0, 1, (4, 5, 1))),
    (ad.rotation("quaternion_xyzw", "axis_angle", at="rot"), _ARM),
    (ad.rotation("axis_angle", "euler_xyz"), spaces.Box(-4, 4, (3,), np.float64)),
    (ad.rotation("six_columns", "quaternion_wxyz"), spaces.Box(-1, 1, (2, 6))),
    (ad.rotation("axis_angle", "matrix"), spaces.Box(-4, 4, (3,), np.float16)),
    (ad.text("In: {task}? {{}}", "prompt", lower=True), _ARM),
    (ad.text("none", "task"), _ARM),
    (ad.frame_stack(3), _FLOATS),
    (ad.frame_stack(2, axis=-1, padding="zero", at="pos"), _ARM),
    (ad.scale(2.0, at=1), spaces.Tuple((spaces.Discrete(2), _FLOATS))),
    (ad.scale(2.0, at=("arm", "pos")), spaces.Dict({"arm": _ARM})),
]
_IDS = [f"{step.name} {index}" for index, (step, _) in enumerate(CASES)]


def applied(step: AdapterStep, space: spaces.Space[Any], value: Any) -> Any:
    [compiled] = compile_steps([(1, step)], from_gymnasium_space(space), "$")
    return compiled.change(value)


def test_every_kind_has_a_case_and_is_compiled() -> None:
    kinds = set(AdapterOperation._arms)
    assert kinds == set(OPERATIONS) == {step.name for step, _ in CASES}
    assert kinds <= set(ad.__all__)
    # The golden bytes have each of them.
    assert {step.name for step in EVERY_STEP} == kinds


@pytest.mark.parametrize(("step", "space"), CASES, ids=_IDS)
def test_what_a_step_gives_is_in_its_space(step: AdapterStep, space: spaces.Space[Any]) -> None:
    [compiled] = compile_steps([(1, step)], from_gymnasium_space(space), "$")
    target = to_gymnasium_space(compiled.space)
    space.seed(3)
    for value in [*(space.sample() for _ in range(20)), *_extremes(space)]:
        before = repr(value)
        changed = compiled.change(value)
        assert target.contains(changed), (changed, target)
        assert repr(value) == before


@pytest.mark.parametrize(("step", "space"), CASES, ids=_IDS)
def test_a_step_is_data(step: AdapterStep, space: spaces.Space[Any]) -> None:
    assert AdapterStep.from_json(step.to_json()) == step
    assert AdapterStep.from_proto(step.to_proto()) == step
    again = AdapterStep.from_json(step.to_json())
    assert hash(again) == hash(step)
    value = space.sample()
    assert repr(applied(again, space, value)) == repr(applied(step, space, value))


def _extremes(space: spaces.Space[Any]) -> list[Any]:
    """The values at both bounds; what is no rotation there is left out."""
    if isinstance(space, spaces.Box) and np.all(np.isfinite([space.low.min(), space.high.max()])):
        return [] if np.any(space.low == 0) else [space.low, space.high]
    return []


@given(
    low=st.floats(-1e3, 1e3, width=32),
    width=st.floats(0, 1e3, width=32),
    factor=st.floats(-1e3, 1e3, width=32).filter(lambda factor: abs(factor) > 1e-3),
    offset=st.floats(-1e3, 1e3, width=32),
    part=st.floats(0, 1),
)
def test_the_bounds_of_a_scale_are_never_exceeded(
    low: float, width: float, factor: float, offset: float, part: float
) -> None:
    space = spaces.Box(_F(low), _F(low) + _F(width), (1,))
    [compiled] = compile_steps([(1, ad.scale(factor, offset))], from_gymnasium_space(space), "$")
    value = np.clip(space.low + _F(part) * (space.high - space.low), space.low, space.high)
    assert to_gymnasium_space(compiled.space).contains(compiled.change(value))


def test_the_numbers_are_those_of_the_formulas() -> None:
    x = np.array([0.5, 2.0, -2.5], _F)
    assert applied(ad.scale(2.0, 1.0), _FLOATS, x).tolist() == [2.0, 5.0, -4.0]
    assert applied(ad.normalize([0.5, 0, 0], [1, 2, 5]), _FLOATS, x).tolist() == [0.0, 1.0, -0.5]
    assert applied(ad.normalize(1, 2, inverse=True), _FLOATS, x).tolist() == [2.0, 5.0, -4.0]
    quantiles = ad.normalize_quantiles([0, 0, -3], [1, 4, -2])
    assert applied(quantiles, _FLOATS, x).tolist() == [0.0, 0.0, 0.0]
    back = ad.normalize_quantiles([0, 0, -3], [1, 4, -2], inverse=True)
    assert applied(back, _FLOATS, np.zeros(3, _F)).tolist() == x.tolist()
    assert applied(ad.clip(-1, 1), _FLOATS, x).tolist() == [0.5, 1.0, -1.0]
    assert applied(ad.cast("int8"), _FLOATS, x).tolist() == [0, 2, -2]
    gripper = ad.gripper(open=(1, -1), closed=(0, 1))
    unit = spaces.Box(0, 1, (1,))
    assert [applied(gripper, unit, np.array([x], _F)).item() for x in (1, 0, 0.25)] == [-1, 1, 0.5]
    either = ad.gripper(open=(1, -1), closed=(0, 1), threshold=0.5)
    assert [applied(either, unit, np.array([x], _F)).item() for x in (0.6, 0.5)] == [-1, 1]


def test_split_is_the_reverse_of_concatenate() -> None:
    arm = {key: space for key, space in _ARM.spaces.items() if key != "task"}
    space = spaces.Dict(arm)
    value = space.sample()
    joined = applied(ad.concatenate(["pos", "rot", "grip"]), space, value)
    parts = applied(ad.split({"pos": 3, "rot": 4, "grip": 1}), spaces.Box(-1, 1, (8,)), joined)
    assert {key: part.tolist() for key, part in parts.items()} == {
        key: part.tolist() for key, part in value.items()
    }


def test_texts_are_put_into_a_template() -> None:
    value = {**_ARM.sample(), "task": "aCb"}
    step = ad.text("In: {task} {{now}}", "prompt", lower=True)
    assert applied(step, _ARM, value)["prompt"] == "In: acb {now}"
    space = compile_steps([(1, step)], from_gymnasium_space(_ARM), "$")[0].space
    written = to_gymnasium_space(space)["prompt"]  # type: ignore[index]
    assert (written.min_length, written.max_length) == (11, 16)
    assert set(written.characters) == set("In: {now}abc")


@pytest.mark.parametrize("number", [300.0, -1.0, math.nan, math.inf])
def test_a_value_that_lies_about_its_bounds_never_wraps_around(number: float) -> None:
    env = SimpleNamespace(observation_space=spaces.Box(0, 255, (1,)), action_space=_FLOATS)
    model = SimpleNamespace(
        observation_space=spaces.Box(0, 255, (1,), np.uint8), action_space=_FLOATS
    )
    adapter = ad.adapt(model, env, [ad.cast("uint8")])
    with pytest.raises(
        ValueError, match=r"\$.observation_space: step 1, cast: expected numbers from 0 to 255"
    ):
        adapter.observation(np.array([number], _F))
    assert adapter.observation(np.array([254.5], _F)).tolist() == [254]
