"""SIGINT and SIGTERM in processes that serve: with `serve()`, and with `start(); wait()`."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import rlmesh
from rlmesh.client.probing import fetch_status, wait_until_serving
from rlmesh.errors import ConnectionLostError, EndpointDrainingError, EndpointError
from support.serving import start_python
from support.watching import wait_until_draining

SOON = 30.0
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
HANGING = {
    "sleep": "time.sleep(1e6)",
    "a lock": "(lock := threading.Lock()).acquire() and lock.acquire()",
    "an event": "threading.Event().wait()",
    "a pipe": "os.read(os.pipe()[0], 1)",
    "a loop": "all(True for _ in itertools.count())",
    "a program": "subprocess.run(['sleep', '1000'])",
}
IN_C = "hashlib.pbkdf2_hmac('sha256', b'', b'', (1 << 31) - 1)"
# An environment that tells on standard output what it is called for.
PROGRAM = """
import hashlib, itertools, logging, os, signal, subprocess, sys, threading, time
import rlmesh
from support.sample_envs import ScriptedEnv

verb, step, close, drain = sys.argv[1:]
handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

def at(name, code):
    def act():
        print(name, flush=True)
        exec(code)
    return act

env = ScriptedEnv()
env.script = {"step": at("step", step), "close": at("close", close)}
options = rlmesh.ServeOptions(drain_timeout_seconds=eval(drain), close_timeout_seconds=eval(drain))
server = rlmesh.EnvServer(env, options=options)

def announce():
    # start() lets clients in before wait() has the signals, and nothing else tells of them.
    while signal.getsignal(signal.SIGTERM) == handlers[1]:
        time.sleep(0.001)
    print(server.address, flush=True)

threading.Thread(target=announce, daemon=True).start()
if verb == "serve":
    server.serve()
else:
    server.start()
    assert server.wait() is True
assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
assert signal.set_wakeup_fd(-1) == -1
assert "rlmesh-signals" not in {thread.name for thread in threading.enumerate()}
print("returned", flush=True)
"""


class Server:
    """A process that runs the program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def go_on(self) -> None:
        """Ends a wait for a line of standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, list[str], str]:
        """How it ends: its code, what else it says, and its complaints."""
        out, err = self.process.communicate(timeout=SOON)
        return self.process.returncode, out.splitlines(), err


@contextlib.contextmanager
def server(
    verb: str, *, step: str = "pass", close: str = "pass", limit: float | None = None
) -> Generator[Server]:
    arguments = ["-W", "error", "-c", PROGRAM, verb, step, close, repr(limit)]
    pipe = subprocess.PIPE
    with start_python(arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            served = Server(process)
            wait_until_serving(served.address, SOON)
            yield served
        finally:
            process.kill()


@contextlib.contextmanager
def stepping(served: Server) -> Generator[Future[Any]]:
    """A client whose step has begun; gives what it will be answered."""
    with (
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](served.address)) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.reset(seed=0)
        answer = pool.submit(client.step, client.action_space.sample())
        try:
            assert served.line() == "step"
            yield answer
        except BaseException:
            served.process.kill()
            raise


VERBS = pytest.mark.parametrize("verb", ["serve", "start"])


@BOTH
@VERBS
@pytest.mark.parametrize("clients", [0, 1])
def test_a_signal_closes_the_environment_restores_the_handlers_and_exits_0(
    verb: str, number: signal.Signals, clients: int
) -> None:
    with server(verb) as served, contextlib.ExitStack() as stack:
        for _ in range(clients):
            client = rlmesh.RemoteEnv[Any, Any](served.address)
            stack.callback(client.close)
            client.reset(seed=0)
        served.send(number)
        assert served.end() == (0, ["close", "returned"], "")


@BOTH
@VERBS
def test_a_call_in_flight_finishes_and_its_answer_reaches_the_client(
    verb: str, number: signal.Signals
) -> None:
    with server(verb, step="sys.stdin.readline()") as served, stepping(served) as answer:
        served.send(number)
        wait_until_draining(served.address)
        assert fetch_status(served.address, SOON).state == "draining"
        assert fetch_status(served.address, SOON).call == "step"
        assert not answer.done()
        served.go_on()
        answer.result(SOON)
        assert served.end() == (0, ["close", "returned"], "")


@VERBS
def test_a_signal_that_is_sent_twice_at_once_is_one_wish(verb: str) -> None:
    # As `timeout` and terminals do, which ask a process and its group.
    with server(verb, step="sys.stdin.readline()") as served, stepping(served) as answer:
        served.send(signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
        wait_until_draining(served.address)
        served.go_on()
        answer.result(SOON)
        assert served.end() == (0, ["close", "returned"], "")


@BOTH
@VERBS
@pytest.mark.parametrize("how", ["time.sleep(1e6)", IN_C], ids=["in Python", "in C"])
def test_a_second_signal_ends_an_environment_that_hangs(
    verb: str, number: signal.Signals, how: str
) -> None:
    with server(verb, step=how) as served, stepping(served) as answer:
        served.send(number)
        wait_until_draining(served.address)
        # Until it is another wish and not the same once more.
        with contextlib.suppress(subprocess.TimeoutExpired):
            while True:
                served.send(number)
                served.process.wait(0.2)
                break
        while served.process.poll() is None:
            served.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                served.process.wait(0.2)
        assert served.end() == (128 + number, [], "")
        with pytest.raises(ConnectionLostError):
            answer.result(SOON)


@pytest.mark.parametrize("how", HANGING)
def test_a_call_that_hangs_on_the_main_thread_is_interrupted_after_its_time(how: str) -> None:
    with server("serve", step=HANGING[how], limit=0.2) as served, stepping(served) as answer:
        served.send(signal.SIGTERM)
        with pytest.raises(EndpointDrainingError, match=r"step\(\) did not return in the time"):
            answer.result(SOON)
        code, said, complaints = served.end()
    assert (code, said) == (0, ["close", "returned"])
    assert complaints.startswith("the environment's step() did not return within 0.2 s; it is at")
    assert "in act" in complaints
    assert "CallInterruptedError" in complaints


def test_a_close_that_hangs_on_the_main_thread_is_interrupted_after_its_time() -> None:
    with server("serve", close="time.sleep(1e6)", limit=0.2) as served:
        served.send(signal.SIGTERM)
        code, said, complaints = served.end()
    assert (code, said) == (0, ["close", "returned"])
    assert "close() did not return within 0.2 s" in complaints


def test_a_call_that_cannot_be_interrupted_keeps_only_its_own_thread() -> None:
    with server("start", step=IN_C, limit=0.2) as served, stepping(served) as answer:
        served.send(signal.SIGTERM)
        with pytest.raises(EndpointDrainingError):
            answer.result(SOON)
        code, said, complaints = served.end()
    assert (code, said) == (0, ["returned"])
    assert "step() did not return within 0.2 s" in complaints


def test_a_server_whose_environment_is_in_c_code_drains_at_once_and_says_where_it_is() -> None:
    with server("serve", step=IN_C) as served, stepping(served):
        served.send(signal.SIGTERM)
        wait_until_draining(served.address)
        status = fetch_status(served.address, SOON)
        assert (status.state, status.call) == ("draining", "step")
        assert "in act" in status.stack
        with pytest.raises(EndpointError):
            rlmesh.RemoteEnv(served.address)
        served.process.kill()


def test_handlers_that_the_environment_installs_are_left_alone() -> None:
    # And no signal is sent to a process that would die of it.
    code = "signal.signal(signal.SIGTERM, signal.SIG_DFL)"
    with server("start", step=code, limit=0.2) as served:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](served.address)) as client:
            client.reset()
            with pytest.raises(rlmesh.errors.RemoteEnvError, match="main thread"):
                client.step(client.action_space.sample())
        served.send(signal.SIGTERM)
        assert served.end()[0] == 0
    code = "signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(1e6)"
    with server("serve", step=code, limit=0.2) as served, stepping(served):
        served.send(signal.SIGINT)
        wait_until_draining(served.address)
        assert served.process.poll() is None
        served.process.kill()


@VERBS
def test_a_worker_that_the_environment_forks_dies_of_a_signal_unheard_by_the_server(
    verb: str,
) -> None:
    code = (
        "import multiprocessing as m; p = m.get_context('fork').Process(target=time.sleep, "
        "args=(1000,)); p.start(); p.terminate(); p.join(20); print(p.exitcode, flush=True)"
    )
    with server(verb, step=code) as served:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](served.address)) as client:
            client.reset(seed=0)
            client.step(client.action_space.sample())
            assert served.line() == "step"
            assert served.line() == str(-signal.SIGTERM)
            client.reset(seed=0)
        served.send(signal.SIGTERM)
        assert served.end() == (0, ["close", "returned"], "")


def test_a_signal_between_construction_and_start_does_what_it_does_without_a_server() -> None:
    program = "import rlmesh, signal; from support.sample_envs import ScriptedEnv\n"
    program += "rlmesh.EnvServer(ScriptedEnv()); signal.raise_signal(signal.SIGTERM)"
    with start_python(["-c", program], stderr=subprocess.PIPE) as process:
        process.communicate(timeout=SOON)
    assert process.returncode == -signal.SIGTERM


def test_serving_on_another_thread_leaves_the_signals_to_the_program() -> None:
    program = """
import signal, threading
import rlmesh
from support.sample_envs import ScriptedEnv
server = rlmesh.EnvServer(ScriptedEnv())
thread = threading.Thread(target=server.serve)
thread.start()
rlmesh.RemoteEnv(server.address).close()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    server.shutdown()
thread.join()
"""
    with start_python(["-W", "error", "-c", program], stderr=subprocess.PIPE) as process:
        _, complaints = process.communicate(timeout=SOON)
    assert (process.returncode, complaints) == (0, "")


def test_a_handler_of_the_program_may_shut_down_the_server_that_the_main_thread_waits_for() -> None:
    program = """
import os, signal, threading
import rlmesh
from support.sample_envs import ScriptedEnv
server = rlmesh.EnvServer(ScriptedEnv())
signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
server.start()
rlmesh.RemoteEnv(server.address).close()
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
assert server.wait() is True
"""
    with start_python(["-W", "error", "-c", program], stderr=subprocess.PIPE) as process:
        _, complaints = process.communicate(timeout=SOON)
    assert (process.returncode, complaints) == (0, "")


def test_what_a_handler_of_the_program_raises_ends_serve_with_the_environment_closed() -> None:
    program = """
import os, signal, threading
import rlmesh
from support.sample_envs import ScriptedEnv
env = ScriptedEnv()
server = rlmesh.EnvServer(env)
def ring(*_):
    raise LookupError("alarm")
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    server.serve()
except LookupError:
    assert env.names() == ["close"] and server.wait(0)
    print("raised")
"""
    with start_python(
        ["-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        said, complaints = process.communicate(timeout=SOON)
    assert (process.returncode, said, complaints) == (0, "raised\n", "")
