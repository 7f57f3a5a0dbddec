"""Steps that are begun and awaited apart, behind one address and behind several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

import rlmesh
from rlmesh.client.env_client import EnvClient
from rlmesh.errors import InvalidActionError, InvalidArgumentError
from support.comparing import assert_same
from support.frail_env import FrailEnv, way
from support.gates import GatedEnv, Gates
from support.vector_envs import SubEnv, sync_sub_envs


@contextlib.contextmanager
def behind_one_address(
    factories: list[Callable[[], Any]], **options: Any
) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    with (
        rlmesh.EnvServer(factories, workers=len(factories)) as server,
        rlmesh.RemoteVectorEnv(server.address, **options) as envs,
    ):
        yield envs


@contextlib.contextmanager
def behind_several_addresses(
    factories: list[Callable[[], Any]], **options: Any
) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(rlmesh.EnvServer(factory())) for factory in factories]
        addresses = [server.address for server in servers]
        yield stack.enter_context(rlmesh.RemoteVectorEnv(addresses, **options))


each_way = pytest.mark.parametrize("behind", [behind_one_address, behind_several_addresses])


@each_way
@pytest.mark.usefixtures("each_transport")
def test_step_wait_gives_what_step_gives(behind: Any) -> None:
    local = sync_sub_envs("dict", 3)
    local.action_space.seed(1)
    with behind([partial(SubEnv, "dict")] * 3) as envs:
        assert_same(envs.reset(seed=1), local.reset(seed=1))
        for _ in range(6):
            actions = local.action_space.sample()
            envs.step_async(actions)
            assert_same(envs.step_wait(timeout=60), local.step(actions))
            assert_same(envs.step(actions), local.step(actions))
    local.close()


@each_way
def test_calls_in_the_wrong_order_raise_gymnasiums_errors(behind: Any) -> None:
    with behind([partial(SubEnv, "box")] * 2) as envs:
        envs.reset(seed=0)
        with pytest.raises(NoAsyncCallError, match="step_async"):
            envs.step_wait()
        with pytest.raises(NoAsyncCallError, match="send"):
            envs.recv()
        actions = envs.action_space.sample()
        envs.step_async(actions)
        for call in (envs.step, envs.step_async, envs.send):
            with pytest.raises(AlreadyPendingCallError, match="step_wait"):
                call(actions)
        envs.step_wait()
        envs.send(actions)
        with pytest.raises(AlreadyPendingCallError, match="recv"):
            envs.send(actions[:1], [1])
        with pytest.raises(AlreadyPendingCallError, match="recv"):
            envs.step_async(actions)
        envs.recv()
        envs.step(actions)


@each_way
def test_a_reset_discards_steps_that_were_not_taken(behind: Any) -> None:
    with behind([partial(SubEnv, "box")] * 2, batch_size=1) as envs:
        expected = envs.reset(seed=4)
        envs.step_async(envs.action_space.sample())
        assert_same(envs.reset(seed=4), expected)
        envs.send(envs.action_space.sample())
        assert_same(envs.reset(seed=4), expected)
        envs.step(envs.action_space.sample())


@each_way
def test_recv_gives_the_first_that_are_done_and_their_numbers(behind: Any) -> None:
    with (
        Gates(4) as gates,
        behind([partial(GatedEnv, gates.path, index) for index in range(4)], batch_size=2) as envs,
    ):
        envs.reset()
        envs.send(np.array([10, 11, 12, 13]))
        gates.open(1)
        gates.open(3)
        observations, rewards, terminations, truncations, infos = envs.recv(timeout=60)
        assert infos["env_id"].tolist() == [1, 3]
        assert observations.tolist() == [11, 13]
        assert infos["index"].tolist() == [1, 3]
        assert rewards.shape == terminations.shape == truncations.shape == (2,)
        envs.send(np.array([21, 23]), infos["env_id"])
        gates.open(3)
        gates.open(0)
        assert sorted(envs.recv(timeout=60)[-1]["env_id"].tolist()) == [0, 3]
        gates.open(1)
        gates.open(2)
        assert envs.recv(timeout=60)[0].tolist() == [21, 12]


@each_way
def test_an_action_that_is_refused_begins_no_step(behind: Any) -> None:
    with behind([FrailEnv] * 2, batch_size=1) as envs:
        envs.reset()
        with pytest.raises(InvalidActionError):
            envs.send(np.array([0.5]), [1])
        envs.send(np.array([way("count")]), [1])
        assert envs.recv(timeout=60)[0].tolist() == [1]


def test_a_failing_sub_environment_is_named_to_the_one_who_receives() -> None:
    with behind_one_address([FrailEnv] * 2, batch_size=1) as envs:
        envs.reset()
        envs.send(np.array([way("raise")]), [1])
        with pytest.raises(ValueError, match="sub-environment 1"):
            envs.recv(timeout=60)
        envs.reset()
        envs.send(np.array([way("count")]), [1])
        assert envs.recv(timeout=60)[0].tolist() == [1]


def test_late_endpoints_are_named() -> None:
    with (
        Gates(2) as gates,
        behind_several_addresses(
            [partial(GatedEnv, gates.path, index) for index in range(2)]
        ) as envs,
    ):
        envs.reset()
        envs.send(np.array([1, 2]))
        gates.open(0)
        with pytest.raises(TimeoutError, match=r"1 of 2 .*sub-environments from 1 on, at tcp:"):
            envs.recv(timeout=2)
        gates.open(1)
        assert envs.recv(timeout=60)[0].tolist() == [1, 2]


def test_an_environment_that_steps_all_together_says_so() -> None:
    with (
        rlmesh.EnvServer(gymnasium.make_vec("CartPole-v1", 2)) as server,
        rlmesh.RemoteVectorEnv(server.address, batch_size=1) as envs,
    ):
        envs.reset()
        envs.send(np.array([0, 1]))
        with pytest.raises(InvalidArgumentError, match="num_envs=, workers="):
            envs.recv()


def test_a_batch_that_endpoints_cannot_give_is_refused() -> None:
    with (
        rlmesh.EnvServer(gymnasium.make_vec("CartPole-v1", 2)) as one,
        rlmesh.EnvServer(gymnasium.make_vec("CartPole-v1", 2)) as other,
    ):
        addresses = [one.address, other.address]
        with pytest.raises(InvalidArgumentError, match="more than there are"):
            rlmesh.RemoteVectorEnv(addresses, batch_size=5)
        with rlmesh.RemoteVectorEnv(addresses, batch_size=3) as envs:
            envs.reset()
            with pytest.raises(InvalidArgumentError, match="stepped together"):
                envs.send(np.zeros(4, np.int64))
        with rlmesh.RemoteVectorEnv(addresses, batch_size=2) as envs:
            envs.reset()
            with pytest.raises(InvalidArgumentError, match="name all of them"):
                envs.send(np.zeros(1, np.int64), [3])
            envs.send(np.zeros(4, np.int64))
            assert envs.recv(timeout=60)[-1]["env_id"].tolist() in ([0, 1], [2, 3])


def test_any_error_of_an_endpoints_answer_is_raised_by_recv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that awaits the answer does not end unheard, which would leave recv waiting."""

    def end_step(self: Any, timeout: float | None) -> Any:
        raise MemoryError("no room for the answer")

    with behind_several_addresses([partial(SubEnv, "box")] * 2, batch_size=1) as envs:
        envs.reset(seed=0)
        monkeypatch.setattr(EnvClient, "end_step", end_step)
        envs.send(envs.action_space.sample())
        with pytest.raises(MemoryError, match="no room"):
            envs.recv(timeout=20)
