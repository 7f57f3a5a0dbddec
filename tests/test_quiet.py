"""Nothing is printed that nobody asked for: neither by us, nor by gRPC."""

from __future__ import annotations

import subprocess

import pytest

from support.serving import start_python

PROGRAM = """
import contextlib, multiprocessing, os, signal, subprocess, sys, threading, time
import rlmesh
from support.sample_envs import ScriptedEnv

def client_in_a_process(address, *, then):
    code = (
        "import sys, rlmesh; client = rlmesh.RemoteEnv(sys.argv[1]); client.reset(); "
        "print('in', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, address],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    with process:
        process.stdout.readline()
        then(process)

def server_in_a_process(then):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "support.serve_module", "scripted"],
        stdout=subprocess.PIPE, text=True,
    )
    with process:
        then(process, process.stdout.readline().strip())
"""

SCENES = {
    "an episode": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    for _ in range(10):
        client.step(client.action_space.sample())
    client.close()
""",
    "a connection that is refused": """
for address in ("127.0.0.1:1", "unix:///nowhere.sock"):
    with contextlib.suppress(rlmesh.errors.EndpointUnreachableError):
        rlmesh.RemoteEnv(address, connect_timeout_seconds=0.5)
""",
    "an unknown host": """
with contextlib.suppress(rlmesh.errors.EndpointUnreachableError):
    rlmesh.RemoteEnv("nowhere.invalid:1", connect_timeout_seconds=0.5)
""",
    "an address that cannot be bound": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    for address in (server.address, "tcp://192.0.2.7:0"):
        with contextlib.suppress(rlmesh.errors.EndpointError, rlmesh.errors.InvalidAddressError):
            rlmesh.EnvServer(ScriptedEnv(), address, insecure=True)
""",
    "a shutdown with a client connected": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    client = rlmesh.RemoteEnv(server.address)
    client.reset()
    server.shutdown()
with contextlib.suppress(rlmesh.errors.EndpointError):
    client.reset()
client.close()
""",
    "a shutdown with a client connected in another process": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    client_in_a_process(server.address, then=lambda process: server.shutdown())
""",
    "a client that is killed": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    client_in_a_process(server.address, then=lambda process: process.kill())
    while True:
        with contextlib.suppress(rlmesh.errors.EndpointBusyError):
            rlmesh.RemoteEnv(server.address).close()
            break
""",
    "a server that is killed": """
def then(process, address):
    client = rlmesh.RemoteEnv(address)
    client.reset()
    process.kill()
    process.wait()
    with contextlib.suppress(rlmesh.errors.EndpointError):
        client.step(client.action_space.sample())
    client.close()
server_in_a_process(then)
""",
    "a server that is ended": """
def then(process, address):
    client = rlmesh.RemoteEnv(address)
    client.reset()
    process.terminate()
    assert process.wait() == 0
    with contextlib.suppress(rlmesh.errors.EndpointError):
        client.step(client.action_space.sample())
    client.close()
server_in_a_process(then)
""",
    "a program that shuts nothing down": """
server = rlmesh.EnvServer(ScriptedEnv())
server.start()
client = rlmesh.RemoteEnv(server.address)
client.reset()
""",
    "a program that starts nothing": """
server = rlmesh.EnvServer(ScriptedEnv())
""",
    "a stranger": """
import socket
with rlmesh.EnvServer(ScriptedEnv()) as server:
    host, _, port = server.address.removeprefix("tcp://").rpartition(":")
    for hello in (b"", b"GET / HTTP/1.1\\r\\n\\r\\n", b"\\x16\\x03\\x01" + bytes(500)):
        with socket.create_connection((host, int(port))) as stranger:
            stranger.sendall(hello)
    rlmesh.RemoteEnv(server.address).close()
""",
    "a call that is given up": """
env = ScriptedEnv()
go = threading.Event()
with rlmesh.EnvServer(env) as server:
    client = rlmesh.RemoteEnv(server.address, request_timeout_seconds=0.1)
    env.script["reset"] = lambda: go.wait() and None
    with contextlib.suppress(rlmesh.errors.CallTimeoutError):
        client.reset()
    client.close()
    go.set()
""",
    "a second client": """
with rlmesh.EnvServer(ScriptedEnv()) as server:
    client = rlmesh.RemoteEnv(server.address)
    with contextlib.suppress(rlmesh.errors.EndpointBusyError):
        rlmesh.RemoteEnv(server.address)
    client.close()
""",
}


# They end as they would without another scene before them.
ALONE = ("a program that shuts nothing down", "a program that starts nothing")


def run(scenes: str) -> tuple[int, str, str]:
    """Runs a program; its exit code, and what it printed to both streams."""
    with start_python(
        ["-W", "error", "-c", PROGRAM + scenes], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        said, complaints = process.communicate(timeout=100)
    return process.returncode, said, complaints


def test_nothing_is_printed_in_any_scene() -> None:
    titles = [title for title in SCENES if title not in ALONE]
    # What a scene prints stands after its title.
    scenes = "".join(f"print({title!r}, file=sys.stderr)\n{SCENES[title]}" for title in titles)
    assert run(scenes) == (0, "", "".join(f"{title}\n" for title in titles))


@pytest.mark.parametrize("scene", ALONE)
def test_nothing_is_printed_at_the_end(scene: str) -> None:
    assert run(SCENES[scene]) == (0, "", "")
