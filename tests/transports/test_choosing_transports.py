"""Which transport a client gets: what it asks for, what the server allows, and what can be had."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.address import parse_address
from rlmesh.errors import (
    AddressInUseError,
    ArgumentTypeError,
    InvalidAddressError,
    InvalidArgumentError,
    ProtocolError,
    RlmeshError,
)
from rlmesh.server.rpc.listeners import Listeners
from rlmesh.transports import listener
from rlmesh_api.v1 import session_pb2
from support.comparing import assert_same
from support.pipes import descriptors, opened_since
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv, echo_vector
from support.serving import serving, start_python

ANY_PORT = "tcp://127.0.0.1:0"
ACTION = np.array([0.5, -0.25], np.float32)
SHM_GRPC = ("shm", "grpc")
ALL = ("shm", "direct", "grpc")


@pytest.fixture(autouse=True)
def _nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLMESH_TRANSPORT", raising=False)


@contextlib.contextmanager
def connected(address: str, **settings: Any) -> Any:
    """A client that has stepped once."""
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, **settings)) as client:
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)
        yield client


def given_transport(address: str, transport: Any) -> str:
    with connected(address, transport=transport) as client:
        name: str = client.transport
        return name


@pytest.mark.parametrize(
    ("transports", "asked", "given"),
    [
        # All that can be had, without and with a port for the direct transport.
        (None, None, "shm"),
        (None, "shm", "shm"),
        (None, "direct", "grpc"),
        (None, "grpc", "grpc"),
        (ALL, None, "shm"),
        (ALL, "shm", "shm"),
        (ALL, "direct", "direct"),
        (ALL, "grpc", "grpc"),
        # Restricted.
        (("direct", "grpc"), None, "direct"),
        (("direct",), None, "direct"),
        (("direct",), "shm", "grpc"),
        (("shm",), None, "shm"),
        (("shm",), "direct", "grpc"),
        (("grpc",), None, "grpc"),
        (("grpc",), "shm", "grpc"),
        (("grpc",), "direct", "grpc"),
        ((), None, "grpc"),
        (["grpc", "shm"], None, "shm"),
        ({"shm"}, None, "shm"),
    ],
)
def test_a_client_gets_what_it_asks_for_or_else_grpc(
    transports: Any, asked: str | None, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = ANY_PORT if transports and "direct" in transports else None
    with serving(ScriptedEnv(), transports=transports, direct=direct) as server:
        assert given_transport(server.address, asked) == given
        monkeypatch.setenv("RLMESH_TRANSPORT", asked or "")
        assert given_transport(server.address, None) == given


def test_a_port_for_the_direct_transport_is_enough_to_have_it_on_offer() -> None:
    with serving(ScriptedEnv(), direct=ANY_PORT) as server:
        for transport in ALL:
            assert given_transport(server.address, transport) == transport


def test_what_a_client_asks_for_counts_for_more_than_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "grpc")
    with serving(ScriptedEnv()) as server:
        assert given_transport(server.address, "shm") == "shm"


@pytest.mark.parametrize("transport", ALL)
def test_a_vector_client_gets_the_transport_that_it_asks_for(transport: Any) -> None:
    with (
        serving(echo_vector("box", 2), direct=ANY_PORT) as server,
        contextlib.closing(
            rlmesh.RemoteVectorEnv[Any, Any](server.address, transport=transport)
        ) as client,
    ):
        assert client.transport == transport
        client.reset(seed=0)


@pytest.mark.parametrize("make", [rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv])
@pytest.mark.parametrize("transport", ["pigeon", "", "SHM", "shm,grpc"])
def test_a_transport_that_nobody_knows_is_refused(make: Callable[..., Any], transport: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="transport must be one of shm, direct, grpc"):
        make("tcp://127.0.0.1:1", transport=transport)


def test_a_transport_that_nobody_knows_is_refused_in_the_environment_variable_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "pigeon")
    with pytest.raises(InvalidArgumentError, match="RLMESH_TRANSPORT must be one of"):
        rlmesh.RemoteEnv("tcp://127.0.0.1:1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("error", "match", "settings"),
    [
        (ArgumentTypeError, "transports must be a collection of names", {"transports": "shm"}),
        (ArgumentTypeError, "transports must be a collection of names", {"transports": 5}),
        (InvalidArgumentError, "got 'pigeon'", {"transports": ("shm", "pigeon")}),
        (InvalidArgumentError, "got 5", {"transports": ("shm", 5)}),
        (InvalidArgumentError, "direct needs a port of its own", {"transports": ("direct",)}),
        (
            InvalidArgumentError,
            "name 'direct' among the transports, or neither",
            {"transports": ("shm",), "direct": ANY_PORT},
        ),
        (InvalidArgumentError, "or neither", {"transports": (), "direct": ANY_PORT}),
        (InvalidAddressError, "direct must be a TCP address", {"direct": "unix:///tmp/e.sock"}),
        (InvalidAddressError, "the scheme 'nonsense' is unknown", {"direct": "nonsense://x"}),
        (InvalidAddressError, "'' is no address", {"direct": ""}),
        (InvalidAddressError, "the port must be 0 to 65535", {"direct": 70_000}),
        (InvalidAddressError, "'-1' is no address", {"direct": -1}),
        (
            InvalidAddressError,
            "cannot be bound on this machine",
            {"direct": "tcp://203.0.113.7:0", "insecure": True},
        ),
        (InvalidAddressError, "is unknown", {"direct": "no.such.host.invalid:0", "insecure": True}),
        (InvalidAddressError, "insecure=True", {"direct": "tcp://0.0.0.0:0"}),
        (InvalidAddressError, "insecure=True", {"direct": "tcp://[::]:0"}),
        (ArgumentTypeError, "must be a str", {"direct": 5.5}),
        (ArgumentTypeError, "must be a str", {"direct": b"127.0.0.1:0"}),
        (InvalidAddressError, "'True' is no address", {"direct": True}),
    ],
)
def test_transports_that_make_no_sense_are_refused_with_nothing_left_bound(
    error: type[RlmeshError], match: str, settings: dict[str, Any]
) -> None:
    port, before = free_port(), descriptors()
    with pytest.raises(error, match=match):
        rlmesh.EnvServer(ScriptedEnv(), port=port, **settings)
    gc.collect()
    assert not opened_since(before)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_for_the_direct_transport_that_is_in_use_is_refused_with_nothing_left_bound() -> (
    None
):
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        before = descriptors()
        with pytest.raises(AddressInUseError, match="is in use"):
            rlmesh.EnvServer(ScriptedEnv(), port=port, direct=other.getsockname()[1])
        assert not opened_since(before)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_an_address_that_is_in_use_leaves_the_port_of_the_direct_transport_free() -> None:
    port = free_port()
    with serving(ScriptedEnv()) as server:
        with pytest.raises(AddressInUseError):
            rlmesh.EnvServer(ScriptedEnv(), server.address, direct=port)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_the_direct_transport_cannot_have_the_servers_own_port() -> None:
    port = free_port()
    with pytest.raises(AddressInUseError):
        rlmesh.EnvServer(ScriptedEnv(), port=port, direct=port)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_the_port_of_the_direct_transport_is_bound_from_construction_on_until_the_shutdown() -> (
    None
):
    server = rlmesh.EnvServer(ScriptedEnv(), direct=ANY_PORT)
    try:
        assert server.direct_address is not None
        address = parse_address(server.direct_address)
        port = int(server.direct_address.rpartition(":")[2])
        assert str(address) == f"tcp://127.0.0.1:{port}"
        assert port > 0
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
    finally:
        server.shutdown()
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert server.direct_address == f"tcp://127.0.0.1:{port}"


def test_a_server_without_the_direct_transport_has_no_address_for_it() -> None:
    with serving(ScriptedEnv()) as server:
        assert server.direct_address is None


def local_addresses() -> list[str]:
    """Hosts at which a server on every host of this machine can be reached."""
    return ["127.0.0.1", "localhost", "127.0.0.2"]


@pytest.mark.parametrize("host", local_addresses())
def test_a_direct_transport_on_every_host_is_had_at_the_one_that_the_client_has_connected_to(
    host: str,
) -> None:
    with serving(
        ScriptedEnv(), "tcp://0.0.0.0:0", direct="tcp://0.0.0.0:0", insecure=True
    ) as server:
        port = server.address.rpartition(":")[2]
        assert given_transport(f"tcp://{host}:{port}", "direct") == "direct"


def test_a_direct_transport_on_every_host_is_had_by_a_client_on_a_unix_socket(
    tmp_path: Path,
) -> None:
    with serving(
        ScriptedEnv(), path=tmp_path / "e.sock", direct="tcp://0.0.0.0:0", insecure=True
    ) as server:
        assert given_transport(server.address, "direct") == "direct"


@pytest.mark.parametrize(
    ("direct", "told"),
    [
        # Every host: a client on another machine must not look for it on its own.
        ("tcp://0.0.0.0:0", ":{}"),
        ("127.0.0.1:0", "127.0.0.1:{}"),
        ("localhost:0", "localhost:{}"),
    ],
)
def test_clients_are_told_no_host_that_means_their_own(direct: str, told: str) -> None:
    with serving(ScriptedEnv(), direct=direct, insecure=True) as server:
        assert server.direct_address is not None
        port = server.direct_address.rpartition(":")[2]
        with raw_session(server.address) as session:
            assert session.offer("direct") == told.format(port)


def test_a_direct_transport_may_be_named_by_its_host() -> None:
    with serving(ScriptedEnv(), direct="localhost:0") as server:
        assert given_transport(server.address, "direct") == "direct"


# Run in a process of its own, so that whatever it says on its streams is heard.
DRIVE = """
import os, sys, time
import numpy as np
import rlmesh
if sys.argv[2:]:
    # Another user may not be let in to what is imported as late as this.
    rlmesh.RemoteEnv(sys.argv[1]).close()
    os.setuid(int(sys.argv[2]))
