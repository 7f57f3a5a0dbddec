"""Answers Prometheus at a port of its own: the metrics, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import (
    make_wsgi_app,  # pyright: ignore[reportUnknownVariableType] - the app has no type there
)
from prometheus_client.registry import Collector

from rlmesh.address import TcpAddress
from rlmesh.foreign_text import one_line
from rlmesh.server.rpc.binding import listen

_log = logging.getLogger("rlmesh.server")

# How long a client may take to send its request, or to read the answer.
_CLIENT_SECONDS = 10.0
# How many clients there can be at once; a further one is disconnected.
_MOST_CLIENTS = 16
# How long to wait where the system has no descriptor for a connection that has come.
_PAUSE_SECONDS = 0.1
_PATHS = ("/", "/metrics")


class MetricsPort:
    """Answers `GET /metrics` over HTTP, in plaintext and without a token; see `OtherListener`.

    The thread `rlmesh-metrics` accepts connections, and `rlmesh-scrape` answers one.

    Args:
        address: Where.
        collector: What it answers with.

    Attributes:
        address: Where it is bound, port 0 resolved.

    Raises:
        AddressInUseError: If another program listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(self, address: TcpAddress, collector: Collector) -> None:
        # Its own: what a program registers for itself is not the server's to show.
        registry = CollectorRegistry()
        registry.register(collector)
        self._server = _Server(listen(address), address.host)
        self._server.set_app(_only_metrics(make_wsgi_app(registry)))
        self._thread: threading.Thread | None = None
        self._closing = False
        self.address: TcpAddress = replace(address, port=self._server.server_port)

    def open(self) -> None:
        """Begins to answer.

        Raises:
            RuntimeError: If the operating system allows no further thread.
        """
        thread = threading.Thread(target=self._run, name="rlmesh-metrics", daemon=True)
        thread.start()
        self._thread = thread

    def close(self) -> None:
        """Frees the port. May be called repeatedly."""
        self._closing = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.wake()
            thread.join()
        self._server.server_close()

    def _run(self) -> None:
        while not self._closing:
            self._server.handle_request()


def _only_metrics(answer: Any) -> Any:
    """Answers `_PATHS`, and 404 for every other path."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") in _PATHS:
            answered: Iterable[bytes] = answer(environ, start_response)
            return answered
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"There is nothing here; the metrics are at /metrics.\n"]

    return app


class _Server(WSGIServer):
    """Answers each connection on a thread of its own, and only so many at once.

    Args:
        listener: The socket; the server owns it.
        host: The host that it listens at, as it was given.
    """

    def __init__(self, listener: socket.socket, host: str) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = host, listener.getsockname()[1]
        self.setup_environ()
        self._free = threading.BoundedSemaphore(_MOST_CLIENTS)

    def wake(self) -> None:
        """Ends the wait for the next connection."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # Only Linux does that to a socket that listens. Elsewhere a connection wakes it.
            with contextlib.suppress(OSError):
                socket.create_connection(("localhost", self.server_port), 1.0).close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The connection that has come."""
        try:
            return super().get_request()
        except OSError:
            # Without a descriptor for it, the connection stays there, and would be tried for ever.
            time.sleep(_PAUSE_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Has a thread answer a connection."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            threading.Thread(
                target=self._answer,
                args=(request, client_address),
                name="rlmesh-scrape",
                daemon=True,
            ).start()
        except BaseException:
            self._free.release()
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection has broken, or the metrics could not be read."""
        _log.warning("a scrape of the metrics by %s failed", client_address, exc_info=True)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - the thread ends with the connection, whatever went wrong
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            self._free.release()


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Logs a request for those who debug."""
        _log.debug("metrics: %s", one_line(format % args))

    def handle(self) -> None:
        """Answers one request, unless the client does not send it in time."""
        with contextlib.suppress(TimeoutError):
            super().handle()
