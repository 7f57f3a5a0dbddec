"""What docs/transports.md says: who gets which transport, and how far it may be trusted."""

from __future__ import annotations

import ast
import contextlib
import functools
import json
import os
import queue
import signal
import subprocess
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import rlmesh
from rlmesh.address import parse_address
from rlmesh.errors import ConnectionLostError, InvalidArgumentError
from rlmesh.transports.listener import enter_direct, enter_memory
from rlmesh.transports.pipe import WakeReason
from rlmesh.transports.transport import TRANSPORTS
from rlmesh_api.v1 import env_service_pb2_grpc, session_pb2
from support.pages import code, tables
from support.processes import served
from support.sample_envs import ScriptedEnv, make
from support.serving import serving, start_python

TABLES = tables("docs/transports.md")
CHOICES = {row[0]: row[1] for row in TABLES["What a client chooses: You ask for"]}
OFFERS = {row[0]: row[1] for row in TABLES["What a server offers: Arguments of `EnvServer`"]}
DIRECT = "tcp://127.0.0.1:0"


@pytest.fixture(autouse=True)
def _nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLMESH_TRANSPORT", raising=False)


def arguments(cell: str) -> dict[str, Any]:
    """The keyword arguments that stand in a cell of the page."""
    call = ast.parse(f"f({', '.join(code(cell))})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def transport_at(address: str, **asked: Any) -> str:
    """The transport that a client gets, which then resets and steps."""
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, **asked)) as client:
        client.reset(seed=0)
        client.step(client.action_space.sample())
        return client.transport


# What a client chooses.


@pytest.mark.parametrize("asked", CHOICES)
def test_a_client_gets_what_the_page_says_it_gets(asked: str) -> None:
    wanted = arguments(asked)
    with (
        serving(ScriptedEnv(), direct=DIRECT) as every,
        serving(ScriptedEnv(), transports=()) as none,
    ):
        if "Error" in CHOICES[asked]:
            with pytest.raises(
                InvalidArgumentError, match="transport must be one of shm, direct, grpc"
            ):
                transport_at(every.address, **wanted)
            return
        told = code(CHOICES[asked])
        assert transport_at(every.address, **wanted) == told[0]
        assert transport_at(none.address, **wanted) == told[-1] == "grpc"


def test_a_client_that_asks_for_nothing_goes_down_the_list() -> None:
    order = code(CHOICES["nothing"])
    assert order == ["shm", "direct", "grpc"]
    settings: list[dict[str, Any]] = [
        {"direct": DIRECT},
        {"direct": DIRECT, "transports": ("direct",)},
        {"transports": ()},
    ]
    for setting, transport in zip(settings, order, strict=True):
        with serving(ScriptedEnv(), **setting) as server:
            assert transport_at(server.address) == transport


def test_the_argument_goes_before_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "grpc")
    with serving(ScriptedEnv()) as server:
        assert transport_at(server.address) == "grpc"
        assert transport_at(server.address, transport="shm") == "shm"


# What a server offers.


@pytest.mark.parametrize("given", OFFERS)
def test_a_server_offers_what_the_page_says_it_offers(given: str) -> None:
    settings = arguments(given) if "=" in given else {}
    if "Error" in OFFERS[given]:
        with pytest.raises(InvalidArgumentError, match="direct"):
            rlmesh.EnvServer(ScriptedEnv(), **settings)
        return
    with serving(ScriptedEnv(), **settings) as server:
        had = [
            transport
            for transport in TRANSPORTS
            if transport_at(server.address, transport=transport) == transport
        ]
        assert (server.direct_address is not None) == ("direct" in had)
    assert had == code(OFFERS[given])


