"""ALE, MuJoCo and MiniGrid: served and driven, they are what they are in this process."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.vector import SyncVectorEnv

import rlmesh
from support.comparing import Declared, assert_same
from support.exotic_envs import EXOTIC, Exotic, Threads, grid
from support.processes import served
from support.serving import remote, remote_vector
from support.vector_envs import told

STEPS = 500
SUB_ENVS = 2
SEED = 17

pytestmark = pytest.mark.exotic


@pytest.fixture(autouse=True)
def _somewhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MuJoCo writes its log into the working directory."""
    monkeypatch.chdir(tmp_path)


def installed(name: str) -> Exotic:
    exotic = EXOTIC[name]
    if importlib.util.find_spec(exotic.package) is None:
        pytest.skip(f"{exotic.package} is not installed: pip install rlmesh[exotic]")
    return exotic


def told_singly(env: gymnasium.Env[Any, Any]) -> Iterator[tuple[str, Any]]:
    """What an environment tells a training loop, call by call."""
    env.action_space.seed(3)
    yield "reset", env.reset(seed=SEED)
    for step in range(STEPS):
        result = env.step(env.action_space.sample())
        yield f"step {step}", result
        if result[2] or result[3]:
            yield f"reset after step {step}", env.reset()


def assert_single_sameness(remote: gymnasium.Env[Any, Any], local: gymnasium.Env[Any, Any]) -> None:
    with contextlib.closing(Declared(local)) as declared:
        assert remote.observation_space == declared.observation_space
        assert remote.action_space == declared.action_space
        for (call, actual), (_, expected) in zip(
            told_singly(remote), told_singly(declared), strict=True
        ):
            assert_same(actual, expected, call)


@pytest.mark.parametrize("name", EXOTIC)
def test_500_steps_are_the_same(name: str) -> None:
    exotic = installed(name)
    with remote(exotic.make()) as client:
        assert_single_sameness(client, exotic.make())


@pytest.mark.parametrize("name", EXOTIC)
def test_500_steps_of_two_sub_envs_are_the_same_and_come_from_one_thread(name: str) -> None:
    exotic = installed(name)
    local = SyncVectorEnv([exotic.make] * SUB_ENVS)
    envs = [Threads(exotic.make()) for _ in range(SUB_ENVS)]
    with contextlib.closing(local), remote_vector(envs) as client:
        assert client.observation_space == local.observation_space
        assert client.action_space == local.action_space
        for (call, actual), (_, expected) in zip(
            told(client, STEPS, seed=SEED), told(local, STEPS, seed=SEED), strict=True
        ):
            assert_same(actual, expected, call)
    (thread,) = {thread for env in envs for thread in env.calls}
    assert thread != threading.get_ident()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ALE/Pong-v5", ["--env", "ALE/Pong-v5", "--import", "ale_py"]),
        ("HalfCheetah-v5", ["--env", "HalfCheetah-v5"]),
        ("MiniGrid text", ["--env", "support.exotic_envs:grid_text"]),
    ],
)
def test_500_steps_are_the_same_from_a_process_of_the_command_line(
    name: str, arguments: list[str]
) -> None:
    exotic = installed(name)
    with served(*arguments) as (_, address):
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as client:
            assert_single_sameness(client, exotic.make())


@pytest.mark.parametrize(
    ("name", "needs_gpu_library"),
    [("ALE/Pong-v5", False), ("HalfCheetah-v5", True), ("MiniGrid image", False)],
)
def test_frames_are_the_same_and_all_calls_come_from_one_thread(
    name: str, needs_gpu_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    exotic = installed(name)
    local = exotic.make(render_mode="rgb_array")
    local.reset(seed=SEED)
    try:
        expected = local.render()
    except Exception as error:
        if not needs_gpu_library:
            raise
        pytest.skip(f"MuJoCo cannot render on this machine: {error}")
    finally:
        local.close()
    watched = Threads(exotic.make(render_mode="rgb_array"))
    with remote(watched) as client:
        client.reset(seed=SEED)
        assert_same(client.render(), expected)
        client.step(client.action_space.sample())
    ((thread, calls),) = watched.calls.items()
    assert thread != threading.get_ident()
    assert calls == {"reset", "step", "render", "close"}


@pytest.mark.parametrize(
    ("name", "converted", "mission"),
    [
        (
            "MiniGrid-Fetch-5x5-N2-v0",
            "minigrid.core.mission.MissionSpace",
            # "get a key" is not the shortest: a mission names a color.
            rlmesh.spaces.Text(28, min_length=13),
        ),
        (
            "BabyAI-GoToObj-v0",
            "minigrid.envs.babyai.core.roomgrid_level.BabyAIMissionSpace",
            rlmesh.spaces.Text(4096, min_length=0),
        ),
    ],
)
def test_missions_in_a_space_of_their_own_are_texts(
    name: str, converted: str, mission: rlmesh.spaces.Text
) -> None:
    installed("MiniGrid text")
    with remote(grid(name)) as client, contextlib.closing(Declared(grid(name))) as local:
        assert client.env_contract.metadata["rlmesh.conversions"] == {
            "observation_space.mission": converted
        }
        assert "rlmesh.conversions" not in client.metadata
        space: Any = client.env_contract.observation_space
        assert {entry.key: entry.space for entry in space.entries}["mission"] == mission
        local.observation_space = client.observation_space
        for (call, actual), (_, expected) in zip(
            told_singly(client), told_singly(local), strict=True
        ):
            assert_same(actual, expected, call)


def test_missions_of_a_vector_environment_are_texts() -> None:
    installed("MiniGrid text")
    local, other = (
        SyncVectorEnv([lambda: grid("MiniGrid-Fetch-5x5-N2-v0")] * SUB_ENVS) for _ in range(2)
    )
    with contextlib.closing(local), remote_vector(other) as client:
        for (call, actual), (_, expected) in zip(
            told(client, 50, seed=SEED), told(local, 50, seed=SEED), strict=True
        ):
            assert_same(actual, expected, call)
