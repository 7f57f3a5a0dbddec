"""Health at an address of its own: the same answers, and the same life as the server."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import gymnasium as gym
import pytest

import rlmesh
from rlmesh.errors import AddressInUseError, InvalidAddressError
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import NOT_SERVING, SERVING, check_health, watching_health

LOOPBACK = "tcp://127.0.0.1:0"


def health_of(server: rlmesh.EnvServer | rlmesh.ModelWorker) -> str:
    assert server.health_address is not None
    return server.health_address


def test_health_is_the_same_at_both_addresses_until_the_end() -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env, health=LOOPBACK) as server:
        health = health_of(server)
        client: Any = rlmesh.RemoteEnv(server.address)
        client.reset()
        env.script["step"] = gate.wait
        stepping = threading.Thread(target=lambda: client.step(client.action_space.sample()))
        stepping.start()
        ending = threading.Thread(target=server.shutdown)
        try:
            assert gate.reached.wait(60)
            # A step that lasts fails no probe.
            assert check_health(health, "rlmesh_api.v1.EnvService") == SERVING
            with watching_health(health) as statuses:
                assert next(statuses) == SERVING
                ending.start()
                assert next(statuses) == NOT_SERVING
                gate.open()
                assert not list(statuses)
        finally:
            gate.open()
            stepping.join(60)
            ending.join(60)
        client.close()


def test_a_model_that_warms_up_is_alive_and_not_ready() -> None:
    began, go = threading.Event(), threading.Event()

    class Slow:
        observation_space = gym.spaces.Box(-1, 1, (2,))
        action_space = gym.spaces.Discrete(2)

        def predict(self, observation: Any) -> int:
            return 0

        def warmup(self) -> None:
            began.set()
            assert go.wait(60)

    worker = rlmesh.ModelWorker(Slow(), health=LOOPBACK)
    starting = threading.Thread(target=worker.start)
    starting.start()
    try:
        assert began.wait(60)
        health = health_of(worker)
        assert check_health(health) == NOT_SERVING
        with watching_health(health) as statuses:
            assert next(statuses) == NOT_SERVING
            go.set()
            assert next(statuses) == SERVING
        # A model whose process is replaced: the liveness probe asks for a name that stays.
        worker._rpc_server.pause(list(worker.model_contracts))
        assert check_health(health) == NOT_SERVING
        assert check_health(health, "grpc.health.v1.Health") == SERVING
    finally:
        go.set()
        starting.join(60)
        worker.shutdown()


def test_without_it_there_is_no_second_address() -> None:
    with serving(gym.make("CartPole-v1")) as server:
        assert server.health_address is None


def test_an_address_that_cannot_be_bound_leaves_nothing_bound() -> None:
    env = gym.make("CartPole-v1")
    with pytest.raises(InvalidAddressError, match="health must be a TCP address"):
        rlmesh.EnvServer(env, health="unix:///tmp/health.sock")
    with serving(gym.make("CartPole-v1"), health=LOOPBACK) as other:
        with pytest.raises(AddressInUseError):
            rlmesh.EnvServer(gym.make("CartPole-v1"), health=health_of(other))
    # Where the server's own address is taken, the one for probes is given back.
    with serving(gym.make("CartPole-v1"), health=LOOPBACK) as first:
        taken, health = first.address, health_of(first)
    with serving(gym.make("CartPole-v1"), address=taken):
        with pytest.raises(AddressInUseError):
            rlmesh.EnvServer(gym.make("CartPole-v1"), taken, health=health)
        with serving(gym.make("CartPole-v1"), health=health) as second:
            assert health_of(second) == health


def test_other_methods_are_unknown_there() -> None:
    with serving(gym.make("CartPole-v1"), health=LOOPBACK) as server:
        target = health_of(server).removeprefix("tcp://")
        with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
            env_service_pb2_grpc.EnvServiceStub(channel).GetContract(
                env_service_pb2.GetContractRequest(), timeout=60
            )
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
