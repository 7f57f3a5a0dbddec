"""Nothing is left over, however often a server is started and a client connects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.serving import start_python

# Counts threads, descriptors and memory of a process of its own, in which nothing else happens.
PROGRAM = """
import contextlib, gc, logging, os, resource, sys, threading
import rlmesh
from support.sample_envs import ScriptedEnv

# Exceptions of the environment are logged; nobody reads them here.
logging.getLogger("rlmesh").setLevel(100)
os.chdir(sys.argv[1])

def count():
    gc.collect()
    # Threads of gRPC end a moment after the call that they served.
    for thread in set(threading.enumerate()) - lasting:
        thread.join(10)
    gc.collect()
    with open("/proc/self/statm") as pages:
        resident = int(pages.read().split()[1]) * resource.getpagesize()
    return sorted(thread.name for thread in threading.enumerate()), descriptors(), resident

def descriptors():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}").split("[")[0].split(":")[0])
    return sorted(found)
SETUP
lasting = set(threading.enumerate())

def cycle(number):CYCLE
for number in range(int(sys.argv[2])):
    cycle(number)
before = count()
for number in range(int(sys.argv[3])):
    cycle(number)
after = count()
assert after[0] == before[0], (before[0], after[0])
assert after[1] == before[1], (before[1], after[1])
print(after[2] - before[2])
"""

CYCLES = {
    "serve, connect, step, close": """
    where = {"path": os.path.abspath("e.sock")} if number % 2 else {}
    env = ScriptedEnv()
    if number % 4 < 2:
        with rlmesh.EnvServer(env, **where) as server:
            client = rlmesh.RemoteEnv(server.address)
            client.reset()
            client.step(client.action_space.sample())
            client.close()
    else:
        server = rlmesh.EnvServer(env, **where)
        def drive():
            client = rlmesh.RemoteEnv(server.address)
            client.reset()
            client.step(client.action_space.sample())
            client.close()
            server.shutdown()
        env_client = threading.Thread(target=drive)
        env_client.start()
        server.serve()
        env_client.join()
    assert env.names() == ["reset", "step", "close"]
    assert os.listdir() == [], os.listdir()
""",
    "a shutdown with a client connected, which is never closed": """
    with rlmesh.EnvServer(ScriptedEnv()) as server:
        client = rlmesh.RemoteEnv(server.address)
        client.reset()
    try:
        client.reset()
    except rlmesh.errors.EndpointError:
        pass
    del client
""",
    "servers that are never started": """
    rlmesh.EnvServer(ScriptedEnv(), path=os.path.abspath("e.sock")).shutdown()
    rlmesh.EnvServer(ScriptedEnv()).shutdown()
    assert os.listdir() == [], os.listdir()
""",
    "servers that cannot be made": """
    with rlmesh.EnvServer(ScriptedEnv()) as server:
        for _ in range(3):
            try:
                rlmesh.EnvServer(ScriptedEnv(), server.address)
            except rlmesh.errors.AddressInUseError:
                continue
            raise AssertionError
""",
    "clients that no server answers": """
    try:
        rlmesh.RemoteEnv("127.0.0.1:1", connect_timeout_seconds=0.01)
    except rlmesh.errors.EndpointUnreachableError:
        pass
""",
    "clients that are refused": """
    with rlmesh.EnvServer(ScriptedEnv()) as server:
        client = rlmesh.RemoteEnv(server.address)
        for connect in (rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv):
            try:
                connect(server.address)
            except (rlmesh.errors.EndpointBusyError, rlmesh.errors.WrongEndpointKindError):
                continue
            raise AssertionError
        client.close()
""",
    "calls that are given up": """
    env = ScriptedEnv()
    go = threading.Event()
    with rlmesh.EnvServer(env) as server:
        client = rlmesh.RemoteEnv(server.address, request_timeout_seconds=0.05)
        with contextlib.suppress(rlmesh.errors.CallTimeoutError):
            client.reset()
        env.script["step"] = lambda: go.wait() and None
        try:
            client.step(client.action_space.sample())
        except (rlmesh.errors.CallTimeoutError, rlmesh.errors.StateError):
            pass
        go.set()
        client.close()
""",
    "exceptions of the environment": """
    env = ScriptedEnv()
    def fail():
        held = bytearray(1_000_000)
        raise ValueError("with a megabyte in its frame")
    env.script["reset"] = fail
    with rlmesh.EnvServer(env) as server:
        client = rlmesh.RemoteEnv(server.address)
        for _ in range(5):
            try:
                client.reset()
            except rlmesh.errors.RemoteEnvError:
                continue
            raise AssertionError
        client.close()
""",
}
# The issue's own number, for the cycle that it names.
NUMBERS = {"serve, connect, step, close": 200}
# What 200 cycles may cost: less than what one of them would leave if it left its server.
MEGABYTES = 8
CYCLES_OF_OTHERS, MEGABYTES_OF_OTHERS = 20, 5


def growth(cycle: str, folder: Path, *, warm: int, cycles: int, setup: str = "") -> int:
    """Runs cycles in a process; how many bytes it holds more after them than before."""
    program = PROGRAM.replace("SETUP", setup).replace("CYCLE", cycle)
    with start_python(
        ["-W", "error", "-c", program, str(folder), str(warm), str(cycles)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        grown, complaints = process.communicate(timeout=110)
    assert (process.returncode, complaints) == (0, "")
    return int(grown)


@pytest.mark.parametrize("what", CYCLES)
def test_a_cycle_leaves_no_thread_no_descriptor_no_file_and_no_memory(
    what: str, tmp_path: Path
) -> None:
    cycles = NUMBERS.get(what, CYCLES_OF_OTHERS)
    allowed = MEGABYTES if what in NUMBERS else MEGABYTES_OF_OTHERS
    assert growth(CYCLES[what], tmp_path, warm=20, cycles=cycles) < allowed * 1_000_000


def test_a_session_of_many_calls_and_exceptions_leaves_no_memory(tmp_path: Path) -> None:
    setup = """
def fail():
    held = bytearray(1_000_000)
    raise ValueError("no picture")

env = ScriptedEnv()
env.script["render"] = fail
server = rlmesh.EnvServer(env)
server.start()
client = rlmesh.RemoteEnv(server.address)
client.reset()
action = client.action_space.sample()
"""
    cycle = """
    for _ in range(50):
        client.step(action)
    with contextlib.suppress(rlmesh.errors.RemoteEnvError):
        client.render()
    client.reset()
    env.calls.clear()
    env.actions.clear()
"""
    grown = growth(cycle, tmp_path, warm=20, cycles=60, setup=setup)
    assert grown < MEGABYTES * 1_000_000
