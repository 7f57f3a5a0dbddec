"""A path that passes small messages and swallows large ones, as one with a wrong MTU does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from rlmesh.errors import SessionLostError
from support.chaos import ChaosProxy
from support.serving import serving

LARGE = 20_000
KEPT_SECONDS = 1.0
SILENCE_SECONDS = 0.2
SOON = 20.0


class Sizes(gymnasium.Env[Any, Any]):
    """Takes large actions or gives large observations."""

    def __init__(self, *, action: int, observation: int) -> None:
        self.action_space = gymnasium.spaces.Box(-1, 1, (action,), np.float64)
        self.observation_space = gymnasium.spaces.Box(-1, 1, (observation,), np.float64)
        self.size = observation
        self.entered = threading.Event()
        self.release: threading.Event | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.size), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.entered.set()
        if self.release is not None:
            assert self.release.wait(SOON)
        return np.zeros(self.size), 1.0, False, False, {}


class Swallowing:
    """A proxy that swallows what is large, and ends the connection some time later.

    Attributes:
        authority: Where it is, `HOST:PORT`.
        begun: Set once messages are swallowed.
        most: How many connections it breaks.
        breaks: How many connections it has broken.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._target = host, int(port)
        self.begun = threading.Event()
        self.breaks = 0
        self.most = 1000
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._connected, "127.0.0.1", 0), self._loop
        ).result(SOON)
        self._server = server
        self.authority = "{}:{}".format(*server.sockets[0].getsockname())

    def close(self) -> None:
        """Ends every connection, and the proxy."""

        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(SOON)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SOON)
        self._loop.close()

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection(*self._target)
        try:
            pumps = [self._pump(client, to_server), self._pump(server, to_client)]
            tasks = [asyncio.ensure_future(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
        finally:
            to_client.transport.abort()
            to_server.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            passed = 0
            while chunk := await reader.read(1 << 16):
                passed += len(chunk)
                if self.begun.is_set() and passed > LARGE and self.breaks < self.most:
                    self.breaks += 1
                    await asyncio.sleep(SILENCE_SECONDS)
                    return
                writer.write(chunk)
                await writer.drain()


@contextlib.contextmanager
def swallowing(env: Sizes) -> Generator[tuple[rlmesh.RemoteEnv[Any, Any], Swallowing]]:
    """A client behind such a proxy."""
    options = rlmesh.ServeOptions(resume_timeout_seconds=KEPT_SECONDS)
    with serving(env, options=options) as server, contextlib.ExitStack() as stack:
        proxy = Swallowing(server.address)
        stack.callback(proxy.close)
        client = rlmesh.RemoteEnv[Any, Any](f"tcp://{proxy.authority}", transport="grpc")
        stack.callback(client.close)
        client.reset()
        yield client, proxy


@pytest.mark.parametrize(("action", "observation"), [(20_000, 1), (1, 20_000)])
def test_a_call_that_no_answer_comes_to_ends_with_a_reason(action: int, observation: int) -> None:
    with swallowing(Sizes(action=action, observation=observation)) as (client, proxy):
        proxy.begun.set()
        with pytest.raises(SessionLostError, match="swallows large ones"):
            client.step(np.zeros(action))
        assert 2 <= proxy.breaks <= 50
        proxy.begun.clear()
        client.reset()
        client.step(np.zeros(action))


def test_a_call_that_lasts_survives_breaks_for_longer_than_a_session_is_kept() -> None:
    env = Sizes(action=1, observation=1)
    env.release = threading.Event()
    options = rlmesh.ServeOptions(resume_timeout_seconds=KEPT_SECONDS)
    with serving(env, options=options) as server, contextlib.ExitStack() as stack:
        proxy = stack.enter_context(ChaosProxy(1))
        proxy.lead_to(server.address)
        client = rlmesh.RemoteEnv[Any, Any](f"tcp://{proxy.authority}", transport="grpc")
        stack.callback(client.close)
        client.reset()
        steps: list[Any] = []
        thread = threading.Thread(target=lambda: steps.append(client.step(np.zeros(1))))
        thread.start()
        # On a busy machine eight cuts may be over before a call that is not there yet arrives.
        assert env.entered.wait(SOON)
        stop = threading.Event()
        for _ in range(8):
            stop.wait(KEPT_SECONDS / 3)
            proxy.cut()
        env.release.set()
        thread.join(SOON)
        assert len(steps) == 1
