"""The other side of openpi's protocol, written for tests and not with RLMesh."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

import msgpack
import numpy as np
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

Handler = Callable[[ServerConnection], None]


def packed(value: Any) -> bytes:
    """A message as `openpi-client` writes it, with every dtype that somebody could think of."""

    def default(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            return {
                b"__ndarray__": True,
                b"data": part.tobytes(),
                b"dtype": part.dtype.str,
                b"shape": part.shape,
            }
        if isinstance(part, np.generic):
            return {b"__npgeneric__": True, b"data": part.item(), b"dtype": part.dtype.str}
        raise TypeError(type(part))

    message: bytes = msgpack.packb(value, default=default)
    return message


def unpacked(message: str | bytes) -> Any:
    """The value of a message."""

    def hook(part: dict[Any, Any]) -> Any:
        if b"__ndarray__" in part:
            array = np.frombuffer(part[b"data"], part[b"dtype"])
            return array.reshape(part[b"shape"])
        if b"__npgeneric__" in part:
            return np.dtype(part[b"dtype"]).type(part[b"data"])
        return part

    assert isinstance(message, bytes), message
    return msgpack.unpackb(message, object_hook=hook)


@contextlib.contextmanager
def dialed(url: str, **options: Any) -> Generator[ClientConnection]:
    """A client's connection, after the server's metadata has been read."""
    with connect(url, compression=None, max_size=None, proxy=None, **options) as connection:
        assert isinstance(unpacked(connection.recv(10)), dict)
        yield connection


def asked(connection: ClientConnection, entries: Any) -> Any:
    """The answer to an observation; a text where the server sends one."""
    connection.send(entries if isinstance(entries, str | bytes) else packed(entries))
    answer = connection.recv(30)
    return answer if isinstance(answer, str) else unpacked(answer)


@contextlib.contextmanager
def served(handler: Handler, **options: Any) -> Generator[str]:
    """A server on the loopback; gives its address."""
    with serve(handler, "127.0.0.1", 0, compression=None, max_size=None, **options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def answering(answer: Callable[[Any], Any], metadata: dict[str, Any] | None = None) -> Handler:
    """What a server of openpi does: a policy that raises ends the connection after its text."""

    def handle(connection: ServerConnection) -> None:
        connection.send(packed(metadata or {}))
        for message in connection:
            try:
                given = answer(unpacked(message))
            except Exception as error:  # noqa: BLE001 - as openpi has it
                text = f"Traceback (most recent call last):\n{type(error).__name__}: {error}"
                connection.send(text)
                connection.close(1011)
                return
            connection.send(given if isinstance(given, str | bytes) else packed(given))

    return handle
