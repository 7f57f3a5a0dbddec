"""The end of a server: whoever asks, however often, in whichever state."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import EndpointDrainingError, EndpointError, StateError
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import watching_health

pytestmark = pytest.mark.usefixtures("each_transport")

SOON = 20.0
# What the design promises, for a machine that has nothing else to do.
AT_ONCE = 0.5


@contextlib.contextmanager
def running(work: Callable[[], Any]) -> Generator[threading.Thread]:
    """Does something on another thread, which has ended at the end of the block."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(SOON)
        assert not thread.is_alive()


@contextlib.contextmanager
def client_of(server: rlmesh.EnvServer) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
        client.reset(seed=0)
        yield client


@contextlib.contextmanager
def stuck_in(
    name: str, **options: Any
) -> Generator[tuple[rlmesh.EnvServer, ScriptedEnv, Gate, list[BaseException]]]:
    """A server whose environment is in a call that ends when the gate opens."""
    env, gate = ScriptedEnv(), Gate()
    failures: list[BaseException] = []
    with (
        serving(env, options=rlmesh.ServeOptions(**options)) as server,
        client_of(server) as client,
    ):
        env.script[name] = gate.wait

        def act() -> None:
            action = client.action_space.sample()
            try:
                client.step(action) if name == "step" else getattr(client, name)()
            except EndpointError as error:
                failures.append(error)

        with running(act):
            try:
                assert gate.reached.wait(SOON)
                yield server, env, gate, failures
            finally:
                gate.open()


# Who asks, and how often, in which order.

BEGINNINGS: dict[str, Callable[[rlmesh.EnvServer], Any]] = {
    "start": rlmesh.EnvServer.start,
    "serve": rlmesh.EnvServer.serve,
    "with": lambda server: server.__enter__(),
}


@pytest.mark.parametrize("second", BEGINNINGS)
@pytest.mark.parametrize("first", ["start", "with"])
def test_a_server_that_serves_begins_no_second_time(first: str, second: str) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    BEGINNINGS[first](server)
    try:
        if second == "with":
            BEGINNINGS[second](server)
        else:
            with pytest.raises(StateError, match="a server is started once"):
                BEGINNINGS[second](server)
        with client_of(server):
            pass
    finally:
        server.shutdown()
    assert env.names() == ["reset", "close"]


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize("unbegun", [True, False])
def test_a_server_that_has_ended_begins_no_second_time(begin: str, unbegun: bool) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    if not unbegun:
        server.start()
    server.shutdown()
    with pytest.raises(StateError, match="is closed; a server is started once"):
        BEGINNINGS[begin](server)
    server.shutdown()
    assert server.wait() is True
    assert env.names() == ["close"]


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_server_that_is_ending_begins_no_second_time(begin: str) -> None:
    with stuck_in("step") as (server, _, gate, _):
        with running(server.shutdown), watching_health(server.address) as statuses:
            assert 2 in itertools.islice(statuses, 2)
            with pytest.raises(StateError, match="is shutting down"):
                BEGINNINGS[begin](server)
            gate.open()


def test_of_many_threads_that_start_a_server_one_does() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    together = threading.Barrier(8)
    refused: list[StateError] = []

    def start() -> None:
        together.wait(SOON)
        try:
            server.start()
        except StateError as error:
            refused.append(error)

    with contextlib.ExitStack() as threads:
        for _ in range(8):
            threads.enter_context(running(start))
    assert len(refused) == 7
    with server, client_of(server):
        pass


@pytest.mark.parametrize("started", [True, False])
def test_of_many_threads_that_shut_a_server_down_all_return_when_it_is_done(started: bool) -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["close"] = gate.wait
    server = rlmesh.EnvServer(env)
    if started:
        server.start()
    closed_first: list[bool] = []

    def shut_down() -> None:
        server.shutdown()
        closed_first.append(server.wait(0))

    with contextlib.ExitStack() as threads:
        for _ in range(8):
            threads.enter_context(running(shut_down))
        assert gate.reached.wait(SOON)
        assert server.wait(0.05) is False
        assert closed_first == []
        gate.open()
    assert closed_first == [True] * 8
    assert env.names() == ["close"]


@pytest.mark.parametrize("name", ["reset", "step", "render", "close"])
def test_an_environment_may_shut_its_server_down_in_any_call(name: str) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    env.script[name] = server.shutdown
    server.start()
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
        if name == "close":
            server.shutdown()
        elif name == "step":
            client.reset()
            client.step(client.action_space.sample())
        else:
            getattr(client, name)()
    assert server.wait(SOON) is True
    assert env.names()[-1] == "close"
    assert env.names().count("close") == 1


def test_an_environment_may_shut_down_a_server_that_was_never_started() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    env.script["close"] = server.shutdown
    server.shutdown()
    assert server.wait(0) is True


def test_an_environment_that_serves_on_the_calling_thread_may_shut_its_server_down() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    env.script["step"] = server.shutdown
    with running(server.serve), client_of(server) as client:
        client.step(client.action_space.sample())
    assert env.names() == ["reset", "step", "close"]


