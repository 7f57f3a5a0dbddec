"""A client of HTTP/2 that does what no client of gRPC does: it leaves answers unread, or lies."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from rlmesh.address import TcpAddress, parse_address

SECONDS = 20.0


class RawHttp2:
    """One connection, whose pings are answered whatever the test does.

    Args:
        address: Where a server is, on TCP.
        window: How many bytes of an answer the server may send on a stream.
    """

    def __init__(self, address: str, window: int = 1 << 16) -> None:
        where = parse_address(address)
        assert isinstance(where, TcpAddress)
        self._socket = socket.create_connection((where.host, where.port), SECONDS)
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self._h2.initiate_connection()
        self._events: list[Event] = []
        self._over = False
        # Guards all of it.
        self._news = threading.Condition()
        self._flush()
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, method: str, headers: Sequence[tuple[str, str]] = ()) -> int:
        """Begins a call, without a message, and returns the number of its stream."""
        with self._news:
            stream = self._h2.get_next_available_stream_id()
            usual = [
                (":method", "POST"),
                (":path", method),
                (":scheme", "http"),
                (":authority", "localhost"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ]
            self._h2.send_headers(stream, [*usual, *headers])
            self._flush()
            return stream

    def call(
        self, method: str, message: bytes = b"", headers: Sequence[tuple[str, str]] = ()
    ) -> int:
        """Begins a call with a message and no further one; returns the number of its stream."""
        stream = self.begin(method, headers)
        with self._news:
            framed = struct.pack(">BI", 0, len(message)) + message
            self._h2.send_data(stream, framed, end_stream=True)
            self._flush()
        return stream

    @property
    def calls_at_once(self) -> int:
        """How many calls the server takes at once, as it says; it has answered one before."""
        with self._news:
            return self._h2.remote_settings.max_concurrent_streams

    def send(self, stream: int, data: bytes) -> None:
        """Sends bytes on a stream, whatever they are, for as long as the server takes them."""
        with self._news:
            while data and not self._ended(stream):
                self._wait(lambda: self._ended(stream) or self._room(stream) > 0)
                if not self._ended(stream):
                    room = self._room(stream)
                    self._h2.send_data(stream, data[:room])
                    self._flush()
                    data = data[room:]

    def pour(self, stream: int, claimed: int, most: int) -> int:
        """Sends a message of `claimed` bytes for as long as the server takes it.

        Returns:
            How many bytes the server took before it ended the stream; about `most` at the most.
        """
        sent = 0
        head = struct.pack(">BI", 0, claimed)
        with self._news:
            while sent < most:
                # A window smaller than the head of a message does not come up here.
                self._wait(lambda: self._ended(stream) or self._room(stream) > 5)
                if self._ended(stream):
                    break
                room = self._room(stream)
                self._h2.send_data(stream, head + bytes(room - len(head)))
                self._flush()
                sent, head = sent + room, b""
        return sent

    def headers(self, stream: int) -> dict[str, str]:
        """What the server says at the beginning and the end of a stream, once that has come."""
        with self._news:
            self._wait(lambda: self._ended(stream))
            told: dict[str, str] = {}
            for event in self._of(stream):
                if isinstance(event, (ResponseReceived, TrailersReceived)):
                    told.update((str(name), str(value)) for name, value in event.headers)
            return told

    def wait_for_response(self, stream: int) -> None:
        """Returns when the server has begun to answer."""
        with self._news:
            self._wait(lambda: any(isinstance(e, ResponseReceived) for e in self._of(stream)))

    def data(self, stream: int) -> bytes:
        """What has arrived of an answer."""
        with self._news:
            return b"".join(e.data for e in self._of(stream) if isinstance(e, DataReceived))

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(SECONDS)
        self._socket.close()

    def _of(self, stream: int) -> list[Any]:
        return [event for event in self._events if getattr(event, "stream_id", None) == stream]

    def _room(self, stream: int) -> int:
        """How many bytes of one frame the server takes now."""
        return min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)

    def _ended(self, stream: int) -> bool:
        return self._over or any(
            isinstance(event, (StreamEnded, StreamReset)) for event in self._of(stream)
        )

    def _wait(self, met: Callable[[], bool]) -> None:
        """Waits until something is met; the condition is held."""
        assert self._news.wait_for(lambda: met() or self._over, SECONDS), "the server says nothing"

    def _read(self) -> None:
        # After the server's farewell h2 takes nothing any more.
        with contextlib.suppress(OSError, ProtocolError):
            while received := self._socket.recv(1 << 16):
                with self._news:
                    events = self._h2.receive_data(received)
                    self._events += events
                    self._flush()
                    self._over = any(isinstance(each, ConnectionTerminated) for each in events)
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


@contextlib.contextmanager
def raw_http2(address: str, window: int = 1 << 16) -> Generator[RawHttp2]:
    """A connection that ends with the block; arguments as of `RawHttp2`."""
    with contextlib.closing(RawHttp2(address, window)) as connection:
        yield connection
