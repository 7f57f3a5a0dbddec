"""Nobody can tell remote from local: every value of hundreds of steps, down to its bits."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

import rlmesh
from support import sample_envs
from support.comparing import Declared, assert_same
from support.serving import served_process, serving

# Time limits of 100 and of 200 steps are reached, and a new episode begins.
STEPS = 220
# Of environments that observe a sample of their space at every step. Within these they terminate
# twice and are truncated once.
ECHO_STEPS = 60
SEED = 20
SUB_ENVS = 5

REGISTERED = [
    sample_envs.newest(name)
    for name in (
        "CartPole",
        "Acrobot",
        "MountainCar",
        "MountainCarContinuous",
        "Pendulum",
        "FrozenLake",
        "Taxi",
        "CliffWalking",
        "Blackjack",
    )
]
CUSTOM = [f"echo:{kind}" for kind in sample_envs.SPACES]
MODES = list(AutoresetMode)

# Acrobot's and MountainCar's own remarks about dtypes; in-process they are made just as well.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:gymnasium"),
    pytest.mark.usefixtures("transports_in_turn"),
]


def steps_of(what: str) -> int:
    return ECHO_STEPS if what.startswith("echo:") else STEPS


def assert_single_sameness(local: gymnasium.Env[Any, Any], address: str, steps: int) -> None:
    with contextlib.closing(rlmesh.RemoteEnv(address)) as remote:
        assert remote.observation_space == local.observation_space
        assert remote.action_space == local.action_space
        local.action_space.seed(SEED)
        remote.action_space.seed(SEED)

        assert_same(remote.reset(seed=SEED, options={}), local.reset(seed=SEED, options={}))
        for step in range(steps):
            action = local.action_space.sample()
            assert_same(remote.action_space.sample(), action, f"action {step}")
            expected = local.step(action)
            assert_same(remote.step(action), expected, f"step {step}")
            if expected[2] or expected[3]:
                assert_same(remote.reset(), local.reset(), f"reset after step {step}")


def assert_vector_sameness(
    local: VectorEnv[Any, Any, Any], address: str, steps: int = STEPS
) -> None:
    with contextlib.closing(rlmesh.RemoteVectorEnv(address)) as remote:
        assert remote.num_envs == local.num_envs
        assert remote.observation_space == local.observation_space
        assert remote.action_space == local.action_space
        assert remote.single_observation_space == local.single_observation_space
        assert remote.single_action_space == local.single_action_space
        mode = local.metadata["autoreset_mode"]
        assert remote.metadata["autoreset_mode"] is mode
        local.action_space.seed(SEED)
        remote.action_space.seed(SEED)
        assert_same(remote.reset(seed=SEED), local.reset(seed=SEED), "reset")
        for step in range(steps):
            actions = local.action_space.sample()
            assert_same(remote.action_space.sample(), actions, f"actions {step}")
            expected = local.step(actions)
            assert_same(remote.step(actions), expected, f"step {step}")
            done = expected[2] | expected[3]
            if mode is AutoresetMode.DISABLED and done.any():
                # Gymnasium takes the mask out of the dict that it is given.
                expected_reset = local.reset(options={"reset_mask": done.copy()})
                actual_reset = remote.reset(options={"reset_mask": done.copy()})
                assert_same(actual_reset, expected_reset, f"reset after step {step}")


@pytest.mark.parametrize("what", [*REGISTERED, *CUSTOM])
def test_all_steps_are_the_same(what: str) -> None:
    local = Declared(sample_envs.make(what))
    with serving(sample_envs.make(what)) as server, contextlib.closing(local):
        assert_single_sameness(local, server.address, steps_of(what))


# Every environment in every mode and over every transport, and every mode over every transport.
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: str(mode.name).lower())
@pytest.mark.parametrize("what", [*REGISTERED, *CUSTOM])
def test_all_steps_of_five_sub_envs_are_the_same(what: str, mode: AutoresetMode) -> None:
    local = sample_envs.make(what, SUB_ENVS, mode)
    with serving(sample_envs.make(what, SUB_ENVS, mode)) as server, contextlib.closing(local):
        assert_vector_sameness(local, server.address, steps_of(what))


def test_all_steps_of_five_sub_envs_are_the_same_from_a_worker() -> None:
    make = functools.partial(sample_envs.make, "echo:nested", SUB_ENVS, AutoresetMode.SAME_STEP)
    local = make()
    with serving(make, isolation="process") as server, contextlib.closing(local):
        assert_vector_sameness(local, server.address, ECHO_STEPS)


@pytest.mark.parametrize("what", ["CartPole-v1", "Blackjack-v1", "echo:nested"])
def test_all_steps_are_the_same_from_another_process(what: str) -> None:
    local = Declared(sample_envs.make(what))
    with served_process(what) as server, contextlib.closing(local):
        assert_single_sameness(local, server.address, steps_of(what))


@pytest.mark.parametrize("what", ["Pendulum-v1", "echo:nested"])
def test_all_steps_of_five_sub_envs_are_the_same_from_another_process(what: str) -> None:
    local = sample_envs.make(what, SUB_ENVS, AutoresetMode.SAME_STEP)
    options = ("--num-envs", str(SUB_ENVS), "--mode", "SAME_STEP")
    with served_process(what, *options) as server, contextlib.closing(local):
        assert_vector_sameness(local, server.address, steps_of(what))


VECTOR_ENVS: dict[str, Callable[[], VectorEnv[Any, Any, Any]]] = {
    "cartpole-by-itself": lambda: gymnasium.make_vec(
        "CartPole-v1", SUB_ENVS, vectorization_mode="vector_entry_point"
    ),
    "sub-environments-with-bounds-of-their-own": lambda: gymnasium.vector.SyncVectorEnv(
        [functools.partial(BoundedEnv, width) for width in (1.0, 2.0, 5.0)],
        observation_mode="different",
    ),
    "one-sub-environment": lambda: sample_envs.echo_vector("nested", 1),
}


class BoundedEnv(gymnasium.Env[Any, Any]):
    """Observes within bounds that differ from sub-environment to sub-environment."""

    def __init__(self, width: float) -> None:
        self.observation_space = gymnasium.spaces.Box(-width, width, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), float(action), False, False, {}


@pytest.mark.parametrize("kind", VECTOR_ENVS)
def test_all_steps_of_other_vector_environments_are_the_same(kind: str) -> None:
    local = VECTOR_ENVS[kind]()
    with serving(VECTOR_ENVS[kind]()) as server, contextlib.closing(local):
        # CartPole's own vector environment tells its rewards as float32.
        with contextlib.closing(rlmesh.RemoteVectorEnv(server.address)) as remote:
            assert remote.observation_space == local.observation_space
            local.action_space.seed(SEED)
            assert_same(remote.reset(seed=SEED), local.reset(seed=SEED), "reset")
            for step in range(ECHO_STEPS if kind == "one-sub-environment" else STEPS):
                actions = local.action_space.sample()
                observations, rewards, terminations, truncations, infos = local.step(actions)
                expected = (
                    observations,
                    np.asarray(rewards, np.float64),
                    terminations,
                    truncations,
                    infos,
                )
                assert_same(remote.step(actions), expected, f"step {step}")


def test_all_steps_of_asynchronous_sub_envs_are_the_same() -> None:
    local = sample_envs.make("CartPole-v1", SUB_ENVS)
    with served_process("async:CartPole-v1", "--num-envs", str(SUB_ENVS)) as server:
        assert_vector_sameness(local, server.address)
        server.send(signal.SIGTERM)
        assert server.wait() == 0
