"""PettingZoo's environments behind an address, and what others make of the client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pettingzoo  # pyright: ignore[reportMissingTypeStubs] # it has none
import pytest
import supersuit

import rlmesh
from support.serving import serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

# Agents that end their episodes one by one, images, vectors, rewards of each agent, and one whose
# agents act in turns.
ENVS: dict[str, dict[str, Any]] = {
    "butterfly/pistonball_v6": {"n_pistons": 5},
    "butterfly/cooperative_pong_v6": {},
    "butterfly/knights_archers_zombies_v11": {},
    "classic/rps_v2": {},
    "sisl/pursuit_v5": {"n_pursuers": 4},
}
STEPS = 500


def made(name: str) -> Any:
    return pettingzoo.make("parallel", name, **ENVS[name])


def numbers(value: Any) -> Any:
    """A value as arrays, with whatever class of number or of dict it came."""
    if isinstance(value, dict):
        return {key: numbers(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [numbers(part) for part in value]
    return np.asarray(value)


@pytest.mark.parametrize("name", ENVS)
def test_seeded_steps_are_those_of_the_local_environment(name: str) -> None:
    local = made(name)
    with serving(made(name)) as server:
        remote: Any = rlmesh.RemoteParallelEnv(server.address)
        for agent in local.possible_agents:
            local.action_space(agent).seed(1)
        for seed in range(STEPS):
            if not getattr(local, "agents", None):
                returned, same = (env.reset(seed=seed) for env in (local, remote))
            else:
                actions = {agent: local.action_space(agent).sample() for agent in local.agents}
                returned, same = local.step(actions), remote.step(actions)
            np.testing.assert_equal(numbers(same), numbers(returned))
            assert remote.agents == local.agents
        remote.close()
    local.close()


@pytest.mark.parametrize("name", ENVS)
def test_pettingzoos_own_tests_pass_on_the_client_of_its_environment(name: str) -> None:
    # Its import warns, which is an error outside a test.
    from pettingzoo.test import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        parallel_api_test,
        parallel_seed_test,
    )

    clients: list[Any] = []

    def client() -> Any:
        clients.append(rlmesh.RemoteParallelEnv(server.address))
        return clients[-1]

    with rlmesh.EnvServer(lambda: made(name), sessions=3) as server:
        parallel_api_test(client(), num_cycles=10)
        parallel_seed_test(client, num_cycles=5)
        for each in clients:
            each.close()


def test_supersuit_makes_a_vector_environment_of_the_client() -> None:
    def vectorized(env: Any) -> Any:
        return supersuit.pettingzoo_env_to_vec_env_v1(supersuit.black_death_v3(env))

    name = "butterfly/knights_archers_zombies_v11"
    with serving(made(name)) as server:
        local, remote = vectorized(made(name)), vectorized(rlmesh.RemoteParallelEnv(server.address))
        assert remote.num_envs == local.num_envs
        assert remote.action_space == local.action_space
        results = [env.reset(seed=3)[0] for env in (local, remote)]
        np.testing.assert_array_equal(*results)
        local.action_space.seed(2)
        for _ in range(50):
            actions = [local.action_space.sample() for _ in range(local.num_envs)]
            for one, other in zip(local.step(actions)[:4], remote.step(actions)[:4], strict=True):
                np.testing.assert_array_equal(one, other)
        remote.close()
        local.close()