def test_an_environment_that_waits_for_its_own_server_is_told() -> None:
    env = ScriptedEnv()
    with serving(env) as server, client_of(server) as client:
        env.script["step"] = server.wait
        with pytest.raises(rlmesh.errors.RemoteEnvError, match="call wait\\(\\) on another thread"):
            client.step(client.action_space.sample())
        env.script.clear()
        client.reset()


@pytest.mark.parametrize("name", ["start", "serve"])
def test_an_environment_that_starts_its_own_server_again_is_told(name: str) -> None:
    env = ScriptedEnv()
    with serving(env) as server, client_of(server) as client:
        env.script["step"] = getattr(server, name)
        with pytest.raises(rlmesh.errors.RemoteEnvError, match="a server is started once"):
            client.step(client.action_space.sample())


# A failed start.


@pytest.mark.parametrize(
    ("verb", "number"),
    [(verb, number) for verb in ("start", "serve") for number in range(3)],
)
def test_a_start_without_enough_threads_closes_the_environment_and_frees_the_address(
    verb: str, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env, path=tmp_path / "e.sock")
    begin = threading.Thread.start
    begun = itertools.count()

    def fail_once(thread: threading.Thread) -> None:
        if next(begun) == number:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_once)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        getattr(server, verb)()
    monkeypatch.undo()
    server.shutdown()
    assert server.wait(0) is True
    assert env.names() == ["close"]
    assert not (tmp_path / "e.sock").exists()
    with pytest.raises(StateError):
        server.start()


@pytest.mark.parametrize("verb", ["start", "serve"])
def test_a_start_that_grpc_refuses_is_raised_and_nothing_is_left(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    begin = server._rpc_server.start

    def fail() -> None:
        begin()
        raise OSError("no more descriptors")

    monkeypatch.setattr(server._rpc_server, "start", fail)
    with pytest.raises(OSError, match="no more descriptors"):
        getattr(server, verb)()
    assert server.wait(0) is True
    assert env.names() == ["close"]
    with pytest.raises(EndpointError):
        rlmesh.RemoteEnv(server.address, connect_timeout_seconds=0.2)


def test_a_server_that_could_not_be_made_leaves_its_environment_to_the_next_one() -> None:
    env = ScriptedEnv()
    with serving(ScriptedEnv()) as other:
        for _ in range(3):
            with pytest.raises(rlmesh.errors.AddressInUseError):
                rlmesh.EnvServer(env, other.address)
    assert env.names() == []
    with serving(env) as server, client_of(server):
        pass


# How long it takes.


@pytest.mark.parametrize("watchers", [0, 3])
@pytest.mark.parametrize("clients", [0, 1])
def test_a_shutdown_with_nothing_in_flight_is_at_once(clients: int, watchers: int) -> None:
    took = []
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(serving(ScriptedEnv()))
            for _ in range(clients):
                stack.enter_context(client_of(server))
            for _ in range(watchers):
                next(stack.enter_context(watching_health(server.address)))
            before = time.monotonic()
            server.shutdown()
            took.append(time.monotonic() - before)
    # The fastest: the others may have met a busy machine.
    assert min(took) < AT_ONCE


def test_a_call_in_flight_finishes_its_answer_arrives_and_the_client_is_told_afterwards() -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env) as server, client_of(server) as client:
        env.script["step"] = gate.wait
        answers: list[Any] = []
        action = client.action_space.sample()
        with running(lambda: answers.append(client.step(action))):
            assert gate.reached.wait(SOON)
            with running(server.shutdown), watching_health(server.address) as statuses:
                assert 2 in itertools.islice(statuses, 2)
                gate.open()
        assert len(answers) == 1
        with pytest.raises(EndpointDrainingError, match="Make a new client"):
            client.step(action)
        with pytest.raises(StateError, match="it is shutting down"):
            client.step(action)
    assert env.names() == ["reset", "step", "close"]


def test_no_answer_is_lost_however_a_shutdown_meets_the_steps_of_a_busy_client() -> None:
    for _ in range(15):
        env = ScriptedEnv()
        with serving(env) as server, client_of(server) as client:
            action = client.action_space.sample()
            answers = 0
            with running(server.shutdown):
                with contextlib.suppress(EndpointError):
                    while True:
                        client.step(action)
                        answers += 1
        assert env.names().count("step") == answers


def test_a_client_that_connects_to_a_server_that_drains_is_told() -> None:
    with stuck_in("step") as (server, _, gate, _):
        with running(server.shutdown), watching_health(server.address) as statuses:
            assert 2 in itertools.islice(statuses, 2)
            with pytest.raises(EndpointDrainingError, match="shutting down"):
                rlmesh.RemoteEnv(server.address)
            gate.open()


# What hangs.