for attempt in range(4):  # where the machine is busy
    begun = time.monotonic()
    client = rlmesh.RemoteEnv(sys.argv[1])
    took = time.monotonic() - begun
    if took < 5:
        break
    if attempt < 3:
        client.close()
client.reset(seed=0)
client.step(np.zeros(2, np.float32))
print(client.transport, took < 5)
client.close()
"""


def offers(*transports: tuple[str, str]) -> Callable[[Listeners], list[session_pb2.TransportOffer]]:
    return lambda _: [
        session_pb2.TransportOffer(transport=transport, address=address)
        for transport, address in transports
    ]


def silent_port() -> str:
    """A port of this machine at which nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    "offered",
    [
        [("shm", "rlmesh-of-another-network")],
        [("shm", "")],
        [("direct", silent_port())],
        [("direct", "no.such.host.invalid:1")],
        [("shm", "rlmesh-of-another-network"), ("direct", silent_port())],
        [("pigeon", "a transport of a later version")],
    ],
    ids=["shm", "shm without a name", "direct", "an unknown host", "both", "unknown"],
)
def test_a_client_for_whom_no_listener_can_be_reached_gets_grpc_without_noise(
    offered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on another machine, or behind a proxy.
    monkeypatch.setattr(Listeners, "open", offers(*offered))
    with serving(ScriptedEnv()) as server:
        assert said_by_a_client(server.address) == ("grpc True\n", "")


def said_by_a_client(address: str, *arguments: str, prefix: Sequence[str] = ()) -> tuple[str, str]:
    """What a client in a process of its own prints, and what it complains of."""
    with start_python(
        ["-W", "error", "-c", DRIVE, address, *arguments],
        prefix=prefix,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        return process.communicate(timeout=60)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_process_of_another_user_gets_grpc_without_noise() -> None:
    with serving(ScriptedEnv()) as server:
        assert said_by_a_client(server.address, "65534") == ("grpc True\n", "")


# As a container has it, whose user may be the same.
ALONE = ("unshare", "--map-root-user", "--net")


def _can_be_alone() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*ALONE, "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_be_alone(), reason="a network of one's own cannot be had here")
def test_a_process_in_another_network_gets_grpc_without_noise(tmp_path: Path) -> None:
    # The file of the socket is all that it shares with the server.
    with serving(ScriptedEnv(), f"unix://{tmp_path}/env.sock", direct=ANY_PORT) as server:
        assert said_by_a_client(server.address) == ("shm True\n", "")
        assert said_by_a_client(server.address, prefix=ALONE) == ("grpc True\n", "")


def test_a_client_of_another_user_gets_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with serving(ScriptedEnv()) as server:
        assert given_transport(server.address, None) == "grpc"


def test_a_client_without_shared_memory_gets_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SUPPORTED", False)
    with serving(ScriptedEnv()) as server:
        assert given_transport(server.address, None) == "grpc"


def test_a_transport_that_cannot_be_had_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "SUPPORTED", False)
    with serving(ScriptedEnv(), direct=ANY_PORT) as server:
        assert given_transport(server.address, None) == "direct"


def test_an_offer_that_is_no_address_is_a_protocol_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listeners, "open", offers(("direct", "tcp://nonsense")))
    with serving(ScriptedEnv()) as server:
        with pytest.raises(ProtocolError, match="offers no such transport"):
            rlmesh.RemoteEnv(server.address)
        monkeypatch.undo()
        rlmesh.RemoteEnv(server.address, transport="grpc").close()
