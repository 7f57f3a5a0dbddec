"""Gymnasium's vector wrappers in every autoreset mode, and those that draw or convert.

`tests/client/test_vector_wrappers.py` has the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

from support.comparing import assert_same
from support.serving import remote_vector
from support.vector_envs import Envs, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("transports_in_turn")

STEPS = 24
MODES = list(AutoresetMode)
Wrap = Callable[[Any], Any]

IN_EVERY_MODE: dict[str, Wrap] = {
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "ClipReward": lambda envs: wrappers.ClipReward(envs, -0.5, 0.5),
    "ClipAction": wrappers.ClipAction,
    "DictInfoToList": wrappers.DictInfoToList,
}
OF_OBSERVATIONS: dict[str, Wrap] = {
    "FlattenObservation": wrappers.FlattenObservation,
    "ReshapeObservation": lambda envs: wrappers.ReshapeObservation(envs, (3, 2)),
}


def pendulums() -> Envs:
    return gymnasium.make_vec("Pendulum-v1", 3, vectorization_mode="sync")


def all_told(envs: Any) -> list[tuple[str, Any]]:
    calls = list(told(envs, STEPS))
    for _, result in calls:
        if isinstance(result[-1], dict):
            # How long an episode took in seconds is nobody's promise.
            result[-1].get("episode", {}).pop("t", None)
    return calls


def assert_as_local(make: Callable[[], Envs], wrap: Wrap) -> None:
    with contextlib.closing(wrap(make())) as local:
        expected = all_told(local)
    with remote_vector(make()) as client:
        for (call, actual), (_, wanted) in zip(all_told(wrap(client)), expected, strict=True):
            assert_same(actual, wanted, call)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: str(mode.name).lower())
@pytest.mark.parametrize("name", IN_EVERY_MODE)
def test_a_wrapper_is_as_locally_in_every_autoreset_mode(name: str, mode: AutoresetMode) -> None:
    assert_as_local(lambda: sync_sub_envs("box", mode=mode), IN_EVERY_MODE[name])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED], ids=str)
@pytest.mark.parametrize("name", OF_OBSERVATIONS)
def test_a_wrapper_of_observations_is_as_locally_in_the_modes_that_it_takes(
    name: str, mode: AutoresetMode
) -> None:
    assert_as_local(lambda: sync_sub_envs("box", mode=mode), OF_OBSERVATIONS[name])


@pytest.mark.parametrize("name", OF_OBSERVATIONS)
def test_a_wrapper_of_observations_refuses_same_step_as_locally(name: str) -> None:
    wrap = OF_OBSERVATIONS[name]
    with remote_vector(sync_sub_envs("box"), autoreset="same_step") as client:
        with pytest.raises(ValueError, match="Expected autoreset_mode to be NEXT_STEP or DISABLED"):
            wrap(client)


def test_human_rendering_draws_what_it_draws_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2", reason="HumanRendering needs OpenCV")
    pygame = pytest.importorskip("pygame", reason="HumanRendering needs pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def cartpoles() -> Envs:
        return gymnasium.make_vec(
            "CartPole-v1", 3, vectorization_mode="sync", render_mode="rgb_array"
        )

    def pictures(envs: Any) -> list[Any]:
        drawn: list[Any] = []
        with contextlib.closing(wrappers.HumanRendering(envs)) as human:
            human.metadata["render_fps"] = 10_000
            human.action_space.seed(1)
            human.reset(seed=1)
            for _ in range(3):
                human.step(human.action_space.sample())
                drawn.append(pygame.surfarray.array3d(human.window))
        return drawn

    expected = pictures(cartpoles())
    assert any(picture.any() for picture in expected)
    with remote_vector(cartpoles()) as client:
        assert_same(pictures(client), expected)


def test_array_conversion_converts_as_locally() -> None:
    pytest.importorskip("array_api_compat", reason="ArrayConversion needs array-api-compat")
    assert_as_local(pendulums, lambda envs: wrappers.ArrayConversion(envs, np, np))


def test_numpy_to_torch_gives_the_tensors_that_it_gives_locally() -> None:
    torch = pytest.importorskip("torch", reason="NumpyToTorch needs PyTorch")
    pytest.importorskip("array_api_compat", reason="NumpyToTorch needs array-api-compat")

    def tensors(envs: Any) -> list[Any]:
        wrapped: Any = wrappers.NumpyToTorch(envs)
        observations, _ = wrapped.reset(seed=1)
        actions = torch.zeros((3, 1))
        steps = [wrapped.step(actions)[:4] for _ in range(STEPS)]
        assert all(isinstance(part, torch.Tensor) for step in steps for part in step)
        return [observations.numpy(), *([part.numpy() for part in step] for step in steps)]

    with contextlib.closing(pendulums()) as local:
        expected = tensors(local)
    with remote_vector(pendulums()) as client:
        assert_same(tensors(client), expected)
