"""What a server tells of its sessions and of the calls that their environments are in."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh_api.v1 import env_service_pb2, session_pb2
from support.raw_sessions import RawSession, raw_session
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import status_of, status_when

RESET = session_pb2.ResetCall()


def step(action: float = 0.5) -> session_pb2.StepCall:
    return session_pb2.StepCall(action=np.full(2, action, np.float32).tobytes())


@contextlib.contextmanager
def stuck(session: RawSession, env: ScriptedEnv) -> Generator[Gate]:
    """The session's environment in a step, which lasts as long as the block at most."""
    gate = Gate()
    env.script["step"] = gate.wait
    session.send(3, step=step())
    assert gate.reached.wait(20)
    try:
        yield gate
    finally:
        gate.open()


def test_the_status_tells_every_session_and_what_it_does() -> None:
    made: list[ScriptedEnv] = []

    def make() -> ScriptedEnv:
        made.append(ScriptedEnv())
        return made[-1]

    peer = session_pb2.Peer(name="one.py", pid=11, host="here")
    with serving(make, sessions=3) as server, contextlib.ExitStack() as stack:
        empty = status_of(server.address)
        first = stack.enter_context(raw_session(server.address, peer=peer))
        second = stack.enter_context(raw_session(server.address, resumes=True))
        first.call(2, reset=RESET)
        second.call(2, reset=RESET)
        second.call(3, step=step(7))
        second.call(4, render=session_pb2.RenderCall())
        second.close()
        with stuck(first, made[0]):
            told = status_when(
                server.address,
                lambda told: (
                    told.sessions[1].holder.HasField("lost_seconds") and told.sessions[1].calls == 3
                ),
            )
    assert (empty.state, empty.capacity) == (env_service_pb2.SERVER_STATE_READY, 3)
    assert not empty.sessions
    assert empty.server.version == rlmesh.__version__
    assert empty.protocol_generation == 1
    assert 0 < empty.serving_seconds < told.serving_seconds
    one, two = told.sessions
    assert (one.session_id, two.session_id) == (first.opened.session_id, second.opened.session_id)
    assert one.holder.peer == peer
    assert (one.transport, one.call, one.sequence, one.calls) == ("grpc", "step", 3, 1)
    assert one.busy_seconds > 0
    assert "gate.wait" in one.stack or "_opened.wait" in one.stack
    assert one.idle_seconds == 0
    assert (two.call, two.stack, two.busy_seconds) == ("", "", 0)
    assert two.idle_seconds > 0
    # An action out of its bounds was delivered, and rendering is a call too.
    assert (two.calls, two.failures) == (3, 0)
    assert [(each.kind, each.count) for each in two.deviations] == [("bounds", 1)]
    assert (told.state, told.call) == (env_service_pb2.SERVER_STATE_BUSY, "step")
    assert (told.holder.peer, told.stack) == (peer, one.stack)


def test_the_status_counts_the_calls_that_failed() -> None:
    env = ScriptedEnv()

    def fail() -> None:
        raise LookupError("no")

    with serving(env) as server, raw_session(server.address) as session:
        session.call(2, reset=RESET)
        env.script["step"] = fail
        for sequence in (3, 4):
            session.call(sequence, step=step())
        told = status_when(server.address, lambda told: told.sessions[0].calls == 3)
    assert told.sessions[0].failures == 2


@pytest.mark.parametrize("transport", ["grpc", "shm", "direct"])
def test_a_call_that_takes_too_long_is_answered_and_the_next_reset_waits(transport: Any) -> None:
    env, gate = ScriptedEnv(), Gate()
    options = rlmesh.ServeOptions(call_timeout_seconds=0.2)
    with (
        serving(env, direct="tcp://127.0.0.1:0", options=options) as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport=transport)
        ) as client,
    ):
        client.reset()
        env.script["step"] = gate.wait
        with pytest.raises(rlmesh.errors.RlmeshError, match=r"step\(\) did not return within the"):
            client.step(np.zeros(2, np.float32))
        # It is still in there, and the server says so.
        assert status_of(server.address).call == "step"
        opening = threading.Timer(0.05, gate.open)
        opening.start()
        assert client.reset()[0].tolist() == [0, 0]
        opening.join()
        env.script.clear()
        client.step(np.zeros(2, np.float32))
    assert env.names() == ["reset", "step", "reset", "step", "close"]


def test_a_client_that_leaves_in_the_middle_of_a_call_frees_its_place_after_it() -> None:
    env = ScriptedEnv()
    options = rlmesh.ServeOptions(resume_timeout_seconds=3600)
    with serving(env, options=options) as server, raw_session(server.address, resumes=True) as one:
        one.call(2, reset=RESET)
        with stuck(one, env) as gate:
            with raw_session(server.address, one.secret, leaves=True) as leaving:
                assert leaving.answer.WhichOneof("answer") == "resume"
            gate.open()
            with raw_session(server.address, wait_seconds=20) as two:
                assert two.answer.WhichOneof("answer") == "open"


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("resume_timeout_seconds", None, rlmesh.errors.ArgumentTypeError),
        ("resume_timeout_seconds", -1, rlmesh.errors.InvalidArgumentError),
        ("call_timeout_seconds", 0, rlmesh.errors.InvalidArgumentError),
        ("session_idle_timeout_seconds", "1", rlmesh.errors.ArgumentTypeError),
    ],
)
def test_a_limit_that_cannot_be_one_is_refused(
    option: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=option):
        rlmesh.ServeOptions(**{option: value})
