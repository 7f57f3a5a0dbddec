"""Ctrl-C in the middle of a call, ends of programs, and other threads."""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError, StateError
from support.comparing import assert_same
from support.pipes import wait_until_asleep
from support.sample_envs import Gate, ScriptedEnv, echo_vector
from support.serving import serving, start_python

pytestmark = pytest.mark.usefixtures("each_transport")

ACTION = np.array([0.5, -0.25], np.float32)
SOON = 20.0


@contextlib.contextmanager
def interrupted_when(reached: threading.Event) -> Generator[None]:
    """Presses Ctrl-C as soon as an environment has reached its gate."""
    over = threading.Event()

    def interrupt(*_: object) -> None:
        if not over.is_set():
            over.set()
            raise KeyboardInterrupt

    def press() -> None:
        main = threading.main_thread().ident
        if reached.wait(SOON) and main is not None:
            # Python loses what a handler raises in a callback of the garbage collector, which
            # Hypothesis has, and hears late of a signal that comes just before it begins to wait.
            while not over.is_set():
                signal.pthread_kill(main, signal.SIGINT)
                over.wait(0.2)

    before = signal.signal(signal.SIGINT, interrupt)
    presser = threading.Thread(target=press)
    try:
        presser.start()
        yield
    finally:
        over.set()
        presser.join(SOON)
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ["step", "reset", "render"])
def test_ctrl_c_in_a_call_leaves_a_client_that_a_reset_mends(name: str) -> None:
    env, gate = ScriptedEnv(), Gate()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=0)
        env.script[name] = gate.wait
        with pytest.raises(KeyboardInterrupt), interrupted_when(gate.reached):
            client.step(ACTION) if name == "step" else getattr(client, name)()
        for _ in range(2):
            with pytest.raises(StateError, match=r"call reset\(\) first"):
                client.step(ACTION)
        gate.open()
        env.script.clear()
        observation, _ = client.reset(seed=0)
        assert_same(observation, np.zeros(2, np.float32))
        assert_same(client.step(ACTION)[0], ACTION)


@contextlib.contextmanager
def told_when_asleep(begun: threading.Event) -> Generator[None]:
    """Sets an event as soon as the main thread waits for an answer of gRPC."""

    def watch() -> None:
        wait_until_asleep(threading.main_thread(), "wait")
        begun.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        watcher.join(SOON)


def test_ctrl_c_while_connecting_leaves_nothing_behind() -> None:
    # Bound and never started: it takes connections, and answers none.
    server = rlmesh.EnvServer(ScriptedEnv())
    begun = threading.Event()
    try:
        before = set(threading.enumerate())
        with pytest.raises(KeyboardInterrupt), told_when_asleep(begun), interrupted_when(begun):
            rlmesh.RemoteEnv(server.address, connect_timeout_seconds=None)
        gc.collect()
        left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
        for thread in left:
            thread.join(SOON)
        assert not [thread for thread in left if thread.is_alive()]
    finally:
        server.shutdown()


def test_a_client_that_closes_after_ctrl_c_frees_the_endpoint_when_the_call_is_over() -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env) as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address)
        client.reset(seed=0)
        env.script["step"] = gate.wait
        with pytest.raises(KeyboardInterrupt), interrupted_when(gate.reached):
            client.step(ACTION)
        before = time.monotonic()
        client.close()
        assert time.monotonic() - before < 1.5, "a farewell would have waited in vain"
        with pytest.raises(EndpointBusyError):
            rlmesh.RemoteEnv(server.address)
        gate.open()


@contextlib.contextmanager
def in_a_step() -> Generator[tuple[rlmesh.RemoteEnv[Any, Any], list[BaseException]]]:
    """A client of which another thread is in a step."""
    env, gate = ScriptedEnv(), Gate()
    failures: list[BaseException] = []
    with serving(env) as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address)
        client.reset(seed=0)
        env.script["step"] = gate.wait

        def step() -> None:
            try:
                client.step(ACTION)
            except rlmesh.RlmeshError as error:
                failures.append(error)

        stepping = threading.Thread(target=step)
        stepping.start()
        try:
            assert gate.reached.wait(SOON)
            yield client, failures
        finally:
            gate.open()
            stepping.join(SOON)
            client.close()