@pytest.mark.parametrize(
    ("address", "dialled"),
    [
        ("unix://{}/e.sock", "unix://{}/e.sock"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:{pipe}"),
        ("tcp://127.0.0.1:0", "tcp://localhost:{pipe}"),
        ("tcp://[::1]:0", "tcp://[::1]:{pipe}"),
    ],
)
def test_where_direct_stands_for_every_address_clients_take_the_servers_host(
    address: str, dialled: str, tmp_path: Path
) -> None:
    everywhere = "tcp://[::]:0" if "[" in address else "tcp://0.0.0.0:0"
    wanted = address.format(tmp_path)
    with serving(ScriptedEnv(), wanted, direct=everywhere, insecure=True) as server:
        pipe = server.address.rpartition(":")[2]
        assert transport_at(dialled.format(tmp_path, pipe=pipe), transport="direct") == "direct"


# What a client gets elsewhere.

# Another process, which becomes another user where one is given, as it would be told.
ELSEWHERE = """
import encodings.idna, json, os, sys
import rlmesh
own, user, *addresses = sys.argv[1:]
def transport_at(address):
    with rlmesh.RemoteEnv(address) as env:
        env.reset(seed=0)
        env.step(env.action_space.sample())
        return env.transport
# All modules are imported then: the other user may not be allowed to read them.
transport_at(own)
if int(user):
    os.setresuid(int(user), int(user), int(user))
print(json.dumps([transport_at(address) for address in addresses]))
"""
NOBODY = 65534


def transports_elsewhere(
    *addresses: str, own: str, namespaces: tuple[str, ...] = (), user: int = 0
) -> list[str]:
    """The transports that another process gets; it must have nothing to say about them.

    Args:
        *addresses: Where it connects.
        own: Where it connects before it becomes another user.
        namespaces: The options of `unshare` for namespaces of its own.
        user: The user that it becomes; 0: none.
    """
    program = ["-W", "error", "-c", ELSEWHERE, own, str(user), *addresses]
    prefix = ["unshare", "--map-root-user", *namespaces] if namespaces else []
    if prefix and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this process may make no namespaces")
    with start_python(
        program, prefix=prefix, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        out, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    transports: list[str] = json.loads(out)
    return transports


@contextlib.contextmanager
def two_servers(folder: Path) -> Generator[tuple[str, str]]:
    """The addresses, Unix sockets, of a server without a direct transport and of one with it."""
    with (
        serving(ScriptedEnv(), f"unix://{folder}/plain.sock") as plain,
        serving(ScriptedEnv(), f"unix://{folder}/direct.sock", direct=DIRECT) as direct,
    ):
        yield plain.address, direct.address


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "unix://{}/e.sock"])
def test_here_a_client_shares_memory_whatever_the_address(address: str, tmp_path: Path) -> None:
    with serving(ScriptedEnv(), address.format(tmp_path)) as server:
        assert transports_elsewhere(server.address, own=server.address) == ["shm"]


def test_a_client_that_shares_only_the_network_shares_memory(tmp_path: Path) -> None:
    with two_servers(tmp_path) as addresses:
        namespaces = ("--pid", "--fork", "--ipc", "--mount", "--uts")
        transports = transports_elsewhere(*addresses, own=addresses[0], namespaces=namespaces)
    assert transports == ["shm", "shm"]


def test_a_client_with_a_network_of_its_own_gets_the_stream_and_no_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with two_servers(tmp_path) as addresses:
        transports = transports_elsewhere(*addresses, own=addresses[0], namespaces=("--net",))
    # The direct transport's pipe is on the other network's loopback, out of reach.
    assert transports == ["grpc", "grpc"]
    assert not [record for record in caplog.records if record.name.startswith("rlmesh.transports")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can become another user")
def test_another_user_shares_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    with serving(ScriptedEnv()) as plain, serving(ScriptedEnv(), direct=DIRECT) as direct:
        transports = transports_elsewhere(
            plain.address, direct.address, own=plain.address, user=NOBODY
        )
    assert transports == ["grpc", "direct"]
    assert not [record for record in caplog.records if record.name.startswith("rlmesh.transports")]


# Views instead of copies.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_view_is_read_only_and_the_rest_is_the_callers(transport: Any) -> None:
    env = make("CartPole-v1", 2)
    with (
        serving(env, direct=DIRECT) as server,
        contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any](server.address, transport=transport, copy=False)
        ) as client,
    ):
        assert client.transport == transport
        observation, _ = client.reset(seed=0)
        assert not observation.flags.writeable
        observation, *rest, _ = client.step([0, 1])
        with pytest.raises(ValueError, match="read-only"):
            observation[:] = 0
        assert all(part.flags.writeable for part in rest)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_view_holds_what_a_copy_holds_until_the_next_call(transport: Any) -> None:
    with serving(ScriptedEnv(), direct=DIRECT) as server:
        seen: dict[bool, list[Any]] = {}
        for copy in (True, False):
            with contextlib.closing(
                rlmesh.RemoteEnv[Any, Any](server.address, transport=transport, copy=copy)
            ) as client:
                observations = [client.reset(seed=0)[0].copy()]
                observations += [client.step([1, 0.5])[0].copy() for _ in range(5)]
                seen[copy] = observations
    np.testing.assert_array_equal(seen[False], seen[True])


