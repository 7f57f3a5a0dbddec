"""A server that nobody asks for anything ends by itself, if it is told to."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import rlmesh
from rlmesh.client.probing import fetch_contract, fetch_status, wait_until_serving
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving

pytestmark = pytest.mark.usefixtures("each_transport")

SOON = 20.0
LIMIT = 0.5


def idle_after(seconds: float) -> rlmesh.ServeOptions:
    return rlmesh.ServeOptions(idle_timeout_seconds=seconds)


@pytest.mark.parametrize("seconds", [0, LIMIT])
def test_a_server_that_nobody_asks_ends_by_itself(seconds: float) -> None:
    env = ScriptedEnv()
    with serving(env, options=idle_after(seconds)) as server:
        assert server.wait(SOON) is True
    assert env.names() == ["close"]


def test_serve_returns_when_the_server_has_been_idle() -> None:
    env = ScriptedEnv()
    rlmesh.EnvServer(env, options=idle_after(0.1)).serve()
    assert env.names() == ["close"]
    assert env.threads() == {threading.get_ident()}


def test_a_client_that_is_connected_and_asks_for_nothing_does_not_keep_a_server() -> None:
    with serving(ScriptedEnv(), options=idle_after(LIMIT)) as server:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
            client.reset()
            assert server.wait(SOON) is True
            with pytest.raises(rlmesh.errors.EndpointDrainingError):
                client.reset()


def test_requests_keep_a_server() -> None:
    env = ScriptedEnv()
    with serving(env, options=idle_after(LIMIT)) as server:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
            client.reset()
            for _ in range(8):
                # Twice the limit and more, in all.
                assert server.wait(LIMIT / 3) is False
                client.step(client.action_space.sample())
        assert server.wait(SOON) is True
    assert env.names().count("step") == 8


def test_opening_and_closing_a_session_are_requests() -> None:
    with serving(ScriptedEnv(), options=idle_after(LIMIT)) as server:
        for _ in range(6):
            assert server.wait(LIMIT / 3) is False
            rlmesh.RemoteEnv(server.address).close()


def test_questions_of_a_supervisor_do_not_keep_a_server() -> None:
    with serving(ScriptedEnv(), options=idle_after(LIMIT)) as server:
        with contextlib.suppress(rlmesh.errors.EndpointError):
            while not server.wait(0.02):
                fetch_status(server.address, 5)
                fetch_contract(server.address, 5)
                wait_until_serving(server.address, 5)
        assert server.wait(SOON) is True


def test_a_call_that_takes_longer_than_the_limit_is_no_idleness() -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env, options=idle_after(0.1)) as server:
        env.script["reset"] = gate.wait
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
            resetting = threading.Thread(target=client.reset)
            resetting.start()
            assert gate.reached.wait(SOON)
            assert server.wait(0.5) is False
            gate.open()
            resetting.join(SOON)
            assert server.wait(SOON) is True
    assert env.names() == ["reset", "close"]


def test_the_time_before_the_start_is_no_idleness() -> None:
    server = rlmesh.EnvServer(ScriptedEnv(), options=idle_after(LIMIT))
    threading.Event().wait(LIMIT * 1.5)
    with server:
        rlmesh.RemoteEnv(server.address).close()
