"""`on_loss="replace"`: a lost server ends its own sub-environments' episodes, and no others."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Generator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.errors import (
    ContractMismatchError,
    EndpointUnreachableError,
    InvalidArgumentError,
    RemoteEnvError,
    SessionLostError,
)
from support.sample_envs import ScriptedEnv
from support.serving import served_process, serving

Envs = rlmesh.RemoteVectorEnv[Any, Any]
REPLACED, SEED = "rlmesh.env.replaced", "rlmesh.env.seed"
# What the issue allows for a replacement.
SECONDS = 10.0
MODES = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: str(mode.name))


def cart() -> Any:
    return gym.make("CartPole-v1")


@contextlib.contextmanager
def client(addresses: Any, **settings: Any) -> Generator[Envs]:
    settings = {"on_loss": "replace", **settings}
    with contextlib.closing(rlmesh.RemoteVectorEnv(addresses, **settings)) as envs:
        yield envs


def assert_rows_same(actual: Any, expected: Any, rows: list[int]) -> None:
    """Observations, rewards and flags of some sub-environments are the same, bit for bit."""
    for here, there in zip(actual[:4], expected[:4], strict=True):
        assert here[rows].tobytes() == there[rows].tobytes()


def begun(seed: int) -> Any:
    return cart().reset(seed=seed)[0]


def test_a_killed_server_ends_only_its_own_episode_and_is_replaced_in_time() -> None:
    twin, fresh = SyncVectorEnv([cart] * 3), cart()
    first_observation = np.zeros(0)
    actions = np.random.default_rng(5).integers(0, 2, (40, 3))
    with (
        served_process("CartPole-v1") as doomed,
        serving(cart()) as first,
        serving(cart()) as last,
        serving(cart()) as spare,
        client([first.address, doomed.address, last.address, spare.address], num_envs=3) as envs,
    ):
        assert envs.num_envs == 3
        assert envs.reset(seed=7)[0].tobytes() == twin.reset(seed=7)[0].tobytes()
        for step, action in enumerate(actions):
            if step == 5:
                doomed.send(signal.SIGKILL)
                doomed.wait()
            began = time.monotonic()
            made, wanted = envs.step(action), twin.step(action)
            assert time.monotonic() - began < SECONDS
            assert_rows_same(made, wanted, [0, 2] if step >= 5 else [0, 1, 2])
            observations, rewards, terminations, truncations, infos = made
            if step == 5:
                assert (rewards[1], terminations[1], truncations[1]) == (0, False, True)
                assert infos[f"_{REPLACED}"].tolist() == [False, True, False]
                assert infos[f"_{SEED}"].tolist() == [False, True, False]
                assert "server" in infos[REPLACED][1]
                first_observation = fresh.reset(seed=int(infos[SEED][1]))[0]
                assert observations[1].tobytes() == first_observation.tobytes()
                assert envs.np_random_seed == (7, int(infos[SEED][1]), 9)
            elif step > 5:
                assert REPLACED not in infos
            if step == 6:
                # The step after an end ignores its action.
                assert observations[1].tobytes() == first_observation.tobytes()
                assert (rewards[1], truncations[1]) == (0, False)
            if step == 7:
                assert observations[1].tobytes() == fresh.step(action[1])[0].tobytes()


@MODES
def test_a_replaced_sub_env_is_reset_as_each_autoreset_mode_has_it(mode: AutoresetMode) -> None:
    with serving(cart()) as stays, serving(cart()) as goes, serving(cart()) as spare:
        addresses = [stays.address, goes.address, spare.address]
        with client(addresses, num_envs=2, autoreset=mode) as envs:
            envs.reset(seed=[1, 2])
            envs.step([0, 0])
            goes.shutdown()
            observations, rewards, _, truncations, infos = envs.step([0, 0])
            assert truncations.tolist() == [False, True]
            assert rewards.tolist() == [1, 0]
            seed = int(infos[SEED][1])
            assert observations[1].tobytes() == begun(seed).tobytes()
            assert ("final_obs" in infos) is (mode is AutoresetMode.SAME_STEP)
            if mode is AutoresetMode.SAME_STEP:
                assert infos["_final_obs"].tolist() == [False, True]
                assert infos["final_obs"][1].tobytes() == observations[1].tobytes()
            if mode is AutoresetMode.DISABLED:
                envs.reset(options={"reset_mask": truncations})
            after = envs.step([1, 1])
            assert after[1].tolist() == [1, 0 if mode is AutoresetMode.NEXT_STEP else 1]
            assert not after[3].any()
            assert REPLACED not in after[4]


def test_the_same_address_is_used_again_when_a_server_is_back_there() -> None:
    with served_process("CartPole-v1") as doomed, serving(cart()) as stays:
        with client([stays.address, doomed.address]) as envs:
            envs.reset(seed=1)
            doomed.send(signal.SIGKILL)
            doomed.wait()
            envs.step_async(np.zeros(2, np.int64))
            with serving(cart(), doomed.address):
                *_, truncations, infos = envs.step_wait()
                assert truncations.tolist() == [False, True]
                assert infos[f"_{REPLACED}"].tolist() == [False, True]
                assert not envs.step([0, 0])[3].any()


def test_a_lost_server_is_replaced_while_the_others_are_received() -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(cart())) for _ in range(4)]
        addresses = [server.address for server in servers]
        envs = stack.enter_context(client(addresses, num_envs=3, batch_size=1))
        envs.reset(seed=3)
        servers[1].shutdown()
        envs.send(np.zeros(3, np.int64))
        seen: dict[int, bool] = {}
        for _ in range(3):
            observations, _, _, truncations, infos = envs.recv(timeout=SECONDS)
            (env_id,) = infos["env_id"].tolist()
            seen[env_id] = bool(truncations[0])
            if env_id == 1:
                assert infos[REPLACED][0]
                assert observations[0].tobytes() == begun(int(infos[SEED][0])).tobytes()
        assert seen == {0: False, 1: True, 2: False}
        envs.send(np.zeros(1, np.int64), [1])
        assert REPLACED not in envs.recv(timeout=SECONDS)[4]


def test_several_losses_take_as_long_as_one_and_seeds_follow_from_the_last_ones() -> None:
    seeds: list[list[int]] = []
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(serving(cart(), sessions=None)) for _ in range(8)]
            addresses = [server.address for server in servers]
            envs = stack.enter_context(client(addresses, num_envs=4))
            envs.reset(seed=11)
            for server in servers[1:4]:
                server.shutdown()
            *_, truncations, infos = envs.step(np.zeros(4, np.int64))
            assert truncations.tolist() == [False, True, True, True]
            seeds.append(infos[SEED].tolist())
    assert seeds[0] == seeds[1]
    assert len({*seeds[0]}) == 4


def test_a_vector_endpoint_is_replaced_whole_and_a_masked_reset_forgets_no_loss() -> None:
    def pair() -> Any:
        return SyncVectorEnv([cart, cart], autoreset_mode=AutoresetMode.DISABLED)

    with serving(pair()) as goes, serving(pair()) as stays, serving(pair()) as spare:
        addresses = [goes.address, stays.address, spare.address]
        with client(addresses, num_envs=4) as envs:
            envs.reset(seed=1)
            goes.shutdown()
            # The reset of sub-environment 0 meets the loss, which took the episode of 1 as well.
            envs.reset(options={"reset_mask": np.array([True, False, False, False])})
            *_, truncations, infos = envs.step(np.zeros(4, np.int64))
            assert truncations.tolist() == [False, True, False, False]
            assert infos[f"_{REPLACED}"].tolist() == [False, True, False, False]
            assert not envs.step(np.zeros(4, np.int64))[3].any()


def test_a_reset_replaces_what_was_lost_and_takes_the_seed_that_was_given() -> None:
    with serving(cart()) as stays, serving(cart()) as goes, serving(cart()) as spare:
        with client([stays.address, goes.address, spare.address], num_envs=2) as envs:
            envs.reset(seed=1)
            goes.shutdown()
            observations, infos = envs.reset(seed=[4, 5])
            assert observations[1].tobytes() == begun(5).tobytes()
            assert REPLACED not in infos
            assert not envs.step([0, 0])[3].any()
            assert envs.np_random_seed == (4, 5)


def test_an_error_of_an_environment_is_no_loss() -> None:
    env = ScriptedEnv()
    with serving(env) as server, client([server.address]) as envs:
        envs.reset(seed=0)

        def fail() -> Any:
            raise ValueError("it is ill")

        env.script["step"] = fail
        with pytest.raises(RemoteEnvError, match="it is ill"):
            envs.step(envs.action_space.sample())


def test_nothing_to_replace_with_is_an_error_that_names_what_was_tried() -> None:
    with serving(cart()) as stays, serving(cart()) as goes:
        with client([stays.address, goes.address], connect_timeout_seconds=1.0) as envs:
            envs.reset(seed=0)
            goes.shutdown()
            with pytest.raises(EndpointUnreachableError) as caught:
                envs.step([0, 0])
            assert f"{goes.address}: nothing listens there" in str(caught.value)
            assert f"{goes.address} is lost" in str(caught.value)
            with serving(cart(), goes.address):
                envs.reset(seed=0)
                assert not envs.step([0, 0])[3].any()


def test_a_server_of_another_contract_is_no_replacement() -> None:
    with serving(cart()) as goes, serving(gym.make("Acrobot-v1")) as other:
        addresses = [goes.address, other.address]
        with client(addresses, num_envs=1, connect_timeout_seconds=1.0) as envs:
            envs.reset(seed=0)
            goes.shutdown()
            with pytest.raises(EndpointUnreachableError, match=r"Acrobot-v1 at .* is not what"):
                envs.step([0])
            # Where a server of another contract is back, there is nothing to wait for.
            with serving(gym.make("Acrobot-v1"), goes.address):
                with pytest.raises(ContractMismatchError):
                    envs.reset()


def test_without_replacing_a_loss_is_raised_as_before() -> None:
    with serving(cart()) as stays, served_process("CartPole-v1") as goes:
        with client([stays.address, goes.address], on_loss="raise") as envs:
            envs.reset(seed=0)
            goes.send(signal.SIGKILL)
            goes.wait()
            with pytest.raises(SessionLostError):
                envs.step([0, 0])


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'raise' or 'replace', got 'ignore'"):
        rlmesh.RemoteVectorEnv(["tcp://127.0.0.1:1"], on_loss="ignore")  # type: ignore[arg-type]
