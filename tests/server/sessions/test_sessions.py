"""An environment for each session, made when it begins and closed when it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.envs.frames import frame_of
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointBusyError,
    InvalidArgumentError,
    InvalidEnvError,
    RemoteEnvError,
    UnsupportedSpaceError,
)
from rlmesh_api.v1 import session_pb2
from support.raw_sessions import raw_session
from support.sample_envs import Gate, ScriptedEnv, echo_vector
from support.serving import serving

ACTION = np.array([0.5, -0.25], np.float32)
RESET = session_pb2.ResetCall()
STEP = session_pb2.StepCall(action=ACTION.tobytes())


class Factory:
    """Makes scripted environments, and keeps them."""

    def __init__(self) -> None:
        self.made: list[ScriptedEnv] = []
        self.threads: list[int] = []
        self.then: Callable[[ScriptedEnv], object] = lambda env: None

    def __call__(self) -> ScriptedEnv:
        env = ScriptedEnv()
        self.threads.append(threading.get_ident())
        self.then(env)
        self.made.append(env)
        return env


@contextlib.contextmanager
def served(sessions: int | None = 2, **settings: Any) -> Generator[tuple[Factory, str]]:
    factory = Factory()
    with serving(factory, sessions=sessions, **settings) as server:
        yield factory, server.address


@pytest.mark.usefixtures("each_transport")
def test_every_session_drives_an_environment_of_its_own_on_one_thread() -> None:
    with served() as (factory, address):
        with (
            contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as first,
            contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as second,
        ):
            for client in (first, second):
                client.reset(seed=0)
            first.step(ACTION)
            assert second.step(-ACTION)[0].tolist() == (-ACTION).tolist()
            assert first.step(ACTION)[0].tolist() == (2 * ACTION).tolist()
        rlmesh.RemoteEnv[Any, Any](address).close()
    assert len(factory.made) == 3
    assert [env.names()[-1] for env in factory.made] == ["close"] * 3
    for env, thread in zip(factory.made, factory.threads, strict=True):
        assert env.threads() == {thread}
    assert len(set(factory.threads[:2])) == 2


def test_the_first_environment_tells_the_contract_and_serves_the_first_session() -> None:
    factory = Factory()
    server = rlmesh.EnvServer(factory, sessions=3)
    assert len(factory.made) == 1
    assert server.env_contract == rlmesh.EnvServer(ScriptedEnv()).env_contract
    with server:
        rlmesh.RemoteEnv[Any, Any](server.address).close()
        assert len(factory.made) == 1
        assert factory.made[0].names() == ["close"]


def test_an_environment_that_no_session_used_is_closed_on_its_thread() -> None:
    factory = Factory()
    rlmesh.EnvServer(factory, sessions=3).shutdown()
    with served() as (other, _):
        pass
    for used in (factory, other):
        assert used.made[0].calls == [("close", used.threads[0])]


def test_a_server_that_could_not_be_made_closes_the_environment_that_was_made_for_it() -> None:
    factory = Factory()
    with serving(ScriptedEnv()) as taken:
        with pytest.raises(rlmesh.errors.AddressInUseError):
            rlmesh.EnvServer(factory, taken.address, sessions=2)
    assert factory.made[0].calls == [("close", factory.threads[0])]


def test_environments_of_vectors_and_lists_are_made_too() -> None:
    for make in (lambda: echo_vector("box", 2), lambda: [ScriptedEnv(), ScriptedEnv()]):
        with serving(make, sessions=2) as server:
            for _ in range(2):
                with contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client:
                    assert client.num_envs == 2
                    client.reset(seed=0)


def test_a_callable_alone_gives_one_client_after_the_other_a_fresh_environment() -> None:
    with served(None) as (factory, address):
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as client:
            client.reset()
            with pytest.raises(EndpointBusyError):
                rlmesh.RemoteEnv[Any, Any](address)
        rlmesh.RemoteEnv[Any, Any](address).close()
    assert [env.names() for env in factory.made] == [["reset", "close"], ["close"]]


def test_a_class_makes_environments_where_the_number_of_sessions_is_given() -> None:
    with serving(ScriptedEnv, sessions=1) as server:
        rlmesh.RemoteEnv[Any, Any](server.address).close()
    with pytest.raises(InvalidEnvError, match="make an instance"):
        rlmesh.EnvServer(ScriptedEnv)


@pytest.mark.parametrize(
    ("env", "sessions", "error", "says"),
    [
        (ScriptedEnv(), 2, InvalidEnvError, r"sessions=2 .*callable.* got ScriptedEnv"),
        (Factory(), 0, InvalidArgumentError, "1 or more, got 0"),
        (Factory(), 1.5, ArgumentTypeError, "float 1.5"),
        (Factory(), True, ArgumentTypeError, "bool True"),
        (lambda: None, 2, InvalidEnvError, "got NoneType without"),
    ],
    ids=["no callable", "none", "no integer", "a flag", "makes none"],
)
def test_what_cannot_be_served_in_sessions_is_refused(
    env: Any, sessions: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        rlmesh.EnvServer(env, sessions=sessions)


def test_what_the_factory_raises_at_first_is_raised_to_whoever_makes_the_server() -> None:
    factory = Factory()

    def fail(env: ScriptedEnv) -> None:
        raise LookupError("no such model")

    factory.then = fail
    with pytest.raises(LookupError, match="no such model"):
        rlmesh.EnvServer(factory, sessions=2)
    closed = ScriptedEnv()
    closed.observation_space = spaces.Sequence(spaces.Discrete(2))
    with pytest.raises(UnsupportedSpaceError):
        rlmesh.EnvServer(lambda: closed, sessions=2)
    assert closed.names() == ["close"]


def test_what_the_factory_raises_later_reaches_the_client_and_the_server_lives() -> None:
    with served() as (factory, address):

        def fail(env: ScriptedEnv) -> None:
            raise LookupError("no such model")

        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as first:
            factory.then = fail
            for _ in range(3):
                with pytest.raises(RemoteEnvError, match="no such model") as caught:
                    rlmesh.RemoteEnv[Any, Any](address)
                assert caught.value.exception_type == "LookupError"
            factory.then = lambda env: None
            first.reset()
            rlmesh.RemoteEnv[Any, Any](address).close()


def test_an_environment_that_another_session_has_is_refused_and_stays_open() -> None:
    only = ScriptedEnv()
    with serving(lambda: only, sessions=2) as server:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as first:
            with pytest.raises(RemoteEnvError, match=r"another session has.*make a new"):
                rlmesh.RemoteEnv[Any, Any](server.address)
            first.reset()
        assert only.names() == ["reset", "close"]


def test_a_class_in_the_place_of_an_environment_is_refused_as_such() -> None:
    made = iter([ScriptedEnv(), ScriptedEnv])
    with serving(lambda: next(made), sessions=2) as server:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)):
            with pytest.raises(RemoteEnvError, match=r"make an instance of it"):
                rlmesh.RemoteEnv[Any, Any](server.address)


def test_an_environment_with_another_contract_is_refused_with_the_difference() -> None:
    def change(env: ScriptedEnv) -> None:
        env.action_space = spaces.Box(-1, 1, (3,), np.float32)

    with served() as (factory, address):
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)):
            factory.then = change
            with pytest.raises(RemoteEnvError, match=r"action_space.*\(2,\).*\(3,\)"):
                rlmesh.RemoteEnv[Any, Any](address)
        assert factory.made[1].names() == ["close"]


def test_where_all_places_are_taken_the_next_is_told_by_whom() -> None:
    with served() as (_, address), raw_session(address), raw_session(address):
        with raw_session(address) as third:
            failure = third.answer.failure
    assert failure.code == session_pb2.ERROR_CODE_BUSY
    assert "all 2 sessions" in failure.message
    assert failure.capacity == 2
    assert len(failure.holders) == 2
    assert failure.holders[0].seconds >= failure.holders[1].seconds > 0
    assert failure.holder.seconds == failure.holders[0].seconds


@pytest.mark.parametrize("sessions", [1, 2])
def test_whoever_waits_gets_a_place_in_the_order_of_coming(sessions: int) -> None:
    order: list[int] = []
    came = threading.Semaphore(0)

    def wait(address: str, number: int) -> None:
        with raw_session(address, wait_seconds=60) as waiting:
            assert waiting.answer.WhichOneof("answer") == "open"
            order.append(number)
            came.release()

    with served(sessions) as (_, address), contextlib.ExitStack() as taken:
        for _ in range(sessions):
            taken.enter_context(raw_session(address))
        threads = [threading.Thread(target=wait, args=(address, number)) for number in range(3)]
        for number, thread in enumerate(threads):
            thread.start()
            _wait_until_queued(number + 1)
        assert order == []
        taken.close()
        for thread in threads:
            thread.join(20)
        assert sorted(order) == [0, 1, 2]
        if sessions == 1:
            assert order == [0, 1, 2]


def test_a_wait_for_a_place_ends_in_time_and_says_so() -> None:
    with served(1) as (_, address), raw_session(address):
        with raw_session(address, wait_seconds=0.05) as second:
            failure = second.answer.failure
    assert failure.code == session_pb2.ERROR_CODE_BUSY
    assert "within 0.05 s" in failure.message
    assert failure.capacity == 1


def test_a_wait_for_a_place_ends_with_the_server() -> None:
    factory = Factory()
    got: list[session_pb2.SessionResponse] = []

    def wait(address: str) -> None:
        with raw_session(address, wait_seconds=60) as waiting:
            got.append(waiting.answer)

    with serving(factory, sessions=1) as server, raw_session(server.address):
        thread = threading.Thread(target=wait, args=(server.address,))
        thread.start()
        _wait_until_queued(1)
        server.shutdown()
        thread.join(20)
    assert got[0].failure.code == session_pb2.ERROR_CODE_DRAINING


def test_a_stuck_environment_keeps_nobody_else_waiting() -> None:
    gate = Gate()
    with served() as (factory, address):
        factory.made[0].script["step"] = gate.wait
        with raw_session(address) as stuck, raw_session(address) as other:
            stuck.call(2, reset=RESET)
            stuck.send(3, step=session_pb2.StepCall(action=ACTION.tobytes()))
            assert gate.reached.wait(20)
            assert other.call(2, reset=RESET).WhichOneof("answer") == "reset"
            gate.open()
            assert stuck.receive().step.observation == ACTION.tobytes()


def test_many_sessions_step_at_once_and_every_environment_is_closed_at_the_end() -> None:
    with contextlib.ExitStack() as stack:
        factory, address = stack.enter_context(served(32))
        sessions = [stack.enter_context(raw_session(address)) for _ in range(32)]
        for sequence, call in ((2, {"reset": RESET}), (3, {"step": STEP}), (4, {"step": STEP})):
            for session in sessions:
                session.send(sequence, **call)
            answers = [session.receive() for session in sessions]
        twice = (2 * ACTION).tobytes()
        assert [answer.step.observation for answer in answers] == [twice] * 32
    assert [env.names() for env in factory.made] == [["reset", "step", "step", "close"]] * 32


def test_serve_answers_sessions_too_and_ends_cleanly() -> None:
    factory = Factory()
    server = rlmesh.EnvServer(factory, sessions=2)
    thread = threading.Thread(target=server.serve)
    thread.start()
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
        client.reset()
        server.shutdown()
    thread.join(20)
    assert not thread.is_alive()
    assert factory.made[0].names() == ["reset", "close"]


def test_a_session_of_which_nothing_is_asked_ends_and_its_client_is_told() -> None:
    options = rlmesh.ServeOptions(session_idle_timeout_seconds=1)
    with served(options=options) as (factory, address):
        with raw_session(address, resumes=True) as session:
            session.call(2, reset=RESET)
            told = session.receive()
        with raw_session(address, session.secret) as again:
            assert again.answer.failure == told.failure
    assert told.sequence == 0
    assert told.failure.code == session_pb2.ERROR_CODE_SESSION_GONE
    assert "no call came for 1 s" in told.failure.message
    assert "session_idle_timeout_seconds" in told.failure.message
    assert factory.made[0].names() == ["reset", "close"]


def _wait_until_queued(count: int) -> None:
    """Returns once so many threads of this process wait for a place."""
    pause = threading.Event()
    while sum(_waits_for_place(thread) for thread in threading.enumerate()) < count:
        pause.wait(0.01)


def _waits_for_place(thread: threading.Thread) -> bool:
    frame = frame_of(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "take" and frame.f_code.co_filename.endswith("admission.py"):
            return True
        frame = frame.f_back
    return False
