"""A session whose connection breaks: it goes on, and each call reaches its environment once."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Generator
from typing import Any

import grpc
import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError
from rlmesh.transports.pipe import Pipe, WakeReason
from rlmesh_api.v1 import session_pb2
from support.pipes import message, soon
from support.raw_sessions import RawSession, raw_session
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving, start_python
from support.watching import status_when

TRANSPORTS = ["grpc", "shm", "direct"]
EVERY_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS)
ACTION = np.array([0.5, -0.25], np.float32).tobytes()
STEP = session_pb2.StepCall(action=ACTION)
RESET = session_pb2.ResetCall()
# Longer than any test: what happens before it does not happen because of it.
LONG = rlmesh.ServeOptions(resume_timeout_seconds=3600)


@contextlib.contextmanager
def served(
    options: rlmesh.ServeOptions = LONG,
) -> Generator[tuple[ScriptedEnv, rlmesh.EnvServer]]:
    env = ScriptedEnv()
    with serving(env, direct="tcp://127.0.0.1:0", options=options) as server:
        yield env, server


class Wire:
    """Calls of a session on one of its transports."""

    def __init__(self, session: RawSession, transport: str) -> None:
        self.session = session
        self.port: Pipe | None = None if transport == "grpc" else session.pipe(transport)

    def send(self, sequence: int, **call: Any) -> None:
        request = session_pb2.SessionRequest(sequence=sequence, **call)
        if self.port is None:
            self.session.send(sequence, **call)
        else:
            self.port.send(request.SerializeToString())

    def receive(self) -> session_pb2.SessionResponse:
        if self.port is None:
            return self.session.receive()
        return session_pb2.SessionResponse.FromString(message(self.port))

    def call(self, sequence: int, **call: Any) -> session_pb2.SessionResponse:
        self.send(sequence, **call)
        return self.receive()

    def cut(self) -> None:
        """Ends the transport and the stream, as a broken connection does."""
        if self.port is not None:
            self.port.release()
        self.session.close()


@contextlib.contextmanager
def wire(address: str, transport: str, resume: bytes | None = None, **call: Any) -> Generator[Wire]:
    call = call if resume is not None else {"resumes": True, **call}
    with raw_session(address, resume, **call) as session:
        made = Wire(session, transport)
        try:
            yield made
        finally:
            made.cut()


def failure_of(address: str, secret: bytes) -> session_pb2.Failure:
    """What a client is told who resumes that session."""
    with raw_session(address, secret) as session:
        return session.answer.failure


def holder_of(address: str) -> session_pb2.Holder:
    """Who has the environment, as another client is told."""
    with raw_session(address) as session:
        (holder,) = session.answer.failure.holders
        return holder


@EVERY_TRANSPORT
@pytest.mark.parametrize("again", TRANSPORTS)
def test_a_call_that_is_repeated_is_answered_as_before_and_not_executed_again(
    transport: str, again: str
) -> None:
    with served() as (env, server):
        with wire(server.address, transport) as first:
            secret = first.session.secret
            first.call(2, reset=RESET)
            answer = first.call(3, step=STEP)
        with wire(server.address, again, secret) as second:
            assert second.session.answer.WhichOneof("answer") == "resume"
            assert second.call(3, step=STEP) == answer
            # On the same connection too.
            assert second.call(3, step=STEP) == answer
            following = second.call(4, step=STEP)
        assert answer.step.observation == ACTION
        assert np.frombuffer(following.step.observation, np.float32).tolist() == [1.0, -0.5]
        assert env.names() == ["reset", "step", "step"]


@EVERY_TRANSPORT
def test_a_call_that_never_arrived_is_executed(transport: str) -> None:
    with served() as (env, server):
        with wire(server.address, transport) as first:
            secret = first.session.secret
            first.call(2, reset=RESET)
        with wire(server.address, transport, secret) as second:
            assert second.call(3, step=STEP).step.observation == ACTION
        assert env.names() == ["reset", "step"]


@EVERY_TRANSPORT
def test_a_call_that_is_under_way_is_awaited_and_answered_on_the_new_connection(
    transport: str,
) -> None:
    gate = Gate()
    with served() as (env, server):
        env.script["step"] = gate.wait
        with wire(server.address, transport) as first:
            secret = first.session.secret
            first.call(2, reset=RESET)
            first.send(3, step=STEP)
            assert gate.reached.wait(20)
            first.cut()
            with wire(server.address, transport, secret) as second:
                second.send(3, step=STEP)
                gate.open()
                answer = second.receive()
        assert answer.step.observation == ACTION
        assert env.names() == ["reset", "step"]


@EVERY_TRANSPORT
def test_who_resumes_takes_over_from_a_connection_that_seems_alive(transport: str) -> None:
    with served() as (env, server), wire(server.address, transport) as first:
        first.call(2, reset=RESET)
        with wire(server.address, transport, first.session.secret) as second:
            if first.port is not None:
                assert first.port.receive(soon()) is WakeReason.GONE
            with pytest.raises(grpc.RpcError):
                first.session.receive()
            assert second.call(3, step=STEP).step.observation == ACTION
        assert env.names() == ["reset", "step"]


@pytest.mark.parametrize("nbytes", [10, 3 << 20])
@EVERY_TRANSPORT
def test_an_answer_of_any_size_is_kept(transport: str, nbytes: int) -> None:
    with served() as (env, server):
        env.script["render"] = lambda: "x" * nbytes
        with wire(server.address, transport) as first:
            secret = first.session.secret
            answer = first.call(2, render=session_pb2.RenderCall())
        with wire(server.address, transport, secret) as second:
            assert second.call(2, render=session_pb2.RenderCall()) == answer
        assert len(answer.render.frame) > nbytes
        assert env.names() == ["render"]


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_where_the_port_alone_breaks_the_session_goes_on_without_resuming(transport: str) -> None:
    with served() as (env, server), wire(server.address, transport) as first:
        answer = first.call(2, reset=RESET)
        assert first.port is not None
        first.port.release()
        assert first.session.call(2, reset=RESET) == answer
        assert first.session.call(3, step=STEP).step.observation == ACTION
        assert env.names() == ["reset", "step"]


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_where_the_stream_alone_breaks_the_session_goes_on_by_its_port(transport: str) -> None:
    with served() as (env, server), wire(server.address, transport) as first:
        first.call(2, reset=RESET)
        # In a call it would not go on by the pipe, and the answer comes before the call has ended.
        status_when(server.address, lambda told: told.sessions[0].calls == 1)
        first.session.close()
        first.session.wait_until_ended()
        assert first.call(3, step=STEP).step.observation == ACTION
        closed = first.call(4, close=session_pb2.CloseCall())
        assert closed.WhichOneof("answer") == "close"
        with wire(server.address, transport):
            assert env.names() == ["reset", "step"]


def test_what_a_client_says_of_itself_steers_no_terminal_of_another() -> None:
    peer = session_pb2.Peer(name="\x1b[31mred\nheld by nobody" + 9999 * "x", host="a\rb")
    with served() as (_, server), wire(server.address, "grpc", peer=peer):
        with pytest.raises(EndpointBusyError, match=r"\\x1b\[31mred\\nheld") as caught:
            rlmesh.RemoteEnv[Any, Any](server.address)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_number_below_the_last_one_ends_the_session() -> None:
    with served() as (env, server), wire(server.address, "grpc") as session:
        session.call(2, reset=RESET)
        session.call(3, step=STEP)
        answer = session.call(2, reset=RESET)
        assert answer.failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert "call 2 does not follow call 3" in answer.failure.message
        assert env.names() == ["reset", "step"]
        # It ends after that answer.
        status_when(server.address, lambda told: not told.sessions)
        gone = failure_of(server.address, session.session.secret)
        assert gone.code == session_pb2.ERROR_CODE_SESSION_GONE


@EVERY_TRANSPORT
def test_numbers_have_gaps_but_no_step_follows_a_call_that_was_lost(transport: str) -> None:
    with served() as (env, server):
        with wire(server.address, transport) as first:
            secret = first.session.secret
            first.call(2, reset=RESET)
            # A call that its client gave up before it was sent had number 3.
            first.call(4, step=STEP)
        with wire(server.address, transport, secret) as second:
            # This one may have been lost: a reset mends that.
            second.call(6, reset=RESET)
        with wire(server.address, transport, secret) as third:
            answer = third.call(8, step=STEP)
        assert answer.failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert env.names() == ["reset", "step", "reset"]


def test_an_unknown_secret_resumes_nothing() -> None:
    with served() as (_, server), wire(server.address, "shm") as session:
        *most, last = session.session.secret
        other = bytes([*most, last ^ 1])
        failure = failure_of(server.address, other)
        assert failure.code == session_pb2.ERROR_CODE_SESSION_GONE
        assert "started again" in failure.message
        assert session.call(2, reset=RESET).WhichOneof("answer") == "reset"


@EVERY_TRANSPORT
def test_a_kept_session_is_ended_after_its_time_and_says_so(transport: str) -> None:
    options = rlmesh.ServeOptions(resume_timeout_seconds=0.05)
    with served(options) as (env, server):
        with wire(server.address, transport) as first:
            secret = first.session.secret
            assert first.session.opened.resume_seconds == 0.05
            first.call(2, reset=RESET)
        with wire(server.address, transport, wait_seconds=20) as second:
            assert second.session.answer.WhichOneof("answer") == "open"
            failure = failure_of(server.address, secret)
        assert failure.code == session_pb2.ERROR_CODE_SESSION_GONE
        assert "resume_timeout_seconds" in failure.message
        assert env.names() == ["reset"]


@EVERY_TRANSPORT
def test_a_connection_that_breaks_in_a_call_is_noticed_before_the_call_returns(
    transport: str,
) -> None:
    gate = Gate()
    with served() as (env, server):
        env.script["step"] = gate.wait
        with wire(server.address, transport) as first:
            secret = first.session.secret
            first.call(2, reset=RESET)
            first.send(3, step=STEP)
            assert gate.reached.wait(20)
        until = soon()
        while not holder_of(server.address).HasField("lost_seconds"):
            assert time.monotonic() < until, "nobody notices"
        gate.open()
        with wire(server.address, transport, secret) as second:
            assert second.call(3, step=STEP).step.observation == ACTION
        assert env.names() == ["reset", "step"]


@pytest.mark.parametrize(
    ("seconds", "resumes"), [(0, True), (3600, False)], ids=["keeps none", "does not resume"]
)
@EVERY_TRANSPORT
def test_where_nobody_resumes_the_place_is_free_at_once(
    transport: str, seconds: float, resumes: bool
) -> None:
    with served(rlmesh.ServeOptions(resume_timeout_seconds=seconds)) as (_, server):
        with wire(server.address, transport, resumes=resumes) as first:
            assert first.session.opened.resume_seconds == 0
            first.call(2, reset=RESET)
        with wire(server.address, transport, wait_seconds=20) as second:
            assert second.call(2, reset=RESET).WhichOneof("answer") == "reset"


HOLD = """
import sys
from support.raw_sessions import raw_session
from support.pipes import message
from rlmesh_api.v1 import session_pb2
with raw_session(sys.argv[1], resumes=True) as session:
    pipe = session.pipe("shm")
    call = session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall())
    pipe.send(call.SerializeToString())
    message(pipe)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_local_client_that_is_killed_holds_no_place() -> None:
    with served() as (_, server):
        with start_python(
            ["-c", HOLD, server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "held"
            process.kill()
        with wire(server.address, "grpc", wait_seconds=20) as second:
            assert second.session.answer.WhichOneof("answer") == "open"


@EVERY_TRANSPORT
def test_a_kept_session_does_not_keep_a_server_from_ending(transport: str) -> None:
    with served() as (env, server):
        with wire(server.address, transport) as first:
            first.call(2, reset=RESET)
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        ending.join(20)
        assert not ending.is_alive()
        assert env.names() == ["reset", "close"]


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_client_that_closes_by_its_port_leaves_the_next_one_alone(transport: str) -> None:
    with served() as (_, server):
        for _ in range(20):
            with wire(server.address, transport) as first:
                first.call(2, close=session_pb2.CloseCall())
                with wire(server.address, "grpc") as second:
                    second.call(2, reset=RESET)
                    first.cut()
                    first.session.wait_until_ended()
                    assert second.call(3, step=STEP).step.observation == ACTION
                    second.call(4, close=session_pb2.CloseCall())
