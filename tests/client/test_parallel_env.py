"""Environments of many agents: served, driven, and refused where they cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete, Graph

import rlmesh
from rlmesh import errors
from support.agents import NAMES, Herd
from support.serving import serving

pytest.importorskip("pettingzoo")


@pytest.fixture
def env() -> Generator[tuple[Herd, rlmesh.RemoteParallelEnv]]:
    herd = Herd()
    with serving(herd, expose=("state",)) as server:
        remote = rlmesh.RemoteParallelEnv(server.address)
        yield herd, remote
        remote.close()


def rolled_out(env: Any, steps: int) -> list[Any]:
    """All that an environment returns for its first steps, and its agents after each."""
    for name in NAMES:
        env.action_space(name).seed(7)
    seen: list[Any] = [env.reset(seed=5, options={"level": 2}), list(env.agents)]
    for _ in range(steps):
        if not env.agents:
            seen += [env.reset(), list(env.agents)]
        actions = {name: env.action_space(name).sample() for name in env.agents}
        seen += [env.step(actions), list(env.agents)]
    return seen


def assert_same(one: Any, other: Any) -> None:
    """Whether values, dtypes, keys and orders are the same."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for each, its in zip(one, other, strict=True):
            assert_same(each, its)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert type(one) is type(other)
        assert one == other


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_a_remote_environment_of_agents_steps_as_the_local_one(transport: Any) -> None:
    with serving(Herd()) as server:
        remote = rlmesh.RemoteParallelEnv(server.address, transport=transport)
        assert remote.transport == transport
        assert_same(rolled_out(Herd(), 20), rolled_out(remote, 20))
        remote.close()


def test_a_worker_process_serves_agents_too() -> None:
    with serving(Herd, isolation="process") as server:
        remote = rlmesh.RemoteParallelEnv(server.address)
        assert_same(rolled_out(Herd(), 5), rolled_out(remote, 5))
        remote.close()


def test_agents_act_in_the_order_in_which_they_are_given(env: Any) -> None:
    herd, remote = env
    remote.reset(seed=0)
    infos = remote.step({"bob": 3, "zoe": 1})[-1]
    assert infos["amy"] == {"order": ["bob", "zoe"]}
    assert herd.seen == [{"bob": 3, "zoe": 1}]
    assert remote.agents == herd.agents == ["bob", "amy"]
    assert set(remote.step({"bob": 3, "amy": 2})[0]) == {"bob", "amy"}


def test_the_client_has_the_spaces_names_and_frames_of_the_environment(env: Any) -> None:
    herd, remote = env
    assert remote.possible_agents == list(NAMES)
    assert remote.max_num_agents == 3
    for name in NAMES:
        assert remote.observation_space(name) == herd.observation_space(name)
        assert remote.action_space(name) == herd.action_space(name)
        assert remote.action_space(name) is remote.action_space(name)
    assert str(remote) == "herd_v0"
    remote.reset(seed=0)
    assert remote.num_agents == 3
    assert remote.render() == "3 agents"
    np.testing.assert_array_equal(remote.state(), [3, 0])


def test_contract_and_status_name_the_agents(env: Any, capsys: Any) -> None:
    _, remote = env
    contract = remote.env_contract
    assert contract.id == "herd_v0"
    assert contract.agents is not None
    assert contract.agents.names == NAMES
    assert rlmesh.EnvContract.from_json(contract.to_json()) == contract
    from rlmesh._cli.main import main

    for command in (["status"], ["contract"]):
        with pytest.raises(SystemExit):
            main([*command, remote._env_client.address])
        assert "zoe, amy, bob" in capsys.readouterr().out


def test_other_agents_break_a_client_that_expects_these(env: Any) -> None:
    _, remote = env
    with serving(Herd(("zoe", "bob"))) as server:
        with pytest.raises(errors.ContractMismatchError, match=r"\$\.agents"):
            rlmesh.RemoteParallelEnv(server.address, expect=remote.env_contract)


@pytest.mark.parametrize("client", [rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv])
def test_clients_of_other_kinds_are_sent_to_the_right_class(env: Any, client: Any) -> None:
    address = env[1]._env_client.address
    with pytest.raises(errors.WrongEndpointKindError, match=r"many agents.*RemoteParallelEnv"):
        client(address)