# Spinning and sleeping.


@pytest.mark.parametrize(("value", "spins"), [("0", False), ("1", True)])
def test_spinning_is_switched_off_by_the_environment_variable(
    value: str, spins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_SPIN", value)
    program = "from rlmesh.transports.spin_policy import SpinPolicy; print(SpinPolicy().eager)"
    with start_python(["-c", program], stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)
    assert out.strip() == str(spins)


# When one side is killed. That a client is, tests/server/sessions/test_session.py tests over each
# sub-environment.


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_between_calls_is_told(transport: Any) -> None:
    with served("--env=CartPole-v1", f"--direct={DIRECT}") as (server, address):
        with contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, transport=transport, reconnect=False)
        ) as client:
            client.reset(seed=0)
            server.send(signal.SIGKILL)
            server.end()
            for _ in range(2):
                with pytest.raises(ConnectionLostError):
                    client.step(0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_in_a_call_is_told(transport: Any, tmp_path: Path) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    os.mkfifo(began)
    os.mkfifo(go)
    kwargs = json.dumps({"began": str(began), "go": str(go)})
    options = ["--env=support.cli_envs:Gated", f"--kwargs-json={kwargs}", f"--direct={DIRECT}"]
    with (
        served(*options) as (server, address),
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, transport=transport, reconnect=False)
        ) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.reset(seed=0)
        answer = pool.submit(client.step, 0)
        assert began.read_text() == "in a step\n"
        server.send(signal.SIGKILL)
        with pytest.raises(ConnectionLostError):
            answer.result(timeout=20)


# How safe each is.


@contextlib.contextmanager
def session(address: str) -> Generator[session_pb2.OpenResult]:
    """A session that is open inside of this, and what its client is told."""
    requests: queue.SimpleQueue[session_pb2.SessionRequest | None] = queue.SimpleQueue()
    requests.put(
        session_pb2.SessionRequest(sequence=1, open=session_pb2.OpenCall(protocol_generation=1))
    )
    with grpc.insecure_channel(parse_address(address).dial_target) as channel:
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        answers = stub.Session(iter(requests.get, None), timeout=60)
        yield next(answers).open
        requests.put(None)
        assert list(answers) == []


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_the_secret_admits_one_peer_at_a_time(transport: Any) -> None:
    with (
        serving(ScriptedEnv(), direct=DIRECT) as server,
        session(server.address) as told,
        contextlib.ExitStack() as at_end,
    ):
        [offer] = [offer for offer in told.transports if offer.transport == transport]
        host, _, pipe = offer.address.rpartition(":")
        enter = (
            functools.partial(enter_direct, host, int(pipe))
            if transport == "direct"
            else functools.partial(enter_memory, offer.address)
        )
        assert len(told.secret) == 32
        assert enter(bytes(32)) is None
        first = enter(told.secret)
        assert first is not None
        at_end.callback(first.release)
        request = session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall())
        first.send(request.SerializeToString())
        received = first.receive()
        assert isinstance(received, tuple)
        buffer, start, end = received
        answer = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
        assert answer.WhichOneof("answer") == "reset"
        second = enter(told.secret)
        assert second is not None
        at_end.callback(second.release)
        assert first.receive() is WakeReason.GONE
