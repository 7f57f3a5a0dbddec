"""What a server does not take more of."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import ProtocolError
from rlmesh.server.rpc import server as front
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv
from support.serving import serving


def test_more_calls_at_once_than_a_server_answers_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_MAX_CALLS", 0)
    with serving(ScriptedEnv()) as server:
        # The one call beside which there is none: a session.
        with raw_session(server.address):
            with pytest.raises(ProtocolError, match=r"a limit of .* is reached"):
                rlmesh.RemoteEnv[Any, Any](server.address)


def test_a_message_that_is_too_long_is_refused_and_the_server_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "server_options", lambda: [("grpc.max_receive_message_length", 99)])
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport="grpc")
        ) as client:
            with pytest.raises(rlmesh.errors.RlmeshError, match=r"a limit of .* is reached"):
                client.reset(options={"long": "x" * 999})
        assert server.wait(0) is False
