"""An environment in a worker process: whatever it does, its server and its neighbours live on."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    CallTimeoutError,
    EndpointDrainingError,
    EnvCrashedError,
    InvalidActionError,
    InvalidEnvError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.server.envs.process import factory
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc
from support.frail_env import DEADLY, STUCK, FrailEnv, way
from support.process import child_processes
from support.serving import serving, start_python
from support.watching import SERVING, channel_to, check_health, status_of, status_when

Client = rlmesh.RemoteEnv[Any, Any]


@pytest.fixture(params=["shm", "grpc"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the worker answers its client itself, once the server relays.

    `test_lent_pipes.py` has what depends on the pipe that the worker has.
    """
    monkeypatch.setenv("RLMESH_TRANSPORT", request.param)


def isolated(factory: Any = FrailEnv, **settings: Any) -> Any:
    return serving(factory, isolation="process", **settings)


@contextlib.contextmanager
def client_of(server: rlmesh.EnvServer, **settings: Any) -> Generator[Client]:
    with contextlib.closing(Client(server.address, **settings)) as client:
        yield client


def wait_for_end(pid: int, seconds: float = 30) -> None:
    """Waits until a process is dead, whoever's child it is."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(seconds * 1000), f"the process {pid} lives on"
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def stepping(client: Client, name: str) -> Generator[list[Any]]:
    """Has another thread step; what came of it stands in the list after the block."""
    outcome: list[Any] = []

    def step() -> None:
        try:
            outcome.append(client.step(way(name)))
        except Exception as error:  # noqa: BLE001 - looked at by the test
            outcome.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join()


def wait_until_busy(server: rlmesh.EnvServer, call: str = "step") -> None:
    status_when(server.address, lambda told: told.call == call)


def stack_in_step(server: rlmesh.EnvServer, *signs: str) -> str:
    """Where the environment is, once one of the signs says that it is in its step.

    It is busy from the moment the request has come, before its process has taken it.
    """
    stack = ""
    pause = threading.Event()
    while (told := status_of(server.address)).call == "step" or not stack:
        stack = told.stack or stack
        if any(sign in stack for sign in signs):
            break
        pause.wait(0.01)
    return stack


@pytest.mark.usefixtures("each_way")
def test_a_death_is_told_and_its_server_and_neighbours_live_on() -> None:
    with isolated(sessions=2) as server, client_of(server) as client, client_of(server) as other:
        other.reset()
        for count, (name, told) in enumerate(DEADLY.items(), start=1):
            _, info = client.reset(seed=0)
            assert info["pid"] != os.getpid()
            client.step(way("count"))
            with pytest.raises(EnvCrashedError, match=told) as crash:
                client.step(way(name))
            assert f"in step(): its worker process (pid {info['pid']})" in str(crash.value)
            assert "reset()" in str(crash.value)
            with pytest.raises(EnvCrashedError, match=told):
                client.step(way("count"))
            assert check_health(server.address) == SERVING
            assert other.step(way("count"))[0] == count
        assert client.reset()[0] == 0
        assert client.step(way("count"))[0] == 1
        with pytest.raises(RemoteEnvError, match="no crash") as raised:
            client.step(way("raise"))
        assert not isinstance(raised.value, EnvCrashedError)


@pytest.mark.usefixtures("each_way")
def test_a_crash_is_told_with_last_words_and_the_place_in_python() -> None:
    with isolated() as server, client_of(server) as client:
        client.reset()
        with pytest.raises(EnvCrashedError, match="no more torque"):
            client.step(way("exit"))
        client.reset()
        with pytest.raises(EnvCrashedError, match=r'frail_env\.py", line \d+ in step'):
            client.step(way("segfault"))


@pytest.mark.usefixtures("each_way")
def test_a_death_between_calls_is_told_at_the_next_unless_it_is_a_reset() -> None:
    with isolated() as server, client_of(server) as client:
        _, info = client.reset()
        os.kill(info["pid"], signal.SIGKILL)
        wait_for_end(info["pid"])
        with pytest.raises(EnvCrashedError, match=r"SIGKILL.*memory"):
            client.step(way("count"))
        _, again = client.reset()
        os.kill(again["pid"], signal.SIGKILL)
        wait_for_end(again["pid"])
        assert client.reset()[1]["pid"] not in (info["pid"], again["pid"])


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("name", STUCK)
def test_a_call_that_never_returns_ends_at_the_servers_deadline(name: str) -> None:
    options = rlmesh.ServeOptions(call_timeout_seconds=2.0)
    with isolated(options=options) as server, client_of(server) as client:
        _, info = client.reset()
        with stepping(client, name) as outcome:
            signs = ("in step", "native code") if name == "native" else ("in step",)
            stack = stack_in_step(server, *signs)
            assert check_health(server.address) == SERVING
        assert any(sign in stack for sign in signs), stack
        assert isinstance(outcome[0], CallTimeoutError)
        # The worker that keeps the interpreter to itself tells where it is, too.
        assert 'frail_env.py", line' in str(outcome[0])
        wait_for_end(info["pid"])
        assert client.reset()[0] == 0
        assert client.step(way("count"))[0] == 1


def test_the_time_that_a_worker_takes_to_start_is_no_calls(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def make() -> FrailEnv:
        env = FrailEnv(str(diary))
        if diary.read_text().count("made") > 1:
            threading.Event().wait(1.0)
        return env

    options = rlmesh.ServeOptions(call_timeout_seconds=0.5)
    with isolated(make, options=options) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(CallTimeoutError):
            client.step(way("sleep"))
        assert client.reset()[0] == 0


@pytest.mark.usefixtures("each_way")
def test_a_call_that_its_client_gave_up_does_not_keep_a_reset_waiting() -> None:
    with isolated() as server, client_of(server, request_timeout_seconds=8.0) as client:
        client.reset()
        with pytest.raises(CallTimeoutError):
            client.step(way("sleep"))
        assert client.reset()[0] == 0


@pytest.mark.usefixtures("each_way")
def test_workers_that_were_replaced_leave_nothing_behind() -> None:
    def held() -> tuple[int, list[str], int]:
        # gRPC's own threads come and go.
        names = (thread.name for thread in threading.enumerate())
        threads = sorted(name for name in names if name.startswith("rlmesh-"))
        return len(os.listdir("/proc/self/fd")), threads, len(child_processes())

    with isolated() as server, client_of(server) as client:
        client.reset()
        before = held()
        for name in ("abort", "exit"):
            with pytest.raises(EnvCrashedError):
                client.step(way(name))
            client.reset()
        assert held() == before


def test_every_reset_makes_one_worker_at_most(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    def make() -> FrailEnv:
        env = FrailEnv(str(diary))
        if diary.read_text().count("made") > 1:
            os._exit(7)
        return env

    with isolated(make) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(EnvCrashedError):
            client.step(way("abort"))
        for made in (2, 3):
            with pytest.raises(EnvCrashedError, match=r"while it was made: .* exited with code 7"):
                client.reset()
            with pytest.raises(EnvCrashedError, match="code 7"):
                client.step(way("count"))
            assert diary.read_text().count("made") == made
        assert check_health(server.address) == SERVING


def not_an_env() -> Any:
    return 5


def no_env() -> Any:
    raise ValueError("no licence")


@pytest.mark.parametrize(
    ("factory", "error", "message"),
    [
        (no_env, RemoteEnvError, r"no licence(.|\n)*in no_env"),
        (
            functools.partial(os._exit, 3),
            EnvCrashedError,
            "while it was made: .* exited with code 3",
        ),
        (functools.partial(sys.exit, "no display"), RemoteEnvError, "SystemExit: no display"),
        (not_an_env, InvalidEnvError, "got int"),
        (threading.Lock().acquire, ArgumentTypeError, "cannot be sent"),
        (gymnasium.make("CartPole-v1"), ArgumentTypeError, "callable"),
    ],
    ids=["raises", "dies", "exits", "not an env", "not picklable", "an env"],
)
def test_what_keeps_a_worker_from_its_environment_is_told_by_the_constructor(
    factory: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rlmesh.EnvServer(factory, isolation="process")


def test_ctrl_c_while_the_environment_is_made_leaves_no_worker_behind(tmp_path: Path) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    pids: list[int] = []

    def make() -> Any:
        fifo.write_text(str(os.getpid()))
        while True:
            pass

    def press() -> None:
        pids.append(int(fifo.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        rlmesh.EnvServer(make, isolation="process")
    thread.join()
    wait_for_end(pids[0])


@pytest.mark.usefixtures("each_way")
def test_an_isolated_environment_does_all_that_another_one_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        isolated(expose=["level"]) as server,
        client_of(server) as client,
    ):
        client.reset(seed=3)
        assert client.render() == "0 steps"
        assert client.get_wrapper_attr("level") == 1
        client.set_wrapper_attr("level", 5)
        assert client.get_wrapper_attr("level") == 5
        found = client.step_many([way("count")] * 3)
        assert found.observations.tolist() == [1, 2, 3]
        with pytest.raises(RemoteEnvError, match="no crash") as raised:
            client.step_many([way("count"), way("raise")])
        assert raised.value.transitions.observations.tolist() == [4]
        assert "no crash" not in caplog.text
        with pytest.raises(RemoteEnvError, match="no crash"):
            client.step(way("raise"))
        assert "no crash" in caplog.text
        with pytest.raises(InvalidActionError):
            client.step(np.int64(99))
        stats = client.stats()
        assert stats["step"].count == 2
        assert stats["step"].environment_seconds > 0
        assert stats["step"].serving_seconds > 0
        assert stats["step_many"].count == 2


@pytest.mark.usefixtures("each_way")
def test_vector_environments_keep_their_modes_in_a_worker() -> None:
    def sub_envs() -> Any:
        return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)

    with isolated(sub_envs) as server:
        for mode in AutoresetMode:
            with contextlib.closing(
                rlmesh.RemoteVectorEnv[Any, Any](server.address, autoreset=mode)
            ) as client:
                assert client.metadata["autoreset_mode"] is mode
                _, infos = client.reset(seed=1)
                for _ in range(30):
                    *_, terminations, _, infos = client.step(np.zeros(2, np.int64))
                    if terminations.any():
                        break
                assert ("final_obs" in infos) == (mode is AutoresetMode.SAME_STEP)
    with isolated(functools.partial(gymnasium.make, "CartPole-v1")) as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any]([server.address])) as client:
            assert client.reset(seed=1)[0].shape == (1, 4)


def test_without_shared_memory_the_worker_is_called_through_its_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = functools.partial(factory.WorkerFactory, memory=False)
    monkeypatch.setattr("rlmesh.server.envs.process.factory.WorkerFactory", make)
    with isolated() as server, client_of(server) as client:
        client.reset()
        assert client.step(way("count"))[0] == 1
        with pytest.raises(EnvCrashedError, match="SIGABRT"):
            client.step(way("abort"))
        assert client.reset()[0] == 0


SERVER = """
import rlmesh
from support.frail_env import FrailEnv