def test_a_single_environment_is_none_of_many_agents() -> None:
    with (
        serving(gymnasium.make("CartPole-v1")) as server,
        pytest.raises(errors.WrongEndpointKindError, match=r"single environment.*RemoteEnv"),
    ):
        rlmesh.RemoteParallelEnv(server.address)


def test_bad_actions_are_refused_and_the_session_goes_on(env: Any) -> None:
    herd, remote = env
    remote.reset(seed=0)
    with pytest.raises(errors.InvalidActionError, match=r"no agent 'eve'.*zoe, amy, bob"):
        remote.step({"eve": 1})
    with pytest.raises(errors.InvalidActionError, match=r"actions\.amy"):
        remote.step({"amy": 0})
    with pytest.raises(errors.ArgumentTypeError, match="a dict of the action of each agent"):
        remote.step([1, 2, 3])
    assert herd.seen == []
    remote.step({"zoe": 1})


class Wrong(Herd):
    """Returns something for an agent that does not exist."""

    def step(self, actions: dict[str, Any]) -> Any:
        observations, rewards, *rest = super().step(actions)
        return observations, {**rewards, "eve": 1.0}, *rest


def test_a_result_for_an_unknown_agent_is_an_error_that_names_it() -> None:
    with serving(Wrong()) as server:
        remote = rlmesh.RemoteParallelEnv(server.address)
        remote.reset(seed=0)
        with pytest.raises(errors.InvalidResultError, match=r"rewards.*zoe, amy, bob.*'eve'"):
            remote.step({"zoe": 1})
        remote.close()


class GraphHerd(Herd):
    def observation_space(self, agent: str) -> Any:
        return Graph(Discrete(2), None) if agent == "bob" else super().observation_space(agent)


@pytest.mark.parametrize(
    ("env", "error", "words"),
    [
        (Herd(()), errors.InvalidEnvError, "possible_agents, a list of one or more names"),
        (Herd((1, 2)), errors.InvalidEnvError, r"must be a str, got 1 of type int"),
        (GraphHerd(), errors.UnsupportedSpaceError, r"observation space of 'bob': \$: Graph"),
        ([Herd(), Herd()], errors.InvalidEnvError, "many agents.*by itself"),
    ],
    ids=["no_agents", "names", "space", "list"],
)
def test_what_cannot_be_served_is_refused_at_construction(env: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        rlmesh.EnvServer(env)


def test_without_pettingzoo_or_with_an_old_one_the_name_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['pettingzoo'] = None; import rlmesh\n"
        "try: rlmesh.RemoteParallelEnv\n"
        "except ImportError as error: print(error)\n"
        "del sys.modules['pettingzoo']; import pettingzoo; pettingzoo.__version__ = '1.24.3'\n"
        "try: rlmesh.RemoteParallelEnv\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    missing, old = found.stdout.splitlines()
    assert "pip install 'pettingzoo>=1.25'" in missing
    assert "rlmesh[pettingzoo]" in missing
    assert old == (
        "rlmesh.RemoteParallelEnv needs pettingzoo 1.25 or newer, and 1.24.3 is installed; "
        "pip install 'pettingzoo>=1.25'"
    )


# PettingZoo's own tests import environments by its former names.
@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_pettingzoos_own_tests_pass_on_the_client() -> None:
    from pettingzoo.test import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        parallel_api_test,
        parallel_seed_test,
    )

    with rlmesh.EnvServer(Herd, sessions=3) as server:
        made: list[Any] = []

        def make() -> rlmesh.RemoteParallelEnv:
            env = rlmesh.RemoteParallelEnv(server.address)
            made.append(env)
            return env

        parallel_api_test(make(), num_cycles=20)
        parallel_seed_test(make, num_cycles=10)
        for each in made:
            each.close()


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_agents_that_act_in_turns_are_served_through_pettingzoos_conversion() -> None:
    from pettingzoo.classic import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        rps_v2,
        tictactoe_v3,
    )

    with serving(rps_v2.env(max_cycles=3)) as server:
        remote = rlmesh.RemoteParallelEnv(server.address)
        remote.reset(seed=0)
        rewards = remote.step({"player_0": 0, "player_1": 1})[1]
        assert rewards == {"player_0": -1.0, "player_1": 1.0}
        remote.close()
    with pytest.raises(errors.InvalidEnvError, match=r"act in turns.*is_parallelizable"):
        rlmesh.EnvServer(tictactoe_v3.env())
