"""Gymnasium's wrappers on a `RemoteEnv` give what they give on the environment itself."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers

import rlmesh
from support.comparing import Declared, assert_same
from support.sample_envs import EchoEnv, FrameEnv, ScriptedEnv
from support.serving import remote, serving

STEPS = 60
SEED = 11

Env = gymnasium.Env[Any, Any]
Wrap = Callable[[Env], Env]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")


def cartpole() -> Env:
    return gymnasium.make("CartPole-v1", render_mode="rgb_array")


def pendulum() -> Env:
    return gymnasium.make("Pendulum-v1")


def lake() -> Env:
    return gymnasium.make("FrozenLake-v1", render_mode="ansi")


def image() -> Env:
    return EchoEnv("image", render_mode="ansi")


def mapping() -> Env:
    return EchoEnv("dict")


def pair() -> Env:
    return EchoEnv("tuple")


# Wrappers that draw from `np_random` go around environments that do not: a local one shares its
# generator with its wrappers, a remote one has its own, seeded alike.
def still() -> Env:
    return FrameEnv(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))


def point() -> Env:
    return ScriptedEnv()


def numbers() -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (4,), np.float64)


# What each wrapper is put around, and how.
WRAPPERS: dict[str, tuple[Callable[[], Env], Wrap]] = {
    "AddRenderObservation": (
        cartpole,
        lambda env: wrappers.AddRenderObservation(env, render_only=False),
    ),
    "AddWhiteNoise": (
        still,
        lambda env: wrappers.AddWhiteNoise(env, 0.5, is_noise_grayscale=True),
    ),
    "Autoreset": (cartpole, wrappers.Autoreset),
    "ClipAction": (pendulum, wrappers.ClipAction),
    "ClipReward": (pendulum, lambda env: wrappers.ClipReward(env, -1.0, 0.0)),
    "DelayObservation": (cartpole, lambda env: wrappers.DelayObservation(env, 2)),
    "DiscretizeAction": (pendulum, lambda env: wrappers.DiscretizeAction(env, 5)),
    "DiscretizeObservation": (pendulum, lambda env: wrappers.DiscretizeObservation(env, 6)),
    "DtypeObservation": (cartpole, lambda env: wrappers.DtypeObservation(env, np.float64)),
    "FilterObservation": (mapping, lambda env: wrappers.FilterObservation(env, ["z", "inner"])),
    "FilterObservation of a tuple": (pair, lambda env: wrappers.FilterObservation(env, [1])),
    "FlattenObservation": (mapping, wrappers.FlattenObservation),
    "FrameStackObservation": (cartpole, lambda env: wrappers.FrameStackObservation(env, 4)),
    "FrameStackObservation of a dict": (
        mapping,
        lambda env: wrappers.FrameStackObservation(env, 3),
    ),
    "GrayscaleObservation": (image, wrappers.GrayscaleObservation),
    "MaxAndSkipObservation": (cartpole, lambda env: wrappers.MaxAndSkipObservation(env, 3)),
    "NormalizeObservation": (cartpole, wrappers.NormalizeObservation),
    "NormalizeReward": (pendulum, wrappers.NormalizeReward),
    "ObstructView": (still, lambda env: wrappers.ObstructView(env, 0.3, 4)),
    "OrderEnforcing": (cartpole, wrappers.OrderEnforcing),
    "PassiveEnvChecker": (cartpole, wrappers.PassiveEnvChecker),
    "RecordEpisodeStatistics": (cartpole, wrappers.RecordEpisodeStatistics),
    "RenderCollection": (cartpole, wrappers.RenderCollection),
    "RepeatAction": (cartpole, lambda env: wrappers.RepeatAction(env, 2)),
    "RescaleAction": (
        pendulum,
        lambda env: wrappers.RescaleAction(env, np.float32(-1), np.float32(1)),
    ),
    "RescaleObservation": (
        image,
        lambda env: wrappers.RescaleObservation(env, np.int64(0), np.int64(1)),
    ),
    "ReshapeObservation": (cartpole, lambda env: wrappers.ReshapeObservation(env, (2, 2))),
    "ResizeObservation": (image, lambda env: wrappers.ResizeObservation(env, (9, 8))),
    "StickyAction": (point, lambda env: wrappers.StickyAction(env, 0.4)),
    "TimeAwareObservation": (cartpole, wrappers.TimeAwareObservation),
    "TimeLimit": (lake, lambda env: wrappers.TimeLimit(env, 7)),
    "TransformAction": (
        pendulum,
        lambda env: wrappers.TransformAction(env, lambda action: action * 0.5, None),
    ),
    "TransformObservation": (
        cartpole,
        lambda env: wrappers.TransformObservation(env, lambda seen: seen * 2.0, numbers()),
    ),
    "TransformReward": (
        pendulum,
        lambda env: wrappers.TransformReward(env, lambda r: float(r) + 1.0),
    ),
}

# Those whose pictures are compared too.
RENDERING = {"AddRenderObservation", "AddWhiteNoise", "ObstructView", "RenderCollection"}

# They need what is not numpy, or a game, or a screen.
OTHERS = {
    "ArrayConversion",
    "AtariPreprocessing",
    "HumanRendering",
    "JaxToNumpy",
    "JaxToTorch",
    "NumpyToTorch",
    "RecordVideo",  # below
    "vector",
}


def test_every_wrapper_of_gymnasium_is_tried_here() -> None:
    tried = {name.partition(" ")[0] for name in WRAPPERS}
    assert tried | OTHERS >= set(wrappers.__all__)


def record(env: Env, *, renders: bool) -> list[Any]:
    """What a wrapped environment gives: spaces, resets, steps and pictures."""
    env.action_space.seed(SEED)
    told: list[Any] = [repr(env.observation_space), repr(env.action_space), env.render_mode]
    told.append(env.reset(seed=SEED))
    for _ in range(STEPS):
        step = env.step(env.action_space.sample())
        # How long an episode took in seconds is nobody's promise.
        step[4].get("episode", {}).pop("t", None)
        told.append(step)
        if renders:
            told.append(env.render())
        if (step[2] or step[3]) and not isinstance(env, wrappers.Autoreset):
            told.append(env.reset())
    return told


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_gives_what_it_gives_locally(name: str) -> None:
    if name == "ResizeObservation":
        pytest.importorskip("cv2", reason="ResizeObservation needs OpenCV")
    make, wrap = WRAPPERS[name]
    renders = name in RENDERING
    with contextlib.closing(wrap(Declared(make()))) as local:
        expected = record(local, renders=renders)
    with remote(make()) as client:
        assert_same(record(wrap(client), renders=renders), expected, name)


def test_wrappers_stack() -> None:
    def wrap(env: Env) -> Env:
        env = wrappers.TimeLimit(env, 13)
        env = wrappers.RecordEpisodeStatistics(env)
        env = wrappers.FrameStackObservation(env, 3)
        env = wrappers.FlattenObservation(env)
        env = wrappers.NormalizeObservation(env)
        return wrappers.NormalizeReward(env)

    with contextlib.closing(wrap(cartpole())) as local:
        expected = record(local, renders=True)
    with remote(cartpole()) as client:
        assert_same(record(wrap(client), renders=True), expected)


def test_the_spec_of_a_wrapped_client_names_environment_and_wrappers() -> None:
    with remote(gymnasium.make("CartPole-v1")) as client:
        spec = wrappers.TransformReward(wrappers.RecordEpisodeStatistics(client), float).spec
    assert spec is not None
    assert spec.id == "CartPole-v1"
    assert [wrapper.name for wrapper in spec.additional_wrappers] == [
        "RecordEpisodeStatistics",
        "TransformReward",
    ]


def test_record_video_writes_the_video_of_an_episode(tmp_path: Path) -> None:
    if importlib.util.find_spec("moviepy") is None:
        pytest.skip("RecordVideo needs moviepy")
    folder = tmp_path / "videos"
    with serving(cartpole()) as server:
        env: Any = wrappers.RecordVideo(rlmesh.RemoteEnv(server.address), str(folder))
        env.reset(seed=SEED)
        done = False
        while not done:
            _, _, terminated, truncated, _ = env.step(0)
            done = terminated or truncated
        env.close()
    (video,) = folder.iterdir()
    assert video.suffix == ".mp4"
    assert video.stat().st_size > 1000


def test_the_client_is_unwrapped_as_an_environment_is() -> None:
    with remote(cartpole()) as client:
        assert client.unwrapped is client
        assert wrappers.OrderEnforcing(client).unwrapped is client
        assert isinstance(client, gymnasium.Env)
