"""Where a vector client finds its servers: files that change between episodes, and the DNS."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlmesh
from rlmesh.errors import (
    EndpointUnreachableError,
    InvalidAddressError,
    InvalidArgumentError,
    StateError,
)
from support.serving import serving, start_python

SOON = 20.0


def cart() -> Any:
    return gym.make("CartPole-v1")


@contextlib.contextmanager
def client(source: str, **settings: Any) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    with contextlib.closing(rlmesh.RemoteVectorEnv(source, **settings)) as envs:
        yield envs


def begin(servers: list[rlmesh.EnvServer]) -> None:
    for server in servers:
        server.start()


def test_a_file_may_grow_and_shrink_between_episodes(tmp_path: Path) -> None:
    shared = tmp_path / "servers"
    shared.write_text("# the servers of this run\n\n")
    with contextlib.ExitStack() as stack:
        first, second, third = (
            stack.enter_context(serving(cart(), announce=shared)) for _ in range(3)
        )
        assert shared.read_text().splitlines()[2:] == [
            each.address for each in (first, second, third)
        ]
        envs = stack.enter_context(client(f"file:{shared}"))
        assert envs.num_envs == 3
        envs.reset(seed=0)
        second.shutdown()
        # A session goes on where only the file has changed; this one ends with its server.
        observations, _ = envs.reset(seed=0)
        assert observations.shape == (2, 4)
        assert envs.num_envs == 2
        assert envs.observation_space.shape == (2, 4)
        assert envs.action_space.contains(np.zeros(2, np.int64))
        stack.enter_context(serving(cart(), announce=shared))
        envs.step([0, 1])
        assert envs.num_envs == 2
        observations, _ = envs.reset(seed=0)
        assert envs.num_envs == 3
        assert (
            observations.tobytes()
            == np.stack([cart().reset(seed=n)[0] for n in range(3)]).tobytes()
        )
        envs.send(np.zeros(3, np.int64))
        assert envs.recv()[0].shape == (3, 4)
    assert shared.read_text() == "# the servers of this run\n\n"
    with pytest.raises(StateError, match="is closed"):
        envs.reset(seed=0)


def test_servers_of_a_folder_are_awaited_and_replace_each_other(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        servers = [rlmesh.EnvServer(cart(), announce=tmp_path) for _ in range(3)]
        for server in servers:
            stack.callback(server.shutdown)
        assert not [*tmp_path.iterdir()], "nothing is announced before it answers"
        starting = threading.Timer(0.3, lambda: begin(servers[:2]))
        starting.start()
        envs = stack.enter_context(client(f"file:{tmp_path}", num_envs=2, on_loss="replace"))
        starting.join()
        # What a killed server leaves there, and the draft of a file that is about to be renamed.
        (tmp_path / "killed.address").write_text("tcp://127.0.0.1:1\n")
        (tmp_path / ".draft").write_text("tcp://127.0")
        envs.reset(seed=0)
        servers[2].start()
        servers[0].shutdown()
        lost = envs.step([0, 0])[4]["_rlmesh.env.replaced"]
        assert lost.sum() == 1
        assert not envs.step([0, 0])[3].any()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".draft", "killed.address"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tcp://127.0.0.1:5555\ntcp://127.0", "line 2: 'tcp://127.0' has no line break"),
        ("# none\n", "no address stands in"),
        ("tcp://127.0.0.1:70000\n", "line 1: "),
        ("tcp://127.0.0.1:0\n", "port 0 is for servers"),
        (b"\xff\xfe\n", "holds no text of addresses"),
    ],
)
def test_a_file_without_whole_addresses_is_refused(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    shared = tmp_path / "servers"
    shared.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((InvalidAddressError, EndpointUnreachableError), match=says):
        rlmesh.RemoteVectorEnv(f"file:{shared}")


def test_servers_of_different_contracts_are_refused(tmp_path: Path) -> None:
    with serving(cart(), announce=tmp_path), serving(gym.make("Acrobot-v1"), announce=tmp_path):
        with pytest.raises(InvalidArgumentError, match="equal spaces"):
            rlmesh.RemoteVectorEnv(f"file:{tmp_path}")


def test_too_few_servers_are_an_error_that_counts_them(tmp_path: Path) -> None:
    with serving(cart(), announce=tmp_path):
        with pytest.raises(EndpointUnreachableError, match="no more than 1 sub-environments at 1 "):
            rlmesh.RemoteVectorEnv(f"file:{tmp_path}", num_envs=2, connect_timeout_seconds=0.5)


@pytest.mark.parametrize("source", ["file:", "dns:envs", "dns::5555", "dns:envs:0", "dns:a b:1"])
def test_what_only_begins_like_a_source_is_refused(source: str) -> None:
    with pytest.raises(InvalidAddressError, match=r"no source of addresses|names no file|port 0"):
        rlmesh.RemoteVectorEnv(source)


# Knows a name with two addresses, then one, then none: the program writes its own hosts file.
_NAMED = """
import sys, rlmesh
from rlmesh.errors import EndpointUnreachableError

def know(*hosts):
    with open("/etc/hosts", "w") as file:
        for host in hosts:
            print(host, "envs.test", file=file)

know("127.0.0.3", "127.0.0.2")
envs = rlmesh.RemoteVectorEnv(f"dns:envs.test:{sys.argv[1]}")
print(*envs.reset(seed=0)[0].shape, envs.num_envs)
know("127.0.0.2")
print(*envs.reset(seed=0)[0].shape, envs.num_envs)
know()
try:
    envs.reset(seed=0)
except EndpointUnreachableError as error:
    print(error)
envs.close()
"""


def test_every_address_of_a_name_is_a_server(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.touch()
    # Its own mount namespace, where another file stands in the place of /etc/hosts.
    prefix = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    mount = f'mount --bind {hosts} /etc/hosts && exec "$0" "$@"'
    tried = [*prefix, mount, "true"]
    if shutil.which("unshare") is None or subprocess.run(tried, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    with serving(cart(), "tcp://127.0.0.2:0") as second:
        port = second.address.rpartition(":")[2]
        with (
            serving(cart(), f"tcp://127.0.0.3:{port}"),
            start_python(
                ["-c", _NAMED, port], prefix=(*prefix, mount), stdout=subprocess.PIPE
            ) as it,
        ):
            assert it.stdout is not None
            said = it.stdout.read().splitlines()
            assert it.wait(SOON) == 0
    assert said[:2] == ["2 4 2", "1 4 1"]
    assert "'envs.test'" in said[2]
    assert "has no address" in said[2]


def test_rlmesh_serve_announces_its_address_until_sigterm(tmp_path: Path) -> None:
    command = ["-m", "rlmesh", "serve", "CartPole-v1", "--address", "tcp://127.0.0.1:0"]
    with start_python([*command, "--announce", str(tmp_path)]) as process:
        try:
            with client(f"file:{tmp_path}", num_envs=1, connect_timeout_seconds=SOON) as envs:
                assert envs.reset(seed=0)[0].shape == (1, 4)
            assert len([*tmp_path.glob("*.address")]) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 0
        finally:
            process.kill()
    assert not [*tmp_path.iterdir()]
