"""A client ends the server, if the server allows it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import rlmesh
from rlmesh.client.probing import request_shutdown
from rlmesh.errors import AccessDeniedError, EndpointUnreachableError
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import wait_until_draining

SOON = 20.0
ALLOWED = rlmesh.ServeOptions(allow_remote_shutdown=True)


def test_a_server_that_allows_it_is_ended_by_a_client() -> None:
    env = ScriptedEnv()
    with serving(env, options=ALLOWED) as server:
        request_shutdown(server.address, SOON)
        assert server.wait(SOON) is True
    assert env.names() == ["close"]


def test_a_server_that_does_not_allow_it_says_how_it_would() -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(AccessDeniedError, match=r"allow_remote_shutdown=True") as caught:
            request_shutdown(server.address, SOON)
        assert isinstance(caught.value, PermissionError)
        assert server.address in str(caught.value)
        rlmesh.RemoteEnv(server.address).close()


def test_it_works_while_another_client_holds_the_environment_and_is_in_a_call() -> None:
    env, gate = ScriptedEnv(), Gate()
    answers: list[Any] = []
    with (
        serving(env, options=ALLOWED) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        env.script["reset"] = gate.wait
        resetting = threading.Thread(target=lambda: answers.append(client.reset()))
        resetting.start()
        assert gate.reached.wait(SOON)
        request_shutdown(server.address, SOON)
        wait_until_draining(server.address)
        request_shutdown(server.address, SOON)
        gate.open()
        resetting.join(SOON)
        assert server.wait(SOON) is True
    assert len(answers) == 1


def test_where_nobody_serves_nobody_is_ended() -> None:
    with serving(ScriptedEnv(), options=ALLOWED) as server:
        pass
    with pytest.raises(EndpointUnreachableError):
        request_shutdown(server.address, 5)
