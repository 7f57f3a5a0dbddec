"""Deadlines: the client gives up, the server does not, and a reset mends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import CallTimeoutError, EndpointBusyError, RlmeshError, StateError
from support.comparing import assert_same
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving

pytestmark = pytest.mark.usefixtures("each_transport")

ACTION = np.array([0.5, -0.25], np.float32)
# Long enough for a step that does nothing, on a busy machine.
LIMIT = 1.0


@contextlib.contextmanager
def stuck(
    name: str,
) -> Generator[tuple[ScriptedEnv, Gate, rlmesh.EnvServer, rlmesh.RemoteEnv[Any, Any]]]:
    """A client with a deadline, of an environment that hangs in one of its calls."""
    env, gate = ScriptedEnv(), Gate()
    with serving(env) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(
            server.address, request_timeout_seconds=LIMIT
        )
        try:
            client.reset(seed=0)
            env.script[name] = gate.wait
            yield env, gate, server, client
        finally:
            gate.open()
            client.close()


@pytest.mark.parametrize("name", ["reset", "step", "render"])
def test_a_call_that_takes_too_long_is_a_timeout_error(name: str) -> None:
    with stuck(name) as (_, gate, server, client):
        before = time.monotonic()
        with pytest.raises(CallTimeoutError, match=rf"{name}: no answer from") as caught:
            client.step(ACTION) if name == "step" else getattr(client, name)()
        assert time.monotonic() - before >= LIMIT
        assert gate.reached.is_set()
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, RlmeshError)
    assert server.address in str(caught.value)
    assert f"{LIMIT} s" in str(caught.value)


def test_after_a_timeout_a_step_is_refused_until_a_reset() -> None:
    with stuck("step") as (env, gate, _, client):
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        for _ in range(2):
            with pytest.raises(StateError, match=r"call reset\(\) first") as caught:
                client.step(ACTION)
            assert isinstance(caught.value, RuntimeError)
        assert env.names() == ["reset", "step"]
        gate.open()
        observation, _ = client.reset(seed=0)
        assert_same(observation, np.zeros(2, np.float32))
        observation, *_ = client.step(ACTION)
        assert_same(observation, ACTION)


def test_a_late_answer_is_not_taken_for_that_of_another_call() -> None:
    with stuck("step") as (env, gate, _, client):
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        gate.open()
        assert client.render() == "a picture"
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)
        assert env.names() == ["reset", "step", "render", "reset", "step"]


def test_a_reset_that_times_out_leaves_the_client_behind() -> None:
    with stuck("reset") as (_, gate, _, client):
        with pytest.raises(CallTimeoutError):
            client.reset()
        with pytest.raises(StateError):
            client.step(ACTION)
        gate.open()
        client.reset()
        client.step(ACTION)


def test_a_client_that_closes_in_the_middle_of_a_call_gives_way_once_it_is_over() -> None:
    with stuck("step") as (env, gate, server, client):
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        client.close()
        with pytest.raises(EndpointBusyError):
            rlmesh.RemoteEnv(server.address)
        gate.open()
        pause = threading.Event()
        for _ in range(200):
            with contextlib.suppress(EndpointBusyError):
                rlmesh.RemoteEnv(server.address).close()
                break
            pause.wait(0.02)
        else:
            pytest.fail("the endpoint was never free again")
        assert env.names() == ["reset", "step"]


def test_a_client_that_is_behind_and_closed_says_that_it_is_closed() -> None:
    with stuck("step") as (_, _, _, client):
        with pytest.raises(CallTimeoutError):
            client.step(ACTION)
        client.close()
        with pytest.raises(StateError, match="is closed; make a new client"):
            client.step(ACTION)


def test_calls_that_are_in_time_are_not_disturbed_by_the_deadline() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(
            rlmesh.RemoteEnv(server.address, request_timeout_seconds=30.0)
        ) as client:
            client.reset(seed=0)
            for _ in range(50):
                client.step(ACTION)


def test_a_close_from_another_thread_ends_the_wait_for_an_answer() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    failures: list[RlmeshError] = []
    with serving(env) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        client.reset(seed=0)

        def step() -> None:
            try:
                client.step(ACTION)
            except RlmeshError as error:
                failures.append(error)

        stepping = threading.Thread(target=step)
        stepping.start()
        try:
            assert gate.reached.wait(20)
            client.close()
            stepping.join(20)
            assert not stepping.is_alive()
        finally:
            gate.open()
            stepping.join(20)
    assert len(failures) == 1


def test_two_threads_cannot_be_in_one_client_at_once() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    with serving(env) as server, contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
        client.reset(seed=0)
        stepping = threading.Thread(target=client.step, args=(ACTION,))
        stepping.start()
        try:
            assert gate.reached.wait(20)
            with pytest.raises(StateError, match="another thread is in a call"):
                client.reset()
        finally:
            gate.open()
            stepping.join(20)
        env.script.clear()
        client.step(ACTION)
