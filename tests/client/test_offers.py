"""What a client does with the transports that a server offers it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator
from typing import Any, Literal

import pytest

import rlmesh
from rlmesh.client.transport_selection import MAX_OFFERS
from rlmesh.server.rpc.listeners import Listeners
from rlmesh_api.v1 import session_pb2
from support.sample_envs import ScriptedEnv
from support.serving import serving


@contextlib.contextmanager
def silent() -> Generator[socket.socket]:
    """A port that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener


@contextlib.contextmanager
def offering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Generator[str]:
    offers = [session_pb2.TransportOffer(transport="direct", address=each) for each in addresses]
    monkeypatch.setattr(Listeners, "open", lambda _: offers)
    with serving(ScriptedEnv()) as server:
        yield server.address


def connections(listener: socket.socket) -> int:
    """How many have come so far."""
    listener.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            peer, _ = listener.accept()
            peer.close()
            count += 1
    return count


def test_one_deadline_holds_for_all_of_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as listener:
        offered = f"127.0.0.1:{listener.getsockname()[1]}"
        with offering(monkeypatch, *[offered] * 4) as address:
            # Each offer alone would take a second.
            until = time.monotonic() + 3.5
            with rlmesh.RemoteEnv[Any, Any](address, connect_timeout_seconds=1.5) as client:
                assert time.monotonic() < until
                assert client.transport == "grpc"
                client.reset()


def test_a_client_looks_at_a_few_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        # Nobody listens there any more, so that each is refused at once.
        with silent() as gone:
            closed = f"127.0.0.1:{gone.getsockname()[1]}"
        listener = stack.enter_context(silent())
        last = f"127.0.0.1:{listener.getsockname()[1]}"
        address = stack.enter_context(offering(monkeypatch, *[closed] * MAX_OFFERS, last))
        with rlmesh.RemoteEnv[Any, Any](address) as client:
            assert client.transport == "grpc"
        assert connections(listener) == 0


@pytest.mark.parametrize(("transport", "visits"), [(None, 0), ("direct", 1)])
def test_a_client_goes_to_another_host_only_if_it_asks_for_the_transport(
    transport: Literal["direct"] | None, visits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialed: list[tuple[str, int]] = []

    def dial(where: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        dialed.append(where)
        raise ConnectionRefusedError

    # A documentation address: no machine has it.
    with offering(monkeypatch, "192.0.2.7:5555") as address:
        monkeypatch.setattr(socket, "create_connection", dial)
        with rlmesh.RemoteEnv[Any, Any](address, transport=transport) as client:
            assert client.transport == "grpc"
    assert dialed == [("192.0.2.7", 5555)] * visits
