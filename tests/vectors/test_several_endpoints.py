"""Several endpoints as one vector environment, equal to Gymnasium's SyncVectorEnv."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.errors import (
    EndpointBusyError,
    EndpointUnreachableError,
    InvalidActionError,
    InvalidArgumentError,
    RemoteEnvError,
)
from support.comparing import assert_same
from support.notes import notes_of
from support.sample_envs import EchoEnv, Gate, ScriptedEnv
from support.serving import served_process, serving
from support.vector_envs import KINDS, SubEnv, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("transports_in_turn")

MODES = pytest.mark.parametrize(
    "mode", list(AutoresetMode), ids=lambda mode: str(mode.name).lower()
)
STEPS = 24
SOON = 20.0


@contextlib.contextmanager
def fleet(
    envs: Sequence[Any], *, server: dict[str, Any] | None = None, **settings: Any
) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    """A client of environments, each of which is served by itself."""
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(serving(env, **(server or {}))).address for env in envs]
        client: rlmesh.RemoteVectorEnv[Any, Any] = rlmesh.RemoteVectorEnv(addresses, **settings)
        stack.callback(client.close)
        yield client


@MODES
def test_single_endpoints_are_sub_envs_in_every_mode(mode: AutoresetMode) -> None:
    expected = record(sync_sub_envs(mode=mode), STEPS)
    with fleet([SubEnv() for _ in range(3)], autoreset=mode) as client:
        assert client.num_envs == 3
        assert client.metadata["autoreset_mode"] is mode
        for (call, actual), (_, wanted) in zip(told(client, STEPS), expected, strict=True):
            assert_same(actual, wanted, call)


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_and_values_are_those_of_a_sync_vector_env(kind: str) -> None:
    local = sync_sub_envs(kind)
    with fleet([SubEnv(kind) for _ in range(3)]) as client:
        for name in ("observation_space", "action_space"):
            assert getattr(client, name) == getattr(local, name)
            assert getattr(client, f"single_{name}") == getattr(local, f"single_{name}")
        for (call, actual), (_, wanted) in zip(
            told(client, STEPS), record(local, STEPS), strict=True
        ):
            assert_same(actual, wanted, call)


@MODES
def test_vector_and_single_endpoints_stand_side_by_side(mode: AutoresetMode) -> None:
    pair = SyncVectorEnv([SubEnv, SubEnv], autoreset_mode=mode)
    expected = record(sync_sub_envs(mode=mode), STEPS)
    with fleet([pair, SubEnv()], autoreset=mode) as client:
        for (call, actual), (_, wanted) in zip(told(client, STEPS), expected, strict=True):
            assert_same(actual, wanted, call)


def test_all_are_asked_before_any_answer_is_awaited() -> None:
    together = threading.Barrier(3)
    envs = [ScriptedEnv() for _ in range(3)]

    def meet() -> None:
        # Nobody gets on before all have begun.
        together.wait(SOON)

    for env in envs:
        env.script["step"] = env.script["reset"] = meet
    with fleet(envs) as client:
        client.reset(seed=0)
        client.step(client.action_space.sample())
    assert not together.broken


def test_the_client_of_one_address_in_a_list_is_a_vector_too() -> None:
    with fleet([EchoEnv("box")]) as client:
        assert client.num_envs == 1
        observation, _ = client.reset(seed=0)
        assert observation.shape[0] == 1


def test_a_failure_of_one_is_told_with_its_place_when_all_have_answered() -> None:
    envs = [ScriptedEnv() for _ in range(3)]

    def fail() -> Any:
        raise ValueError("sub-environment one is ill")

    with fleet(envs) as client:
        client.reset(seed=0)
        envs[1].script["step"] = fail
        with pytest.raises(RemoteEnvError, match="sub-environment one is ill") as caught:
            client.step(client.action_space.sample())
        assert any("sub-environments from 1 on" in note for note in notes_of(caught.value))
        assert [env.names().count("step") for env in envs] == [1, 1, 1]
        envs[1].script.clear()
        client.reset(seed=0)
        client.step(client.action_space.sample())


@pytest.mark.parametrize("count", [2, 4])
def test_actions_for_another_number_of_sub_envs_reach_nobody(count: int) -> None:
    envs = [ScriptedEnv() for _ in range(3)]
    with fleet(envs) as client:
        client.reset(seed=0)
        with pytest.raises(InvalidActionError, match=f"expected 3 sub-environments, got {count}"):
            client.step(np.zeros((count, 2), np.float32))
    assert [env.names().count("step") for env in envs] == [0, 0, 0]


def test_endpoints_with_other_spaces_are_refused_and_let_go() -> None:
    with serving(EchoEnv("box")) as one, serving(EchoEnv("dict")) as other:
        with pytest.raises(InvalidArgumentError, match="have equal spaces"):
            rlmesh.RemoteVectorEnv([one.address, other.address])
        for server in (one, other):
            rlmesh.RemoteEnv[Any, Any](server.address).close()


def test_endpoints_in_other_modes_need_to_be_told_one() -> None:
    same = SyncVectorEnv([SubEnv], autoreset_mode=AutoresetMode.SAME_STEP)
    with serving(same) as one, serving(SubEnv()) as other:
        addresses = [one.address, other.address]
        with pytest.raises(InvalidArgumentError, match="autoreset="):
            rlmesh.RemoteVectorEnv(addresses)
        with contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any](addresses, autoreset="same_step")
        ) as client:
            assert client.num_envs == 2


def test_an_endpoint_that_cannot_be_had_lets_go_of_the_others() -> None:
    with serving(EchoEnv("box")) as one, serving(EchoEnv("box")) as other:
        holder = rlmesh.RemoteEnv[Any, Any](other.address)
        with pytest.raises(EndpointBusyError):
            rlmesh.RemoteVectorEnv([one.address, other.address])
        with pytest.raises(EndpointUnreachableError):
            rlmesh.RemoteVectorEnv([one.address, "tcp://127.0.0.1:1"], connect_timeout_seconds=0.2)
        holder.close()
        rlmesh.RemoteVectorEnv[Any, Any]([one.address, other.address]).close()
        rlmesh.RemoteEnv[Any, Any](one.address).close()


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one address or more"):
        rlmesh.RemoteVectorEnv([])


def test_seeds_and_masks_are_for_all_sub_envs() -> None:
    with fleet([SubEnv() for _ in range(3)], autoreset="disabled") as client:
        with pytest.raises(InvalidArgumentError, match="each of the 3 sub-environments"):
            client.reset(seed=[1, 2])
        client.reset(seed=[1, None, 3])
        with pytest.raises(InvalidArgumentError, match="reset_mask"):
            client.reset(options={"reset_mask": np.ones(2, np.bool_)})
        with pytest.raises(InvalidArgumentError, match="one sub-environment or more"):
            client.reset(options={"reset_mask": np.zeros(3, np.bool_)})


def test_attributes_are_those_of_all_sub_envs() -> None:
    envs = [ScriptedEnv() for _ in range(2)]
    with fleet(envs, server={"expose": ["level", "names"]}) as client:
        client.set_attr("level", [4, 5])
        assert client.get_attr("level") == (4, 5)
        assert [vars(env)["level"] for env in envs] == [4, 5]
        assert client.call("names") == ([], [])
        with pytest.raises(InvalidArgumentError, match="each of the 2 sub-environments"):
            client.set_attr("level", [1, 2, 3])
        client.reset(seed=0)
        assert client.render() == ("a picture", "a picture")


def test_step_many_is_the_loop() -> None:
    def make() -> Sequence[gym.Env[Any, Any]]:
        return [gym.make("CartPole-v1") for _ in range(2)]

    with fleet(make()) as client:
        client.action_space.seed(0)
        actions = [client.action_space.sample() for _ in range(30)]
        client.reset(seed=0)
        steps = [client.step(action) for action in actions]
        client.reset(seed=0)
        made = client.step_many(actions)
        assert_same(made.observations, np.stack([step[0] for step in steps]))
        assert_same(made.rewards, np.stack([step[1] for step in steps]))
        assert_same(made.infos, [step[4] for step in steps])


def test_stats_are_the_sum() -> None:
    with fleet([EchoEnv("box") for _ in range(3)]) as client:
        client.reset(seed=0)
        client.step(client.action_space.sample())
        assert {call: stats.count for call, stats in client.stats().items()} == {
            "reset": 3,
            "step": 3,
        }


def test_a_close_frees_every_endpoint() -> None:
    with serving(EchoEnv("box")) as one, serving(EchoEnv("box")) as other:
        for _ in range(2):
            client = rlmesh.RemoteVectorEnv[Any, Any]([one.address, other.address])
            client.reset(seed=0)
            client.close()


def test_a_single_client_after_a_fleet_gets_the_environment_as_it_is() -> None:
    with serving(EchoEnv("box")) as server:
        rlmesh.RemoteVectorEnv[Any, Any]([server.address]).close()
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
            observation, _ = client.reset(seed=0)
            assert observation.shape == client.observation_space.shape


def test_endpoints_in_other_processes_are_driven_together() -> None:
    with served_process("CartPole-v1") as one, served_process("CartPole-v1") as other:
        local = SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2)
        with contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any]([one.address, other.address])
        ) as client:
            assert_same(client.reset(seed=7), local.reset(seed=7))
            for _ in range(100):
                action = local.action_space.sample()
                assert_same(client.step(action), local.step(action))


def run(act: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    """Runs it on a thread; what it raised."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread, raised


def test_a_close_during_a_step_ends_the_wait() -> None:
    envs, gate = [ScriptedEnv() for _ in range(2)], Gate()
    envs[1].script["step"] = gate.wait
    with fleet(envs) as client:
        client.reset(seed=0)
        action = client.action_space.sample()
        thread, raised = run(lambda: client.step(action))
        try:
            assert gate.reached.wait(SOON)
            client.close()
            thread.join(SOON)
            assert not thread.is_alive()
        finally:
            gate.open()
        assert len(raised) == 1
