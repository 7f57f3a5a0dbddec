"""Answers Prometheus at a port of its own: the metrics, and nothing else."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app
from prometheus_client.registry import Collector

from rlmesh.address import TcpAddress
from rlmesh.foreign_text import one_line
from rlmesh.server.rpc.binding import listen

_log = logging.getLogger("rlmesh.server")

# How long a client may take to send its request, or to read the answer.
_CLIENT_SECONDS = 10.0
_PATHS = ("/", "/metrics")


class MetricsPort:
    """Answers `GET /metrics` over HTTP, in plaintext and without a token; see `OtherListener`.

    Each answer has its own thread; `rlmesh-metrics` accepts the connections.

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
        self._server = _Server(("", 0), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listen(address)
        port = self._server.socket.getsockname()[1]
        self._server.server_name, self._server.server_port = address.host, port
        self._server.setup_environ()
        self._server.set_app(_only_metrics(make_wsgi_app(registry)))
        self._thread: threading.Thread | None = None
        self.address: TcpAddress = replace(address, port=port)

    def open(self) -> None:
        """Begins to answer.

        Raises:
            RuntimeError: If the operating system allows no further thread.
        """
        thread = threading.Thread(
            target=self._server.serve_forever, name="rlmesh-metrics", daemon=True
        )
        thread.start()
        self._thread = thread

    def close(self) -> None:
        """Frees the port. May be called repeatedly."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.shutdown()
            thread.join()
        self._server.server_close()


def _only_metrics(answer: Any) -> Any:
    """Answers `_PATHS`, and 404 for every other path."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") in _PATHS:
            answered: Iterable[bytes] = answer(environ, start_response)
            return answered
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"There is nothing here; the metrics are at /metrics.\n"]

    return app


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection on a thread."""

    # A stalled client must not keep the process alive, nor the end of the server.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection has broken, or the metrics could not be read."""
        _log.warning("a scrape of the metrics by %s failed", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Logs a request for those who debug."""
        _log.debug("metrics: %s", one_line(format % args))

    def handle(self) -> None:
        """Answers one request, unless the client does not send it in time."""
        with contextlib.suppress(TimeoutError):
            super().handle()