def test_a_call_on_another_thread_is_refused_and_does_not_disturb_the_first() -> None:
    with in_a_step() as (client, failures):
        for call in (client.reset, lambda: client.step(ACTION), client.render):
            with pytest.raises(StateError, match="another thread is in a call"):
                call()
    assert failures == []


def test_a_client_that_is_closed_by_another_thread_says_so_to_the_one_in_the_call() -> None:
    with in_a_step() as (client, failures):
        client.close()
        pause = threading.Event()
        for _ in range(200):
            if failures:
                break
            pause.wait(0.05)
    (failure,) = failures
    assert isinstance(failure, StateError)
    assert "another thread closed the connection" in str(failure)


def test_a_client_may_change_hands_between_calls() -> None:
    with (
        serving(ScriptedEnv()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        for _ in range(3):
            thread = threading.Thread(target=client.reset)
            thread.start()
            thread.join(SOON)
            client.step(ACTION)


@pytest.mark.parametrize("vector", [False, True])
def test_a_client_that_is_dropped_in_a_cycle_frees_the_endpoint(vector: bool) -> None:
    with serving(echo_vector("box", 2) if vector else ScriptedEnv()) as server:
        connect = rlmesh.RemoteVectorEnv if vector else rlmesh.RemoteEnv
        for _ in range(3):
            client: Any = connect(server.address)
            client.reset(seed=0)
            client._myself = client
            del client
            gc.collect()
        connect(server.address).close()


# What may stand at the end of a program that never closes its client.
ENDINGS = {
    "the end": "",
    "sys.exit": "sys.exit(0)",
    "an exit from a function": "exec('def f(e):\\n  sys.exit(0)\\nf(env)')",
    "a cycle": "env._myself = env; del env",
    "after a wrapper": "import gymnasium; wrapped = gymnasium.wrappers.TimeLimit(env, 5); del env",
    "on another thread": "import threading; t = threading.Thread(target=env.reset); t.start()",
    "two clients": "other = rlmesh.RemoteEnv(sys.argv[2]); other.reset()",
}


@pytest.mark.parametrize(
    ("each_transport", "ending"),
    [
        *(("shm", ending) for ending in ENDINGS),
        ("direct", "the end"),
        ("direct", "on another thread"),
        ("grpc", "the end"),
        ("grpc", "on another thread"),
    ],
    indirect=["each_transport"],
)
def test_a_program_that_ends_with_an_open_client_ends_quietly_and_at_once(ending: str) -> None:
    program = f"""
import sys, time
import rlmesh
env = rlmesh.RemoteEnv(sys.argv[1])
env.reset(seed=0)
env.step(env.action_space.sample())
print(time.time(), flush=True)
{ENDINGS[ending]}
"""
    with serving(ScriptedEnv()) as server, serving(ScriptedEnv()) as other:
        took: list[float] = []
        # A farewell that is not answered takes two seconds; again, where the machine was busy.
        while not took or (took[-1] >= 1.5 and len(took) < 6):
            with start_python(
                ["-W", "error", "-c", program, server.address, other.address],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                said, complaints = process.communicate(timeout=SOON)
            took.append(time.time() - float(said))
            assert (process.returncode, complaints) == (0, "")
        assert took[-1] < 1.5


def test_a_program_that_ends_in_the_middle_of_a_call_of_another_thread_ends_quietly() -> None:
    program = """
import sys, threading
import rlmesh
env = rlmesh.RemoteEnv(sys.argv[1])
env.reset(seed=0)
def step():
    print("stepping", flush=True)
    env.step(env.action_space.sample())
threading.Thread(target=step, daemon=True).start()
sys.stdin.readline()
"""
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    with serving(env) as server:
        with start_python(
            ["-W", "error", "-c", program, server.address],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert gate.reached.wait(SOON)
            _, complaints = process.communicate("\n", timeout=SOON)
        gate.open()
        assert (process.returncode, complaints) == (0, "")
