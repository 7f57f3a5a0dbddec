"""Processes that are forked while a server or a client lives in their parent."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

import rlmesh
from support.sample_envs import ScriptedEnv
from support.serving import serving, start_python

PRELUDE = """
import contextlib, multiprocessing, os, signal, subprocess, sys, threading
import gymnasium, rlmesh
from support.sample_envs import ScriptedEnv, make

fork = multiprocessing.get_context("fork")
signal.alarm(100)

def in_fork(work):
    '''Has a forked process work and exit as a program does; its exit status.'''
    sys.stdout.flush()
    if pid := os.fork():
        return os.waitpid(pid, 0)[1]
    work()
    sys.exit(0)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(program: str, *arguments: str) -> tuple[int, str, str]:
    """Runs a program; its exit code, what it says, and its complaints."""
    with start_python(
        ["-W", "error", "-c", PRELUDE + program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, complaints = process.communicate(timeout=110)
    return process.returncode, out, complaints


def test_workers_of_an_asynchronous_vector_that_was_made_after_the_import_are_served() -> None:
    program = """
envs = make("async:CartPole-v1", 2)
with rlmesh.EnvServer(envs) as server:
    client = rlmesh.RemoteVectorEnv(server.address)
    client.reset(seed=0)
    for _ in range(20):
        client.step(client.action_space.sample())
    client.close()
print(multiprocessing.active_children())
"""
    assert run(program) == (0, "[]\n", "")


def test_an_asynchronous_vector_may_be_made_while_another_server_and_its_client_live() -> None:
    program = """
with rlmesh.EnvServer(ScriptedEnv()) as first:
    other = rlmesh.RemoteEnv(first.address)
    other.reset()
    envs = make("async:CartPole-v1", 2)
    with rlmesh.EnvServer(envs) as server:
        client = rlmesh.RemoteVectorEnv(server.address)
        client.reset(seed=0)
        for _ in range(20):
            client.step(client.action_space.sample())
            other.step(other.action_space.sample())
        client.close()
    other.close()
print("done")
"""
    assert run(program) == (0, "done\n", "")


def test_spawned_workers_of_an_asynchronous_vector_may_be_clients() -> None:
    program = """
def remote(address):
    return lambda: rlmesh.RemoteEnv(address)

servers = [
    subprocess.Popen([sys.executable, "-m", "support.serve_module", "CartPole-v1"],
                     stdout=subprocess.PIPE, text=True)
    for _ in range(2)
]
addresses = [server.stdout.readline().strip() for server in servers]
# Spawned: it makes a client here first, and gRPC's threads do not survive a fork reliably.
envs = gymnasium.vector.AsyncVectorEnv([remote(a) for a in addresses], context="spawn")
envs.reset(seed=0)
for _ in range(20):
    envs.step(envs.action_space.sample())
envs.close()
for server in servers:
    server.terminate()
    with server:
        assert server.wait(20) == 0
print("done")
"""
    assert run(program) == (0, "done\n", "")


def test_an_environment_may_fork_workers_while_it_is_served() -> None:
    # gRPC's own handlers of forks crash one worker of three: see rlmesh.transports.
    program = """
def step():
    workers = [fork.Process(target=sum, args=((1, 2),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print([worker.exitcode for worker in workers], flush=True)

def drive(server):
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    for _ in range(10):
        client.step(client.action_space.sample())
    client.close()
    server.shutdown()

for begin in (rlmesh.EnvServer.serve, rlmesh.EnvServer.start):
    env = ScriptedEnv()
    env.script["step"] = step
    server = rlmesh.EnvServer(env)
    env_client = threading.Thread(target=drive, args=(server,))
    env_client.start()
    begin(server)
    server.wait()
    env_client.join()
"""
    assert run(program) == (0, "[0, 0, 0]\n" * 20, "")


def test_an_environment_may_run_programs_while_it_is_served() -> None:
    env = ScriptedEnv()

    def step() -> None:
        subprocess.run(["true"], check=True)

    env.script["step"] = step
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv(server.address)) as client,
    ):
        client.reset()
        for _ in range(10):
            client.step(client.action_space.sample())


def test_a_program_that_an_environment_runs_holds_none_of_the_servers_descriptors() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            client.reset()
            listing = subprocess.run(
                ["ls", "-l", "/proc/self/fd"],
                capture_output=True,
                text=True,
                check=True,
                close_fds=False,
            ).stdout
    kept = {os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)}
    inherited = [
        line
        for line in listing.splitlines()
        if ("socket:" in line or "eventpoll" in line or "eventfd" in line)
        and line.rpartition("-> ")[2] not in kept
    ]
    # What this process itself was given by those who started it.
    own = [line for line in inherited if _is_given(int(line.split(" -> ")[0].split()[-1]))]
    assert inherited == own