@pytest.mark.parametrize("name", ["reset", "step", "render"])
def test_a_call_that_hangs_is_given_up_its_client_told_and_where_it_is_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with stuck_in(name, drain_timeout_seconds=0.1) as (server, env, gate, failures):
        server.shutdown()
        assert server.wait(0) is True
        with pytest.raises(EndpointError):
            rlmesh.RemoteEnv(server.address, connect_timeout_seconds=0.2)
        gate.open()
    (failure,) = failures
    assert isinstance(failure, EndpointDrainingError)
    message = str(failure)
    assert f"{name}() did not return in the time" in message
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert (
        f"the environment's {name}() did not return within 0.1 s; it is at" in record.getMessage()
    )
    assert "sample_envs.py" in record.getMessage()
    assert "rlmesh/server" not in record.getMessage()
    assert "close" not in env.names()[:-1]


def test_a_call_that_hung_and_returns_after_all_is_followed_by_the_close() -> None:
    closed = threading.Event()
    with stuck_in("step", drain_timeout_seconds=0.0) as (server, env, gate, _):
        env.script["close"] = closed.set
        server.shutdown()
        assert not closed.is_set()
        gate.open()
        assert closed.wait(SOON)


@pytest.mark.parametrize("drain", [0.0, 0.1, SOON])
def test_a_drain_limit_closes_the_environment_of_a_server_with_nothing_in_flight(
    drain: float, caplog: pytest.LogCaptureFixture
) -> None:
    env = ScriptedEnv()
    with serving(env, options=rlmesh.ServeOptions(drain_timeout_seconds=drain)) as server:
        with client_of(server):
            server.shutdown()
    assert env.names() == ["reset", "close"]
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("limit", [0.0, 0.1])
def test_a_close_that_hangs_is_left_behind_and_where_it_is_logged(
    limit: float, caplog: pytest.LogCaptureFixture
) -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["close"] = gate.wait
    try:
        with serving(env, options=rlmesh.ServeOptions(close_timeout_seconds=limit)) as server:
            server.shutdown()
            assert server.wait(0) is True
    finally:
        gate.open()
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "the environment's close() did not return within" in record.getMessage()
    assert "gate" in record.getMessage() or "_opened.wait" in record.getMessage()


def test_a_close_is_given_its_own_time_after_a_call_that_took_its() -> None:
    env, step, close = ScriptedEnv(), Gate(), Gate()
    options = rlmesh.ServeOptions(drain_timeout_seconds=SOON, close_timeout_seconds=SOON)
    with serving(env, options=options) as server, client_of(server) as client:
        env.script |= {"step": step.wait, "close": close.wait}
        action = client.action_space.sample()
        with running(lambda: client.step(action)):
            assert step.reached.wait(SOON)
            with running(server.shutdown):
                step.open()
                assert close.reached.wait(SOON)
                assert server.wait(0) is False
                close.open()
    assert env.names() == ["reset", "step", "close"]


def test_a_call_that_hangs_on_a_thread_that_serves_keeps_only_that_thread() -> None:
    env, gate = ScriptedEnv(), Gate()
    server = rlmesh.EnvServer(env, options=rlmesh.ServeOptions(drain_timeout_seconds=0.1))
    with running(server.serve) as serving_thread, client_of(server) as client:
        env.script["step"] = gate.wait
        failures: list[EndpointError] = []

        def step() -> None:
            try:
                client.step(client.action_space.sample())
            except EndpointError as error:
                failures.append(error)

        with running(step):
            assert gate.reached.wait(SOON)
            server.shutdown()
            assert server.wait(0) is True
            assert serving_thread.is_alive()
            gate.open()
    assert len(failures) == 1
    assert env.names() == ["reset", "step", "close"]


@pytest.mark.parametrize("verb", ["serve", "start"])
@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("idle", [None, SOON])
@pytest.mark.parametrize("drain", [None, 0.0, SOON])
@pytest.mark.parametrize("close", [None, SOON])
def test_every_combination_of_options_serves_and_ends(
    verb: str, remote: bool, idle: float | None, drain: float | None, close: float | None
) -> None:
    options = rlmesh.ServeOptions(
        allow_remote_shutdown=remote,
        idle_timeout_seconds=idle,
        drain_timeout_seconds=drain,
        close_timeout_seconds=close,
    )
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env, options=options)
    with running(getattr(server, verb)), client_of(server) as client:
        client.step(client.action_space.sample())
        server.shutdown()
    assert env.names() == ["reset", "step", "close"]


def test_a_server_that_was_never_started_closes_its_environment_on_the_calling_thread() -> None:
    env = ScriptedEnv()
    rlmesh.EnvServer(env).shutdown()
    assert env.calls == [("close", threading.get_ident())]


def test_what_raises_on_the_thread_that_serves_ends_the_server_and_is_raised() -> None:
    class AlarmError(Exception):
        pass

    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    # A handler of the program's own may raise wherever the main thread is; here it is the queue.
    (slot,) = server._provider.all()
    thread: Any = slot.thread
    calls = thread._calls

    class Ringing:
        rung = False

        def put(self, call: Any) -> None:
            calls.put(call)

        def get(self) -> Any:
            if not Ringing.rung:
                Ringing.rung = True
                raise AlarmError
            return calls.get()

    thread._calls = Ringing()
    with pytest.raises(AlarmError):
        server.serve()
    assert server.wait(0) is True
    assert env.names() == ["close"]
    assert env.threads() == {threading.get_ident()}
