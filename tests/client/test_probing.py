"""Asking an endpoint how it is: waiting for it cannot race with its start."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import gymnasium
import pytest

import rlmesh
from rlmesh.client.probing import (
    HealthProbe,
    fetch_contract,
    fetch_status,
    wait_until_serving,
)
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointUnreachableError,
    InvalidAddressError,
    InvalidArgumentError,
    ProtocolError,
    StateError,
)
from support.foreign_servers import health_only
from support.serving import serving


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """An address where nobody serves."""
    return f"unix://{tmp_path}/nobody.sock"


def waiting(address: str, pool: ThreadPoolExecutor) -> Future[None]:
    """The future of a wait that has begun."""
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        wait_until_serving(address, 20)

    future = pool.submit(wait)
    assert begun.wait(20)
    return future


def test_wait_sees_a_server_that_is_bound_after_it_began(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/late.sock"
    with ThreadPoolExecutor(1) as pool:
        waits = waiting(address, pool)
        with serving(gymnasium.make("CartPole-v1"), address):
            waits.result(timeout=20)


def test_wait_sees_a_server_that_is_started_after_it_began() -> None:
    server = rlmesh.EnvServer(gymnasium.make("CartPole-v1"))
    try:
        with ThreadPoolExecutor(1) as pool:
            waits = waiting(server.address, pool)
            server.start()
            waits.result(timeout=20)
    finally:
        server.shutdown()


def test_wait_sees_a_server_that_takes_the_place_of_another(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/env.sock"
    with serving(gymnasium.make("CartPole-v1"), address):
        wait_until_serving(address, 20)
    with ThreadPoolExecutor(1) as pool:
        waits = waiting(address, pool)
        with serving(gymnasium.make("CartPole-v1"), address):
            waits.result(timeout=20)


def test_wait_says_that_what_answers_is_no_server_of_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EndpointUnreachableError, match=f"127.0.0.1:{port} does not serve"):
            wait_until_serving(f"127.0.0.1:{port}", 0.2)


def test_a_closed_probe_ends_its_wait(nobody: str) -> None:
    with ThreadPoolExecutor(1) as pool, HealthProbe(nobody) as probe:
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            probe.wait()

        waits = pool.submit(wait)
        assert begun.wait(20)
        probe.close()
        with pytest.raises(StateError, match="is closed"):
            waits.result(timeout=20)


def test_the_contract_and_who_serves_it_are_told() -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        contract, peer = fetch_contract(server.address, 10)
    assert contract == server.env_contract
    assert peer.version == rlmesh.__version__


def test_a_server_that_is_no_env_server_is_a_protocol_error() -> None:
    with health_only() as address:
        wait_until_serving(address, 10)
        with pytest.raises(ProtocolError, match="does not speak RLMesh"):
            fetch_contract(address, 10)
        with pytest.raises(ProtocolError, match="does not speak RLMesh"):
            fetch_status(address, 10)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "nonsense"])
def test_an_address_that_nobody_can_connect_to_is_refused(address: str) -> None:
    for ask in (fetch_contract, fetch_status, wait_until_serving):
        with pytest.raises(InvalidAddressError):
            ask(address, 1)


def test_a_bad_timeout_is_refused(nobody: str) -> None:
    with pytest.raises(InvalidArgumentError):
        wait_until_serving(nobody, -1)
    with pytest.raises(ArgumentTypeError):
        wait_until_serving(nobody, "soon")  # type: ignore[arg-type] # what a user may do