def _is_given(fd: int) -> bool:
    return os.get_inheritable(fd)


def test_a_forked_process_that_ends_leaves_the_server_of_its_parent_alone() -> None:
    program = """
env = ScriptedEnv()
server = rlmesh.EnvServer(env, path=os.path.abspath("e.sock"))
with server:
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    for work in (lambda: None, server.shutdown, lambda: server.__exit__(None, None, None)):
        assert in_fork(work) == 0
    client.step(client.action_space.sample())
    client.close()
print(env.names())
"""
    assert run(program) == (0, "['reset', 'step', 'close']\n", "")


def test_a_client_is_told_in_a_forked_process_and_goes_on_in_its_own() -> None:
    program = """
def use():
    for call in (client.reset, lambda: client.step(client.action_space.sample())):
        try:
            call()
        except rlmesh.errors.StateError as error:
            assert "this is a fork; make a new client here" in str(error), error
        else:
            raise SystemExit(1)
    client.close()

with rlmesh.EnvServer(ScriptedEnv()) as server:
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    print(in_fork(use), in_fork(lambda: None))
    client.step(client.action_space.sample())
    client.close()
"""
    assert run(program) == (0, "0 0\n", "")


FORKED_CLIENT = """
def make(address):
    try:
        rlmesh.RemoteEnv(address)
    except rlmesh.errors.StateError as error:
        assert 'get_context("spawn")' in str(error), error
    else:
        raise SystemExit(3)

def remote(address):
    return lambda: rlmesh.RemoteEnv(address)

address = "{address}"
{program}
print("done")
"""


def run_beside_a_server(program: str) -> tuple[int, str, str]:
    """Runs a program with the functions above; `address` is that of a server in this process."""
    with serving(ScriptedEnv()) as server:
        return run(FORKED_CLIENT.format(program=program, address=server.address))


@pytest.mark.parametrize(
    "program",
    [
        """
rlmesh.RemoteEnv(address).close()
assert in_fork(lambda: make(address)) == 0
# A fork of a fork.
def twice():
    assert in_fork(lambda: make(address)) == 0
assert in_fork(twice) == 0
# As multiprocessing forks.
process = fork.Process(target=make, args=(address,))
process.start()
process.join()
assert process.exitcode == 0
""",
        "with rlmesh.EnvServer(ScriptedEnv()): assert in_fork(lambda: make(address)) == 0",
    ],
    ids=["client", "server"],
)
def test_a_client_made_in_a_fork_of_a_process_that_used_grpc_is_refused_at_once(
    program: str,
) -> None:
    assert run_beside_a_server(program) == (0, "done\n", "")


def test_a_server_made_in_a_fork_of_a_process_that_used_grpc_is_refused_at_once() -> None:
    program = """
rlmesh.RemoteEnv(address).close()

def serve():
    env = ScriptedEnv()
    try:
        kind(env)
    except rlmesh.errors.StateError as error:
        assert "a server made here would hang" in str(error), error
        assert 'get_context("spawn")' in str(error), error
        assert env.names() == []
    else:
        raise SystemExit(3)

for kind in (rlmesh.EnvServer, rlmesh.ModelWorker):
    assert in_fork(serve) == 0
"""
    assert run_beside_a_server(program) == (0, "done\n", "")


def test_a_server_may_be_made_in_a_fork_of_a_process_that_did_not_use_grpc() -> None:
    program = """
def serve():
    with rlmesh.EnvServer(ScriptedEnv()) as server, rlmesh.RemoteEnv(server.address) as env:
        env.reset()

for _ in range(2):
    assert in_fork(serve) == 0
"""
    assert run_beside_a_server(program) == (0, "done\n", "")


def test_a_server_serves_only_in_the_process_that_made_it() -> None:
    program = """
def serve():
    try:
        getattr(server, verb)()
    except rlmesh.errors.StateError as error:
        assert f"made in process {os.getppid()}" in str(error), error
    else:
        raise SystemExit(3)

for verb in ("serve", "start", "wait", "__enter__"):
    server = rlmesh.EnvServer(ScriptedEnv())
    assert in_fork(serve) == 0
    with server, rlmesh.RemoteEnv(server.address) as env:
        env.reset()
        if verb == "wait":
            assert in_fork(serve) == 0
        env.step(env.action_space.sample())
    print(verb)
"""
    assert run(program) == (0, "serve\nstart\nwait\n__enter__\n", "")


def test_an_asynchronous_vector_of_clients_in_forks_says_what_to_do() -> None:
    program = """
gymnasium.vector.AsyncVectorEnv([remote(address)], context="fork")
"""
    code, _, complaints = run_beside_a_server(program)
    # Gymnasium's worker dies of the error, which its process prints.
    assert code == 1
    assert "StateError" in complaints
    assert 'AsyncVectorEnv(..., context="spawn")' in complaints


