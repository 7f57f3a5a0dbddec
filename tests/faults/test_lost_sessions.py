"""When an episode cannot go on: what a client is told, and how it begins anew."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from rlmesh.client import reconnect
from rlmesh.envs.frames import frame_of
from rlmesh.errors import (
    CallTimeoutError,
    ConnectionLostError,
    ContractMismatchError,
    EndpointBusyError,
    EndpointDrainingError,
    ProtocolError,
    SessionLostError,
    StateError,
)
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh_api.v1 import env_service_pb2_grpc, session_pb2
from support.chaos import ChaosProxy
from support.comparing import assert_same
from support.raw_sessions import strange_server
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import channel_to, status_when

ACTION = np.array([0.5, -0.25], np.float32)
SOON = 20.0
NOWHERE = "tcp://127.0.0.1:1"


@contextlib.contextmanager
def proxied(**settings: Any) -> Generator[tuple[ChaosProxy, ScriptedEnv, Any]]:
    """A client that has been reset, of a server behind a proxy."""
    env = ScriptedEnv()
    options = settings.pop("options", None)
    with serving(env, options=options) as server, ChaosProxy(0) as proxy:
        proxy.lead_to(server.address)
        settings.setdefault("transport", "grpc")
        client = rlmesh.RemoteEnv[Any, Any](f"tcp://{proxy.authority}", **settings)
        with contextlib.closing(client):
            client.reset(seed=0)
            yield proxy, env, client


def test_a_client_that_is_not_to_reconnect_says_at_once_and_ever_after_that_it_broke() -> None:
    with proxied(reconnect=False) as (proxy, env, client):
        proxy.cut()
        for call in (lambda: client.step(ACTION), client.reset, client.render):
            with pytest.raises(ConnectionLostError) as caught:
                call()
            assert not isinstance(caught.value, SessionLostError)
        assert env.names() == ["reset"]


def test_a_server_that_keeps_no_session_is_told_as_a_lost_connection() -> None:
    options = rlmesh.ServeOptions(resume_timeout_seconds=0)
    with proxied(options=options) as (proxy, _, client):
        proxy.cut()
        with pytest.raises(ConnectionLostError) as caught:
            client.step(ACTION)
        assert not isinstance(caught.value, SessionLostError)
        with pytest.raises(StateError, match=r"call reset\(\)"):
            client.step(ACTION)


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_after_another_server_has_come_the_episode_is_gone_and_a_reset_begins_anew(
    transport: str,
) -> None:
    second = ScriptedEnv()
    with proxied(transport=transport) as (proxy, first, client), serving(second) as other:
        first_address = "tcp://{}:{}".format(*proxy.target)
        proxy.lead_to(other.address)
        if transport == "shm":
            client._env_client._call_client._transport._pipe.close()
        proxy.cut()
        # As long as it does not know, it may find a call in the memory that both still share.
        status_when(first_address, lambda told: told.sessions[0].holder.HasField("lost_seconds"))
        with pytest.raises(SessionLostError, match="episode is"):
            client.step(ACTION)
        for call in (lambda: client.step(ACTION), client.render):
            with pytest.raises(StateError, match=r"call reset\(\)"):
                call()
        observation, _ = client.reset(seed=1)
        assert_same(observation, np.zeros(2, np.float32))
        assert_same(client.step(ACTION)[0], ACTION)
        assert client.transport == transport
        assert client.stats()["step"].count == 1
        assert (first.names(), second.names()) == (["reset"], ["reset", "step"])


def test_a_client_does_not_begin_anew_with_another_environment() -> None:
    with proxied() as (proxy, _, client), serving(gymnasium.make("CartPole-v1")) as other:
        proxy.lead_to(other.address)
        proxy.cut()
        with pytest.raises(SessionLostError):
            client.step(ACTION)
        with pytest.raises(ContractMismatchError, match="action_space") as caught:
            client.reset()
        assert caught.value.differences


def test_after_a_server_has_shut_down_a_reset_begins_anew_with_the_next() -> None:
    second = ScriptedEnv()
    with ChaosProxy(0) as proxy, serving(second) as other:
        with serving(ScriptedEnv()) as server:
            proxy.lead_to(server.address)
            client = rlmesh.RemoteEnv[Any, Any](f"tcp://{proxy.authority}", transport="grpc")
            client.reset()
        with contextlib.closing(client):
            with pytest.raises(EndpointDrainingError):
                client.step(ACTION)
            proxy.lead_to(other.address)
            client.reset()
            client.step(ACTION)
        assert second.names() == ["reset", "step"]


def test_a_server_that_cannot_be_reached_again_is_given_up_after_the_time_it_keeps_sessions() -> (
    None
):
    options = rlmesh.ServeOptions(resume_timeout_seconds=0.3)
    with proxied(options=options) as (proxy, env, client):
        proxy.lead_to(NOWHERE)
        proxy.cut()
        with pytest.raises(SessionLostError, match=r"could not be reached again within 0\.3 s"):
            client.step(ACTION)
        assert env.names() == ["reset"]


def test_a_deadline_that_passes_while_a_client_reconnects_keeps_the_session() -> None:
    options = rlmesh.ServeOptions(resume_timeout_seconds=3600)
    with proxied(options=options, request_timeout_seconds=0.3) as (proxy, env, client):
        there = proxy.target
        proxy.lead_to(NOWHERE)
        proxy.cut()
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        proxy.target = there
        client.reset(seed=0)
        client.step(ACTION)
        assert env.names() == ["reset", "reset", "step"]


def is_reconnecting(thread: threading.Thread) -> bool:
    frame = frame_of(thread.ident or 0)
    while frame is not None:
        if frame.f_code is reconnect.Reconnect._attempts.__code__:
            return True
        frame = frame.f_back
    return False


def when_reconnecting(thread: threading.Thread, act: Callable[[], object]) -> threading.Thread:
    """Does something as soon as a thread reconnects."""

    def wait() -> None:
        pause = threading.Event()
        for _ in range(2000):
            if is_reconnecting(thread):
                act()
                return
            pause.wait(0.01)

    waiting = threading.Thread(target=wait)
    waiting.start()
    return waiting


@contextlib.contextmanager
def pressing_ctrl_c() -> Generator[Callable[[], None]]:
    """Gives what presses Ctrl-C until it is heard: Python may lose it in a callback."""
    over = threading.Event()
    pressers: list[threading.Thread] = []

    def interrupt(*_: object) -> None:
        if not over.is_set() and is_reconnecting(threading.main_thread()):
            raise KeyboardInterrupt

    def press() -> None:
        pressers.append(threading.current_thread())
        while not over.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            over.wait(0.3)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield press
    finally:
        over.set()
        for presser in pressers:
            presser.join(SOON)
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_a_client_reconnects_leaves_one_that_a_reset_mends() -> None:
    with proxied() as (proxy, env, client):
        there = proxy.target
        proxy.lead_to(NOWHERE)
        proxy.cut()
        main = threading.main_thread()
        with pressing_ctrl_c() as press:
            when_reconnecting(main, press)
            with pytest.raises(KeyboardInterrupt):
                client.step(ACTION)
        with pytest.raises(StateError, match=r"call reset\(\) first"):
            client.step(ACTION)
        proxy.target = there
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)
        assert env.names() == ["reset", "reset", "step"]


def test_a_client_that_is_closed_while_it_reconnects_says_so_and_gives_its_place_back() -> None:
    failures: list[BaseException] = []
    with proxied() as (proxy, _, client):
        there = proxy.target
        proxy.lead_to(NOWHERE)
        proxy.cut()

        def step() -> None:
            try:
                client.step(ACTION)
            except rlmesh.RlmeshError as error:
                failures.append(error)

        stepping = threading.Thread(target=step)
        stepping.start()
        when_reconnecting(stepping, client.close).join(SOON)
        stepping.join(SOON)
        assert not stepping.is_alive()
        proxy.target = there
    assert isinstance(failures[0], StateError), failures
    assert "another thread closed" in str(failures[0])


def test_a_client_that_waits_gets_the_place_that_another_gives_back() -> None:
    with serving(ScriptedEnv()) as server:
        first = rlmesh.RemoteEnv[Any, Any](server.address)
        with pytest.raises(EndpointBusyError) as caught:
            rlmesh.RemoteEnv(server.address, busy_timeout_seconds=0.05)
        assert caught.value.capacity == 1
        (holder,) = caught.value.holders
        assert holder.lost_seconds is None
        assert str(holder.pid) in str(caught.value)
        closing = threading.Timer(0.1, first.close)
        closing.start()
        second = rlmesh.RemoteEnv[Any, Any](server.address, busy_timeout_seconds=None)
        second.reset()
        second.close()
        closing.join(SOON)


def test_a_refused_client_is_told_whose_connection_has_broken() -> None:
    with proxied() as (proxy, _, _):
        address = "tcp://{}:{}".format(*proxy.target)
        proxy.lead_to(NOWHERE)
        proxy.cut()
        pause = threading.Event()
        said = ""
        for _ in range(200):
            with pytest.raises(EndpointBusyError) as caught:
                rlmesh.RemoteEnv(address)
            said = str(caught.value)
            if caught.value.holders[0].lost_seconds is not None:
                break
            pause.wait(0.02)
        assert "whose connection broke" in said


def test_a_client_that_closes_after_a_break_gives_its_place_back_at_once() -> None:
    options = rlmesh.ServeOptions(resume_timeout_seconds=3600)
    with proxied(options=options) as (proxy, _, client):
        address = "tcp://{}:{}".format(*proxy.target)
        proxy.cut()
        client.close()
        rlmesh.RemoteEnv(address, busy_timeout_seconds=SOON).close()


def test_a_timeout_tells_what_the_environment_is_doing_and_where() -> None:
    with proxied(request_timeout_seconds=0.5) as (_, env, client):
        gate = Gate()
        env.script["step"] = gate.wait
        with pytest.raises(CallTimeoutError, match="has been in step for") as caught:
            client.step(ACTION)
        gate.open()
        assert ", in wait" in str(caught.value)
        assert caught.value.status.sessions[0].call == "step"


def test_a_timeout_of_the_server_is_one_of_the_client_too() -> None:
    options = rlmesh.ServeOptions(call_timeout_seconds=0.3)
    with proxied(options=options) as (_, env, client):
        gate = Gate()
        env.script["step"] = gate.wait
        with pytest.raises(CallTimeoutError, match="has been in step for"):
            client.step(ACTION)
        with pytest.raises(StateError, match=r"call reset\(\) first"):
            client.step(ACTION)
        gate.open()
        env.script.clear()
        client.reset()
        client.step(ACTION)


@pytest.mark.parametrize("generation", [0, 99])
def test_a_server_of_another_generation_is_refused_readably(generation: int) -> None:
    def quiet(_: object) -> None:
        """Nobody comes this way."""

    plan = SegmentLayout.for_slabs(8, 16)
    with strange_server(ScriptedEnv(), "direct", quiet, plan, generation) as address:
        with pytest.raises(ProtocolError, match="upgrade the older of the two"):
            rlmesh.RemoteEnv(address)


@pytest.mark.parametrize(("generation", "answer"), [(0, "failure"), (1, "open"), (99, "open")])
def test_a_client_of_another_generation_is_refused_readably_or_works(
    generation: int, answer: str
) -> None:
    with serving(ScriptedEnv()) as server, channel_to(server.address) as channel:
        call = session_pb2.OpenCall(protocol_generation=generation)
        request = session_pb2.SessionRequest(sequence=1, open=call)
        stream: Any = env_service_pb2_grpc.EnvServiceStub(channel).Session(iter([request]))
        told = next(stream)
        stream.cancel()
    assert told.WhichOneof("answer") == answer
    if answer == "open":
        assert told.open.protocol_generation == 1
    else:
        assert "upgrade the older of the two" in told.failure.message