options = rlmesh.ServeOptions(drain_timeout_seconds=0.5)
with rlmesh.EnvServer(FrailEnv, isolation="process", sessions=4, options=options) as server:
    print(server.address, flush=True)
    server.wait()
"""


@contextlib.contextmanager
def server_process() -> Generator[tuple[subprocess.Popen[str], str]]:
    with start_python(["-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def busy_clients(address: str) -> Generator[list[int]]:
    """The workers of a server: one that is idle, and one for each way to be stuck."""
    with contextlib.ExitStack() as stack:
        workers: list[int] = []
        for name in (None, *STUCK):
            client = stack.enter_context(contextlib.closing(Client(address, reconnect=False)))
            workers.append(client.reset()[1]["pid"])
            if name is not None:
                stack.enter_context(stepping(client, name))
        with channel_to(address) as channel:
            stub = env_service_pb2_grpc.EnvServiceStub(channel)
            while True:
                told = stub.GetStatus(env_service_pb2.GetStatusRequest(), timeout=20)
                if sum(session.call == "step" for session in told.sessions) == len(STUCK):
                    break
                threading.Event().wait(0.01)
        yield workers


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_server_whatever_it_is_doing(number: signal.Signals) -> None:
    with server_process() as (process, address), busy_clients(address) as workers:
        process.send_signal(number)
        for pid in workers:
            wait_for_end(pid)
        assert process.wait(30) == (0 if number is signal.SIGTERM else -number)


def test_a_worker_lives_on_when_the_signals_for_its_server_reach_it_too(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    with isolated(functools.partial(FrailEnv, str(diary))) as server, client_of(server) as client:
        _, info = client.reset()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(info["pid"], number)
        # Ctrl-C in a terminal is for the group in the foreground.
        assert os.getpgid(info["pid"]) != os.getpgid(0)
        assert client.step(way("count"))[0] == 1
    wait_for_end(info["pid"])
    assert diary.read_text().split() == ["made", "closed"]


def test_what_an_environment_has_started_ends_with_it() -> None:
    with isolated(functools.partial(FrailEnv, child=True)) as server, client_of(server) as client:
        _, info = client.reset()
        with pytest.raises(EnvCrashedError):
            client.step(way("abort"))
        wait_for_end(info["child"])
        _, info = client.reset()
    wait_for_end(info["child"])


@pytest.mark.usefixtures("each_way")
def test_a_shutdown_ends_a_worker_that_is_stuck_when_its_time_is_over() -> None:
    options = rlmesh.ServeOptions(drain_timeout_seconds=0.2)
    with isolated(options=options) as server, client_of(server) as client:
        _, info = client.reset()
        with stepping(client, "native") as outcome:
            wait_until_busy(server)
            server.shutdown()
    assert isinstance(outcome[0], EndpointDrainingError)
    wait_for_end(info["pid"])
    assert info["pid"] not in child_processes()


@pytest.mark.usefixtures("each_way")
def test_a_client_that_leaves_a_stuck_environment_behind_does_not_keep_its_place() -> None:
    with isolated() as server:
        with client_of(server) as client:
            _, info = client.reset()
            with stepping(client, "sleep") as outcome:
                wait_until_busy(server)
                client.close()
        assert isinstance(outcome[0], RlmeshError)
        with client_of(server, busy_timeout_seconds=20.0) as client:
            assert client.reset()[1]["pid"] != info["pid"]


def test_a_death_is_not_told_as_an_exit_where_the_server_ignores_its_children() -> None:
    program = """
import contextlib, os, signal, time
import rlmesh
from support.frail_env import FrailEnv, way

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with (
    rlmesh.EnvServer(FrailEnv, isolation="process") as server,
    contextlib.closing(rlmesh.RemoteEnv(server.address)) as client,
):
    client.reset()
    try:
        client.step(way("segfault"))
    except rlmesh.errors.EnvCrashedError as error:
        print("does not report how" in str(error), "exited with" in str(error))
    client.reset()
"""
    with start_python(["-c", program], stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "True False\n")
