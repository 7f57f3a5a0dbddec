"""The greetings at listeners: what a client receives, and what a server is shown."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterable
from random import Random

from fuzz.target import Feed, Target, expect
from rlmesh.transports.listener import (
    SECRET_BYTES,
    enter_direct,
    enter_memory,
    open_direct_listener,
)
from rlmesh.transports.pipe import BadFrameError, Pipe
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.shm.segment import create_segment

_SECRET = b"s" * SECRET_BYTES
_WORDS = struct.Struct("<QQ")
_PLAN = SegmentLayout.for_slabs(8, 16)
_NUMBERS = (0, 1, 4095, 4096, 4097, 1 << 20, 1 << 62, 2**63, 2**64 - 1)
_MEMORY, _DIRECT, _SERVER = range(3)


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    with _order_by_memory() as memory, _order_by_direct() as direct, _shown() as shown:
        feeds = (memory, direct, shown)

        def feed(data: bytes) -> None:
            if data:
                feeds[data[0] % len(feeds)](data[1:])

        yield feed


@contextlib.contextmanager
def _listener(
    listener: socket.socket, greet: Callable[[socket.socket, bytes], None]
) -> Generator[queue.SimpleQueue[bytes | None]]:
    """A listener without rules: it does with every peer what comes next in the queue."""
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def stand() -> None:
        while (order := said.get()) is not None:
            peer = listener.accept()[0]
            with peer, contextlib.suppress(OSError):
                peer.recv(SECRET_BYTES, socket.MSG_WAITALL)
                greet(peer, order)

    thread = threading.Thread(target=stand, daemon=True)
    with listener:
        listener.listen()
        thread.start()
        try:
            yield said
        finally:
            said.put(None)
            thread.join()


@contextlib.contextmanager
def _order_by_memory() -> Generator[Feed]:
    name = f"rlmesh-fuzz-{secrets.token_hex(8)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0{name}")

    def greet(peer: socket.socket, order: bytes) -> None:
        size = (1 << 12) * int.from_bytes(order[1:3], "little") + 1
        made = [create_segment(size) for _ in range(order[0] % 3)]
        try:
            for descriptor in made:
                # An answer stands there before it is asked for.
                os.pwrite(descriptor, b"\1", LINE)
            socket.send_fds(peer, [order[3:] or b"\0"], made)
        finally:
            for descriptor in made:
                os.close(descriptor)

    with _listener(listener, greet) as said:

        def feed(data: bytes) -> None:
            if len(data) < 3:
                return
            said.put(data)
            pipe = enter_memory(name, _SECRET)
            if pipe is None:
                return
            try:
                pipe.send(b"a message")
                pipe.receive(time.monotonic())
            except BadFrameError:
                pass
            finally:
                pipe.release()

        yield feed


@contextlib.contextmanager
def _order_by_direct() -> Generator[Feed]:
    listener = socket.create_server(("127.0.0.1", 0))
    port_number = listener.getsockname()[1]
    with _listener(listener, lambda peer, order: peer.sendall(order)) as said:

        def feed(data: bytes) -> None:
            said.put(data)
            pipe = enter_direct("127.0.0.1", port_number, _SECRET)
            expect((pipe is not None) == (data[:1] == b"\1"), "a client came in unasked")
            if pipe is not None:
                pipe.release()

        yield feed


class _Session:
    def attach(self, pipe: Pipe, transport: str, process: int) -> None:
        """The client has been welcomed, which it notices; nothing else is wanted of it."""
        pipe.release()


def _authenticate(secret: bytes) -> _Session | None:
    return _Session() if secrets.compare_digest(secret, _SECRET) else None


@contextlib.contextmanager
def _shown() -> Generator[Feed]:
    bound = socket.create_server(("127.0.0.1", 0))
    address = bound.getsockname()
    # A peer that is let in says so.
    listener = open_direct_listener(bound, _authenticate)

    def feed(data: bytes) -> None:
        # The listener may have closed by then.
        with socket.create_connection(address, 10) as peer, contextlib.suppress(OSError):
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            expect(peer.recv(9) == b"", "a stranger was let in")

    try:
        yield lambda data: None if data[:SECRET_BYTES] == _SECRET else feed(data)
    finally:
        listener.close()


def _seeds() -> Iterable[bytes]:
    pages = (_PLAN.size >> 12).to_bytes(2, "little")
    yield bytes([_MEMORY, 1]) + pages + _WORDS.pack(_PLAN.request, _PLAN.answer)
    yield bytes([_MEMORY, 1]) + pages + _WORDS.pack(4096, 4096)
    yield bytes([_MEMORY, 0]) + pages
    yield bytes([_DIRECT, 1])
    yield bytes([_DIRECT, 0])
    yield bytes([_SERVER]) + b"t" * SECRET_BYTES
    yield bytes([_SERVER]) + b"t" * 7


def _mutate(data: bytes, random: Random) -> bytes | None:
    if not data or data[0] % 3 != _MEMORY or len(data) != 4 + _WORDS.size:
        return None
    words = list(_WORDS.unpack(data[4:]))
    words[random.randrange(2)] = random.choice(_NUMBERS)
    pages = random.choice((0, 1, 2, 515, 60000)).to_bytes(2, "little")
    head = data[:2] + (pages if random.random() < 0.4 else data[2:4])
    return head + _WORDS.pack(*words)


GREETINGS = Target(
    "greetings",
    "greetings at listeners, on both sides",
    _opened,
    _seeds,
    _mutate,
    longest=64,
    linux=True,
)
