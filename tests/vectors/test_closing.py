"""How vector clients and their environments end."""

from __future__ import annotations

import contextlib
import gc
import signal
from pathlib import Path
from typing import Any

import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import rlmesh
from rlmesh.errors import ConnectionLostError, EndpointBusyError, StateError
from support.async_vectors import served_async_sub_envs
from support.serving import serving
from support.vector_envs import sync_sub_envs

pytestmark = pytest.mark.usefixtures("each_transport")


def connect(address: str) -> rlmesh.RemoteVectorEnv[Any, Any]:
    return rlmesh.RemoteVectorEnv(address)


def test_closing_frees_the_endpoint_and_may_be_repeated() -> None:
    with serving(sync_sub_envs()) as server:
        client = connect(server.address)
        with pytest.raises(EndpointBusyError):
            connect(server.address)
        assert not client.closed
        client.close()
        client.close(timeout=1)
        client.close_extras()
        assert client.closed
        with contextlib.closing(connect(server.address)) as other:
            other.reset(seed=0)


def test_closing_a_wrapper_closes_the_client() -> None:
    with serving(sync_sub_envs()) as server:
        wrapped = RecordEpisodeStatistics(connect(server.address))
        wrapped.reset(seed=0)
        wrapped.close()
        assert wrapped.closed
        connect(server.address).close()


def test_a_closed_client_says_so() -> None:
    with serving(sync_sub_envs(), expose=("level",)) as server:
        client = connect(server.address)
        client.reset(seed=0)
        client.close()
        for call in (
            client.reset,
            lambda: client.step(client.action_space.sample()),
            client.render,
            lambda: client.get_attr("level"),
        ):
            with pytest.raises(StateError, match="closed"):
                call()


def test_closing_after_the_servers_end_is_quiet() -> None:
    with serving(sync_sub_envs()) as server:
        client = connect(server.address)
        client.reset(seed=0)
    with pytest.raises((ConnectionLostError, rlmesh.errors.EndpointError)):
        client.step(client.action_space.sample())
    client.close()
    client.close()


def test_a_client_that_is_dropped_frees_the_endpoint() -> None:
    with serving(sync_sub_envs()) as server:
        client = connect(server.address)
        client.reset(seed=0)
        del client
        gc.collect()
        with contextlib.closing(connect(server.address)) as other:
            other.reset(seed=0)


# A process that ends is the same over every transport.
@pytest.mark.parametrize("each_transport", ["shm"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=str)
@pytest.mark.parametrize("connected", [True, False], ids=["with a client", "without a client"])
def test_no_worker_process_outlives_its_server(
    number: signal.Signals, connected: bool, tmp_path: Path
) -> None:
    with served_async_sub_envs("box", "NEXT_STEP", tmp_path, steps=0) as served:
        client = connect(served.address)
        client.reset(seed=0)
        if not connected:
            client.close()
        served.process.send_signal(number)
        expected = 0 if number is not signal.SIGKILL else -signal.SIGKILL
        assert served.process.wait(20) == expected
        assert served.wait_for_workers()
        client.close()
