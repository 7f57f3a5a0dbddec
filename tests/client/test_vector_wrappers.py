"""Gymnasium's vector wrappers on a `RemoteVectorEnv` give what they give locally."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import vector as wrappers

import rlmesh
from support.comparing import assert_same
from support.sample_envs import echo_vector
from support.serving import remote_vector, serving

STEPS = 60
SEED = 11
SUB_ENVS = 3

Envs = VectorEnv[Any, Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")


def cartpole() -> Envs:
    return gymnasium.make_vec(
        "CartPole-v1", SUB_ENVS, vectorization_mode="sync", render_mode="rgb_array"
    )


def pendulum() -> Envs:
    return gymnasium.make_vec("Pendulum-v1", SUB_ENVS, vectorization_mode="sync")


def image() -> Envs:
    return echo_vector("image", SUB_ENVS)


def mapping() -> Envs:
    return echo_vector("dict", SUB_ENVS)


def halve(actions: Any) -> Any:
    return actions * 0.5


def flat() -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (4,), np.float64)


WRAPPERS: dict[str, tuple[Callable[[], Envs], Callable[[Any], Any]]] = {
    "ClipAction": (pendulum, wrappers.ClipAction),
    "ClipReward": (pendulum, lambda envs: wrappers.ClipReward(envs, -1.0, 0.0)),
    "DictInfoToList": (cartpole, wrappers.DictInfoToList),
    "DtypeObservation": (cartpole, lambda envs: wrappers.DtypeObservation(envs, np.float64)),
    "FilterObservation": (mapping, lambda envs: wrappers.FilterObservation(envs, ["z"])),
    "FlattenObservation": (mapping, wrappers.FlattenObservation),
    "GrayscaleObservation": (image, wrappers.GrayscaleObservation),
    "NormalizeObservation": (cartpole, wrappers.NormalizeObservation),
    "NormalizeReward": (pendulum, wrappers.NormalizeReward),
    "RecordEpisodeStatistics": (cartpole, wrappers.RecordEpisodeStatistics),
    "RescaleAction": (pendulum, lambda envs: wrappers.RescaleAction(envs, -1.0, 1.0)),
    "RescaleObservation": (image, lambda envs: wrappers.RescaleObservation(envs, 0, 1)),
    "ReshapeObservation": (cartpole, lambda envs: wrappers.ReshapeObservation(envs, (2, 2))),
    "ResizeObservation": (image, lambda envs: wrappers.ResizeObservation(envs, (9, 8))),
    "TransformAction": (
        pendulum,
        lambda envs: wrappers.TransformAction(envs, halve),
    ),
    "TransformObservation": (
        cartpole,
        lambda envs: wrappers.TransformObservation(envs, lambda seen: seen * 2.0),
    ),
    "TransformReward": (pendulum, lambda envs: wrappers.TransformReward(envs, lambda r: r + 1)),
    "VectorizeTransformAction": (
        pendulum,
        lambda envs: wrappers.VectorizeTransformAction(
            envs, gymnasium.wrappers.RescaleAction, min_action=-1.0, max_action=1.0
        ),
    ),
    "VectorizeTransformObservation": (
        cartpole,
        lambda envs: wrappers.VectorizeTransformObservation(
            envs,
            gymnasium.wrappers.TransformObservation,
            func=lambda seen: seen * 2.0,
            observation_space=flat(),
        ),
    ),
    "VectorizeTransformReward": (
        pendulum,
        lambda envs: wrappers.VectorizeTransformReward(
            envs, gymnasium.wrappers.TransformReward, func=lambda reward: reward + 1
        ),
    ),
}

# They need what is not numpy, or a screen.
OTHERS = {
    "ArrayConversion",
    "HumanRendering",
    "JaxToNumpy",
    "JaxToTorch",
    "NumpyToTorch",
    "RecordVideo",  # below
}


def test_every_vector_wrapper_of_gymnasium_is_tried_here() -> None:
    assert set(WRAPPERS) | OTHERS >= set(wrappers.__all__)


def record(envs: Any) -> list[Any]:
    """What wrapped environments give: spaces, the reset and steps."""
    envs.action_space.seed(SEED)
    told: list[Any] = [repr(envs.observation_space), repr(envs.action_space), envs.num_envs]
    told.append(envs.reset(seed=SEED))
    for _ in range(STEPS):
        step = envs.step(envs.action_space.sample())
        if isinstance(step[4], dict):
            # How long an episode took in seconds is nobody's promise.
            step[4].get("episode", {}).pop("t", None)
        told.append(step)
    return told


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_vector_wrapper_gives_what_it_gives_locally(name: str) -> None:
    if name == "ResizeObservation":
        pytest.importorskip("cv2", reason="ResizeObservation needs OpenCV")
    make, wrap = WRAPPERS[name]
    with contextlib.closing(wrap(make())) as local:
        expected = record(local)
    with remote_vector(make()) as client:
        assert_same(record(wrap(client)), expected, name)


def test_vector_wrappers_stack() -> None:
    def wrap(envs: Any) -> Any:
        envs = wrappers.RecordEpisodeStatistics(envs)
        envs = wrappers.NormalizeObservation(envs)
        return wrappers.NormalizeReward(envs)

    with contextlib.closing(wrap(cartpole())) as local:
        expected = record(local)
    with remote_vector(cartpole()) as client:
        assert_same(record(wrap(client)), expected)


def test_record_video_writes_the_video_of_all_sub_envs(tmp_path: Path) -> None:
    if importlib.util.find_spec("moviepy") is None:
        pytest.skip("RecordVideo needs moviepy")
    folder = tmp_path / "videos"
    with serving(cartpole()) as server:
        envs = wrappers.RecordVideo(
            rlmesh.RemoteVectorEnv(server.address), str(folder), video_length=5
        )
        envs.reset(seed=SEED)
        for _ in range(8):
            envs.step(envs.action_space.sample())
        envs.close()
    (video,) = folder.iterdir()
    assert video.suffix == ".mp4"
    assert video.stat().st_size > 1000