def test_clients_may_be_made_in_forks_of_a_process_that_did_not_use_grpc() -> None:
    program = """
def drive():
    with rlmesh.RemoteEnv(address) as env:
        env.reset()

for _ in range(2):
    assert in_fork(drive) == 0
"""
    assert run_beside_a_server(program) == (0, "done\n", "")


def test_importing_rlmesh_leaves_the_variables_of_the_environment_as_they_were() -> None:
    program = """
print(sorted(os.environ.keys() & {"GRPC_ENABLE_FORK_SUPPORT", "GRPC_VERBOSITY"}))
"""
    assert run(program) == (0, "[]\n", "")


# What the child of an environment does after the fork, and how its process ends by that: the code,
# and a sign on standard error.
CHILDREN = {
    "returns": ("pass", 0, ""),
    "raises": ("raise ValueError('only here')", 1, "ValueError: only here"),
    "exits": ("sys.exit(7)", 7, ""),
    "exits with a text": ("sys.exit('so be it')", 1, "so be it"),
    "fails to run a program": ("os.execvp('/no/such/program', ['it'])", 1, "FileNotFoundError"),
}
FORKING = """
import numpy as np

def fork_in(call, child):
    def act():
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            print(f"child of {call}")
            exec(child)
            return None
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(call, code, flush=True)
    return act

class Forking(ScriptedEnv):
    def look(self):
        return self._perform("look", "seen")

def drive():
    try:
        use(rlmesh.RemoteEnv(server.address, transport=transport))
    finally:
        server.shutdown()

def use(client):
    for _ in range(2):
        assert client.reset(seed=0)[0].tolist() == [0, 0]
    for number in range(1, 4):
        assert client.step(np.ones(2, np.float32))[0].tolist() == [number, number]
    assert client.get_wrapper_attr("look")() == "seen"
    assert client.render() == "a picture"
    assert client.step(np.ones(2, np.float32))[0].tolist() == [4, 4]
    client.close()

begin, isolation = sys.argv[1:3]
for number, (transport, child) in enumerate(zip(sys.argv[3::2], sys.argv[4::2])):
    if number:
        print("next", file=sys.stderr, flush=True)
    env = Forking()
    env.script = {
        call: fork_in(call, child) for call in ("reset", "step", "look", "render", "close")
    }
    server = rlmesh.EnvServer(
        env if isolation == "none" else lambda: env,
        expose=("look",),
        direct="tcp://127.0.0.1:0",
        isolation=None if isolation == "none" else isolation,
    )
    driver = threading.Thread(target=drive)
    driver.start()
    getattr(server, begin)()
    server.wait()
    driver.join()
    print("end", flush=True)
"""
CALLS = ["reset"] * 2 + ["step"] * 3 + ["look", "render", "step", "close"]


# Every end on the environment's own thread; on the main thread and in a worker's process, those
# that go different ways; the transports differ in what the child has open.
@pytest.mark.parametrize(
    ("begin", "isolation", "children"),
    [
        ("start", "none", [("shm", child) for child in CHILDREN]),
        ("serve", "none", [("grpc", "returns"), ("grpc", "raises"), ("direct", "exits")]),
        # What a worker complains about passes through its server, which takes its time.
        ("start", "process", [("shm", "returns")]),
        ("start", "process", [("shm", "raises")]),
        ("start", "process", [("shm", "exits with a text")]),
    ],
    ids=["own thread", "main thread", "worker", "raising worker", "exiting worker"],
)
def test_a_process_that_a_call_forks_ends_with_the_call_and_answers_nobody(
    begin: str, isolation: str, children: list[tuple[str, str]]
) -> None:
    given = [text for transport, child in children for text in (transport, CHILDREN[child][0])]
    returncode, out, complaints = run(FORKING, begin, isolation, *given)
    expected: list[str] = []
    for _, child in children:
        code = CHILDREN[child][1]
        expected += [line for call in CALLS for line in (f"child of {call}", f"{call} {code}")]
        expected.append("end")
    assert (returncode, out.splitlines()) == (0, expected), complaints
    for (_, child), complaint in zip(children, complaints.split("next\n"), strict=True):
        sign = CHILDREN[child][2]
        if sign:
            assert complaint.count(sign) == len(CALLS), complaint
        else:
            assert complaint == ""


def test_a_callable_that_forks_while_it_makes_an_environment_makes_it_once() -> None:
    program = """
def make():
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        return ScriptedEnv()
    print("made", os.waitpid(pid, 0)[1], flush=True)
    return ScriptedEnv()

with rlmesh.EnvServer(make, sessions=1) as server:
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    client.close()
print("end")
"""
    assert run(program) == (0, "made 0\nend\n", "")
