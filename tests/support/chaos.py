"""A TCP proxy that does what networks do: it cuts, stalls, delays and half-closes connections.

Everything it does follows from its seed, the number of the connection, its direction and how many
bytes have passed, so that a run can be had again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from typing_extensions import Self

FAULTS = ("cut", "half-close", "delay")
"""What may happen at any time. A `stall` too, where somebody notices it soon enough."""

_CHUNK = 1 << 16
_DELAY_SECONDS = 0.02
_SOON = 20.0
_ROUND_SECONDS = 0.05


@dataclass(frozen=True)
class Happened:
    """A fault that has happened.

    Attributes:
        fault: Which.
        connection: The number of the connection, from 0.
        to_server: In which direction.
        at: After how many bytes of it.
    """

    fault: str
    connection: int
    to_server: bool
    at: int


class ChaosProxy:
    """Forwards connections, and has something happen to them at random places.

    Nothing happens before `begin`, nor after as many faults as were asked for.

    Args:
        seed: What everything follows from.
        faults: What may happen: some of `cut`, `half-close`, `delay` and `stall`.
        every: After how many bytes of a direction, at least and at most.
        most: How many faults there are, delays not counted; None: without end.

    Attributes:
        target: Where connections lead, host and port; may be set later than this is made.
        authority: Where the proxy is, `HOST:PORT`.
        happened: What has happened so far.
    """

    def __init__(
        self,
        seed: int,
        *,
        faults: Sequence[str] = FAULTS,
        every: tuple[int, int] = (1, 4000),
        most: int | None = None,
    ) -> None:
        self.target: tuple[str, int] = ("127.0.0.1", 0)
        self.happened: list[Happened] = []
        self._seed = seed
        self._faults = list(faults)
        self._every = every
        self._left = most
        self._begun = self._ending = False
        self._count = self._stalled = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos")
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        host, port = self._server.sockets[0].getsockname()
        self.authority: str = f"{host}:{port}"

    def lead_to(self, address: str) -> None:
        """Has connections lead to an address, `tcp://HOST:PORT`."""
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self.target = (host, int(port))

    def begin(self) -> None:
        """Has things happen from now on."""
        self._begun = True

    def cut(self) -> None:
        """Cuts every connection now."""
        self._do(self._cut_all())

    def stall(self) -> None:
        """Forwards nothing more over the connections that there are; new ones work."""
        self._stalled = self._count

    def stop(self) -> None:
        """Has nothing happen any more; what is stalled stays so."""
        self._begun = False

    def close(self) -> None:
        """Ends every connection, and the proxy."""
        if self._loop.is_closed():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SOON)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SOON)

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _end(self) -> None:
        self._ending = True
        # Not closed while a connection is being accepted, whose socket asyncio would leave open.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await self._cut_all()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.wait(others, timeout=_ROUND_SECONDS)
        self._server.close()
        await self._cut_all()
        # What was aborted is closed in the round after it, and this in one more.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _connected(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self._writers.add(to_client)
        if self._ending:
            return
        number, self._count = self._count, self._count + 1
        try:
            from_server, to_server = await asyncio.open_connection(*self.target)
        except OSError:
            to_client.transport.abort()
            return
        self._writers.add(to_server)
        if self._ending:
            return
        both = (to_client, to_server)
        for reader, writer, up in (
            (from_client, to_server, True),
            (from_server, to_client, False),
        ):
            pump = asyncio.ensure_future(self._pump(reader, writer, both, number, to_server=up))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: Sequence[asyncio.StreamWriter],
        number: int,
        *,
        to_server: bool,
    ) -> None:
        chance = random.Random(f"{self._seed} {number} {to_server}")  # noqa: S311 - no secret
        passed, next_fault = 0, chance.randint(*self._every)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if number < self._stalled:
                    await asyncio.Event().wait()
                while self._begun and len(chunk) > next_fault and self._left != 0:
                    writer.write(chunk[:next_fault])
                    await writer.drain()
                    passed += next_fault
                    chunk = chunk[next_fault:]
                    next_fault = chance.randint(*self._every)
                    fault = chance.choice(self._faults)
                    self.happened.append(Happened(fault, number, to_server, passed))
                    await self._happen(fault, reader, writer)
                writer.write(chunk)
                await writer.drain()
                passed += len(chunk)
                if self._begun:
                    next_fault -= len(chunk)
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
            return
        for each in both:
            each.transport.abort()
            self._writers.discard(each)

    async def _happen(
        self, fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """What a fault does; raises where nothing passes afterwards."""
        if fault == "delay":
            await asyncio.sleep(_DELAY_SECONDS)
            return
        if self._left is not None:
            self._left -= 1
        if fault == "stall":
            await asyncio.Event().wait()
        if fault == "half-close":
            writer.write_eof()
            # What comes is swallowed, as behind a cable that leads nowhere.
            while await reader.read(_CHUNK):
                pass
        raise ConnectionAbortedError
